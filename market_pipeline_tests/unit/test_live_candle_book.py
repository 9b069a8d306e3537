"""The candle that is being made goes on from what was read, and counts every tick once."""

from typing import Any

from market_pipeline.api.live.candles import MINUTE, CandleBook, LiveCandle
from market_pipeline.api.live.ticks import LiveTick


def tick(number: int, price: float, at: int = 0, instrument: int = 1, **more: Any) -> LiveTick:
    """A trade `at` seconds after a minute begins, ordered as it arrives."""
    values = {
        "instrument_id": instrument,
        "time": at * 1_000_000,
        "seq": at << 32 | number,
        "last_price": price,
        "high": price,
        "low": price,
        "volume": 1,
        "open_interest": None,
        "is_trade": True,
    }
    return LiveTick("kite-0", number, "NSE:X", values | more)


def begun(candle: LiveCandle | None = None, contained: int = 0) -> CandleBook:
    book = CandleBook()
    book.begin(1)
    book.start(1, candle or LiveCandle(), {"kite-0": contained})
    return book


def current(book: CandleBook) -> LiveCandle:
    found = book.current(1)
    assert found is not None
    return found


def test_what_was_read_is_not_counted_again() -> None:
    read = LiveCandle(0, open=5, open_seq=0, high=5, low=5, close=5, close_seq=0, trades=1)
    book = begun(read, contained=3)
    book.add(tick(2, 9, 1))
    book.add(tick(3, 7, 1))
    assert (current(book).trades, current(book).close) == (2, 7)


def test_ticks_that_come_while_it_is_read_wait_for_it() -> None:
    book = CandleBook()
    book.begin(1)
    book.add(tick(0, 5))
    book.add(tick(1, 6, 1))
    assert book.current(1) is None
    read = LiveCandle(0, open=5, open_seq=0, high=5, low=5, close=5, close_seq=0, trades=1)
    book.start(1, read, {"kite-0": 1})
    assert (current(book).trades, current(book).close) == (2, 6)


def test_a_tick_that_is_earlier_than_the_open_becomes_it() -> None:
    book = begun()
    book.add(tick(0, 5, 30))
    book.add(tick(1, 4, 10))
    assert (current(book).open, current(book).close) == (4, 5)


def test_a_later_minute_is_told_with_the_closed_one() -> None:
    book = begun()
    book.add(tick(0, 5))
    book.taken()
    book.add(tick(1, 6, 60))
    assert list(book.taken().candles) == [(1, 0), (1, MINUTE)]
    assert book.is_closed(1, 0) and not book.is_closed(1, MINUTE)


def test_a_late_tick_is_read_again_and_changes_nothing_here() -> None:
    book = begun()
    book.add(tick(0, 5, 60))
    book.taken()
    book.add(tick(1, 9, 10))
    changes = book.taken()
    assert changes.late == {(1, 0)} and not changes.candles
    assert current(book).close == 5


def test_after_missed_ticks_it_waits_to_be_read_again() -> None:
    book = begun()
    book.add(tick(0, 5))
    assert book.begin_anew() == [1]
    assert book.current(1) is None


def test_of_an_instrument_that_nobody_wants_nothing_is_kept() -> None:
    book = begun()
    book.end(1)
    book.add(tick(0, 5))
    assert 1 not in book and not book.taken().candles
