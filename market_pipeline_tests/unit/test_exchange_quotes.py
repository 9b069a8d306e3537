"""Packets that are sent because only the book changed, and what the pipeline makes of them."""

from datetime import date, datetime

import numpy as np
import pytest

from market_pipeline.market import Columns
from market_pipeline.sessions import EXCHANGE_TZ, AlwaysOpen, Calendar
from market_pipeline.simulator.book import Prints, joined
from market_pipeline.simulator.exchange import Exchange
from market_pipeline.simulator.feed import Feed
from market_pipeline.simulator.kite_server import SimulatorOptions, build_exchange
from market_pipeline.simulator.listing import default_listing
from market_pipeline.simulator.seeded import SeededTape
from market_pipeline.streaming.arrivals import Arrivals
from market_pipeline.streaming.observations import Observer

DAY = date(2026, 10, 6)
LISTING = default_listing(DAY, 300)
EVERYTHING = np.arange(len(LISTING))
RELIANCE = LISTING.row_by_name["NSE:RELIANCE"]
OPENING = int(datetime(2026, 10, 6, 9, 15, tzinfo=EXCHANGE_TZ).timestamp())
MIDNIGHT = OPENING - 9 * 3600 - 15 * 60
NOON = MIDNIGHT + 12 * 3600
ROLL_OVER = (MIDNIGHT - 120, 600)


def make_exchange(calendar: Calendar | None = None, quotes: float = 1.0) -> Exchange:
    return Exchange(LISTING, SeededTape(LISTING, 1), calendar or Calendar(), quotes)


def sent(exchange: Exchange, start: int, seconds: int) -> Prints:
    feed = Feed(exchange, np.arange(len(exchange.listing)))
    return joined([feed.prints(second) for second in range(start, start + seconds)])


def quotes_of(prints: Prints) -> Prints:
    return prints.pick(prints.sent > prints.second)


def observed(exchange: Exchange, start: int, seconds: int) -> Columns:
    """The ticks of a connection that begins with the cached packets."""
    cached = exchange.prints(EVERYTHING, start - 1)
    prints = joined([cached, sent(exchange, start, seconds)])
    received = np.maximum(prints.sent, start)
    arrivals = Arrivals(
        packets=exchange.packets(prints),
        instrument_id=prints.row,
        is_index=LISTING.is_index[prints.row],
        received_at=received * 1_000_000,
        connection=np.ones(len(received), np.int64),
        feed=np.zeros(len(received), np.int16),
    )
    return Observer().observe(arrivals)


def test_a_changed_book_leaves_the_last_trade_and_the_day_alone() -> None:
    exchange = make_exchange()
    quotes = quotes_of(sent(exchange, NOON, 60))
    for second in (NOON + 10, NOON + 59):
        now = quotes.pick(quotes.sent == second)
        trades = make_exchange(quotes=0.0).prints(now.row, second)
        assert now.row.size > 20
        assert all(np.array_equal(a, b) for a, b in zip(now[:2], trades[:2], strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(now[3:], trades[3:], strict=True))


def test_a_packet_of_a_changed_book_is_stamped_with_the_second_it_is_sent_in() -> None:
    exchange = make_exchange()
    feed = Feed(exchange, EVERYTHING)
    packets = exchange.packets(feed.prints(NOON + 7))
    assert set(packets["exchange_time"].tolist()) == {NOON + 7}
    assert (packets["last_trade_time"] < NOON + 7).any()


def test_the_book_of_a_later_packet_is_another() -> None:
    exchange = make_exchange()
    prints = sent(exchange, NOON, 60)
    packets = exchange.packets(prints.pick(prints.row == RELIANCE))
    moved = np.diff(packets["exchange_time"]) > 0
    assert (np.diff(packets["depth_quantity"][:, 0]) != 0)[moved].mean() > 0.9
    assert (np.diff(packets["buy_quantity"]) != 0)[moved].mean() > 0.9
    below = np.round(packets["last_price"] - packets["bid_price"], 4)
    assert set(below.tolist()) == {0.0, 0.1}


def test_some_packets_are_repeated_as_they_were() -> None:
    exchange = make_exchange()
    prints = sent(exchange, NOON, 60)
    packets = exchange.packets(prints.pick(prints.row == RELIANCE))
    again = np.flatnonzero(np.diff(packets["exchange_time"]) == 0)
    assert 0 < len(again) < len(prints.row) / 4
    for name, values in packets.items():
        assert np.array_equal(values[again], values[again + 1], equal_nan=True), name


def test_in_a_second_with_a_trade_only_the_trade_is_sent() -> None:
    prints = sent(make_exchange(), NOON, 60)
    trades = prints.pick(prints.sent == prints.second)
    traded = set(zip(trades.row.tolist(), trades.sent.tolist(), strict=True))
    quotes = quotes_of(prints)
    assert not traded & set(zip(quotes.row.tolist(), quotes.sent.tolist(), strict=True))


def test_the_trades_are_those_of_an_exchange_without_changes_of_the_book() -> None:
    prints = sent(make_exchange(), NOON, 120)
    trades = prints.pick(prints.sent == prints.second)
    alone = sent(make_exchange(quotes=0.0), NOON, 120)
    assert all(np.array_equal(a, b) for a, b in zip(trades, alone, strict=True))


def test_outside_the_session_no_book_changes() -> None:
    closing = OPENING + 6 * 3600 + 20 * 60
    listed = default_listing(DAY, 50)
    exchange = Exchange(listed, SeededTape(listed, 1), Calendar())
    assert not sent(exchange, OPENING - 120, 120).row.size
    assert not sent(exchange, closing, 120).row.size


def test_indices_have_no_book_that_could_change() -> None:
    assert not LISTING.is_index[quotes_of(sent(make_exchange(), NOON, 120)).row].any()


def test_the_book_changes_more_often_the_more_there_is_trading() -> None:
    count = np.bincount(quotes_of(sent(make_exchange(), NOON, 300)).row, minlength=300)
    assert count[RELIANCE] > 200
    rare = np.argmin(np.where(LISTING.is_index, 99, LISTING.rate))
    assert 0 < count[rare] < 20


def test_fifty_instruments_make_a_lively_feed() -> None:
    listed = default_listing(DAY, 50)
    exchange = Exchange(listed, SeededTape(listed, 1), Calendar())
    assert 25 < len(sent(exchange, NOON, 300).row) / 300 < 40


def test_the_same_is_sent_wherever_one_begins() -> None:
    whole = sent(make_exchange(), NOON, 90)
    late = sent(make_exchange(), NOON + 45, 45)
    expected = whole.pick(whole.sent >= NOON + 45)
    assert all(np.array_equal(a, b) for a, b in zip(expected, late, strict=True))


@pytest.mark.parametrize("start", [NOON, MIDNIGHT + 86_400 - 100])
def test_the_snapshot_is_the_last_that_was_sent(start: int) -> None:
    exchange = make_exchange(AlwaysOpen())
    prints = sent(exchange, start, 70)
    newest = {int(row): at for at, row in enumerate(prints.row)}
    rows = np.array(sorted(newest))
    expected = prints.pick([newest[row] for row in rows.tolist()])
    found = exchange.prints(rows, start + 69)
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


def test_a_snapshot_is_never_of_the_future() -> None:
    exchange = make_exchange(AlwaysOpen())
    for at in range(MIDNIGHT - 5, MIDNIGHT + 300, 7):
        assert (exchange.prints(EVERYTHING, at).sent <= at).all()


def test_before_the_first_trade_a_packet_says_volume_zero_and_yesterdays_trade() -> None:
    exchange = make_exchange()
    cached = exchange.packets(exchange.prints(EVERYTHING, OPENING - 1))
    prints = sent(exchange, OPENING, 60)
    early = prints.pick((prints.second < MIDNIGHT) & (prints.sent >= OPENING))
    packets = exchange.packets(early)
    assert early.row.size > 100
    for name in ("last_price", "last_trade_time", "last_quantity", "open_interest"):
        assert np.array_equal(packets[name], cached[name][early.row]), name
    assert np.array_equal(packets["previous_close"], packets["last_price"])
    for name in ("day_volume", "day_open", "day_high", "day_low", "average_price"):
        assert not packets[name].any(), name


def test_before_the_first_trade_the_snapshot_is_yesterdays_until_a_book_changes() -> None:
    exchange = make_exchange(AlwaysOpen())
    found = exchange.prints(EVERYTHING, MIDNIGHT + 2)
    untraded = found.second < MIDNIGHT
    changed = untraded & (found.sent >= MIDNIGHT)
    assert changed.any() and (untraded & ~changed).any()
    assert not found.day_volume[changed].any()
    assert found.day_volume[untraded & ~changed & ~LISTING.is_index].all()


def test_the_pipeline_sees_no_trade_where_only_the_book_changed() -> None:
    ticks = observed(make_exchange(AlwaysOpen()), *ROLL_OVER)
    trades = sent(make_exchange(AlwaysOpen(), quotes=0.0), *ROLL_OVER)
    assert len(ticks["is_trade"]) > 3 * len(trades.row)
    assert np.count_nonzero(ticks["is_trade"]) == len(trades.row)


def test_the_pipeline_counts_a_new_session_from_zero_after_changes_of_the_book() -> None:
    exchange = make_exchange(AlwaysOpen())
    ticks = observed(exchange, *ROLL_OVER)
    today = ticks["is_trade"] & (ticks["time"] >= MIDNIGHT * 1_000_000) & (ticks["volume"] > 0)
    counted = np.bincount(ticks["instrument_id"][today], ticks["volume"][today], 300)
    now = exchange.prints(EVERYTHING, sum(ROLL_OVER) - 1)
    assert np.array_equal(counted, np.where(now.second >= MIDNIGHT, now.day_volume, 0))


def test_changes_of_the_book_can_be_switched_off() -> None:
    exchange, _ = build_exchange(SimulatorOptions(instruments=50, quotes=False))
    assert not quotes_of(sent(exchange, NOON, 60)).row.size
