"""The candle that is being made goes on from what was read, and counts every tick once."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from market_pipeline.api.live import candles
from market_pipeline.api.live.candle_reader import CandleReader
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


class Stored:
    """Answers what is stored when it is asked, once that may arrive."""

    def __init__(self) -> None:
        self.stored = 0
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def rows(self, name: str, **values: Any) -> list[dict[str, Any]]:
        trades = self.stored
        self.asked.set()
        await self.may_answer.wait()
        known = {"time": 0, "trades": trades} if trades else {"time": None}
        row = {"instrument_id": 1, "is_newest": True, "positions": {"kite-0": trades}}
        return [row | known for _ in values["instrument_ids"]]


def started_while(meanwhile: Callable[[CandleBook, CandleReader, Stored], None]) -> LiveCandle:
    """Let something happen while an instrument is read, and return the candle it gets."""

    async def start() -> LiveCandle:
        book, stored = CandleBook(), Stored()
        reader = CandleReader(cast(Any, stored), book, lambda *_: None, lambda: None)
        running = asyncio.create_task(reader.run())
        book.begin(1)
        reader.start([1])
        async with asyncio.timeout(10):
            await stored.asked.wait()
            meanwhile(book, reader, stored)
            stored.may_answer.set()
            while book.current(1) is None:
                await asyncio.sleep(0)
        running.cancel()
        return current(book)

    return asyncio.run(start())


def store(book: CandleBook, stored: Stored, *numbers: int) -> None:
    for number in numbers:
        stored.stored += 1
        book.add(tick(number, 5))


def test_what_was_read_before_an_instrument_was_begun_again_is_not_taken_for_it() -> None:
    def begin_again(book: CandleBook, reader: CandleReader, stored: Stored) -> None:
        book.end(1)
        store(book, stored, 0)
        book.begin(1)
        reader.start([1])
        store(book, stored, 1)

    assert started_while(begin_again).trades == 2


def test_nor_is_it_after_missed_ticks() -> None:
    def miss(book: CandleBook, reader: CandleReader, stored: Stored) -> None:
        stored.stored += 1
        reader.start(book.begin_anew())

    assert started_while(miss).trades == 1


def test_of_ticks_that_wait_for_long_only_so_many_are_kept_and_none_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candles, "MOST_WAITING", 2)

    def add_much(book: CandleBook, reader: CandleReader, stored: Stored) -> None:
        store(book, stored, *range(5))
        assert len(book._entries[1].waiting or ()) <= 2

    assert started_while(add_much).trades == 5
