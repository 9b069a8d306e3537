"""The seeded exchange: everything it says derives from the same trades."""

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from market_pipeline.brokers import kite_wire
from market_pipeline.errors import ConfigurationError
from market_pipeline.market import PACKET_COLUMNS, Columns, Mode
from market_pipeline.sessions import EXCHANGE_TZ, AlwaysOpen, Calendar
from market_pipeline.simulator.book import joined
from market_pipeline.simulator.exchange import DAY_MINUTES, Exchange
from market_pipeline.simulator.feed import Feed
from market_pipeline.simulator.kite_server import SimulatorOptions, build_exchange
from market_pipeline.simulator.listing import UNITS, Listing, default_listing
from market_pipeline.simulator.seeded import SeededTape

DAY = date(2026, 10, 6)
RELIANCE, NIFTY = 738561, 256265
LISTING = default_listing(DAY, 300)
OPENING = int(datetime(2026, 10, 6, 9, 15, tzinfo=EXCHANGE_TZ).timestamp())
MIDNIGHT = OPENING - 9 * 3600 - 15 * 60
NOON = MIDNIGHT + 12 * 3600
CANDLE = ("open", "high", "low", "close", "volume", "open_interest")
QUIET = LISTING.token[np.argmin(LISTING.rate)]


def make_exchange(seed: int = 1, calendar: Calendar | None = None, quotes: float = 1.0) -> Exchange:
    return Exchange(LISTING, SeededTape(LISTING, seed), calendar or Calendar(), quotes)


def live(exchange: Exchange, tokens: list[int], start: int, seconds: int) -> Columns:
    """Packets as a subscriber sees them, after the wire."""
    feed = Feed(exchange, exchange.rows(np.array(tokens)))
    prints = joined([feed.prints(second) for second in range(start, start + seconds)])
    packets = exchange.packets(prints)
    frames = [
        kite_wire.encode({n: v[i : i + 1] for n, v in packets.items()}, Mode.FULL)
        for i in range(len(prints.row))
    ]
    return kite_wire.decode(frames).packets


def rebuilt(packets: Columns, token: int, minute: int, volume_before: int) -> tuple[Any, ...]:
    """The candle that a reader of the feed makes of one minute, by differences of day volume."""
    mine = (packets["token"] == token) & (packets["last_trade_time"] // 60 * 60 == minute)
    prices = packets["last_price"][mine]
    volume = packets["day_volume"][mine]
    return (
        prices[0],
        prices.max(),
        prices.min(),
        prices[-1],
        volume[-1] - volume_before,
        packets["open_interest"][mine][-1],
    )


def candle(candles: Columns, at: int = 0) -> tuple[Any, ...]:
    return tuple(candles[name][at] for name in CANDLE)


@pytest.mark.parametrize(
    "symbol",
    ["NSE:RELIANCE", "NSE:PAGEIND", "CDS:USDINR26OCTFUT", "NFO:NIFTY26OCTFUT", "MCX:GOLD26OCTFUT"],
)
def test_candles_rebuilt_from_live_packets_are_the_historical_candles(symbol: str) -> None:
    exchange = make_exchange()
    token = int(LISTING.token[LISTING.row_by_name[symbol]])
    packets = live(exchange, [token], NOON, 600)
    history = exchange.candles(token, 1, NOON, NOON + 599, NOON + 6000)
    volume = int(exchange.snapshot(np.array([token]), NOON - 1)["day_volume"][0])
    for at, minute in enumerate(history["time"]):
        if history["volume"][at]:
            assert rebuilt(packets, token, minute, volume) == candle(history, at)
        volume += int(history["volume"][at])


def test_an_index_moves_without_volume() -> None:
    exchange = make_exchange()
    history = exchange.candles(NIFTY, 1, NOON, NOON + 3599, NOON + 6000)
    assert len(set(history["close"])) > 30
    assert not history["volume"].any()


def test_longer_candles_are_aggregates_of_minutes_anchored_at_the_opening() -> None:
    exchange = make_exchange()
    minutes = exchange.candles(RELIANCE, 1, OPENING, NOON, NOON)
    halves = exchange.candles(RELIANCE, 30, OPENING, NOON, NOON)
    assert (halves["time"][:3] - OPENING).tolist() == [0, 1800, 3600]
    assert halves["high"][1] == minutes["high"][30:60].max()
    assert halves["close"][1] == minutes["close"][59]
    assert halves["volume"].sum() == minutes["volume"].sum()


def test_a_day_candle_is_stamped_midnight_and_holds_the_whole_session() -> None:
    exchange = make_exchange()
    day = exchange.candles(RELIANCE, DAY_MINUTES, MIDNIGHT, MIDNIGHT + 86399, OPENING + 86400)
    closing = exchange.snapshot(np.array([RELIANCE]), MIDNIGHT + 86399)
    assert day["time"].tolist() == [MIDNIGHT]
    assert day["volume"][0] == closing["day_volume"][0]
    assert day["high"][0] == closing["day_high"][0]


def test_a_minute_without_trades_is_flat_at_the_close_before_it() -> None:
    history = make_exchange().candles(int(QUIET), 1, OPENING, NOON, NOON)
    silent = np.flatnonzero(history["volume"][1:] == 0) + 1
    assert silent.size
    for name in ("open", "high", "low", "close"):
        assert (history[name][silent] == history["close"][silent - 1]).all()


def test_the_running_candle_holds_only_what_has_happened() -> None:
    exchange = make_exchange()
    at = NOON + 30
    running = exchange.candles(RELIANCE, 1, NOON, NOON + 600, at)
    snapshot = exchange.snapshot(np.array([RELIANCE]), at)
    before = exchange.snapshot(np.array([RELIANCE]), NOON - 1)
    assert running["time"].tolist() == [NOON]
    assert running["close"][0] == snapshot["last_price"][0]
    assert running["volume"][0] == snapshot["day_volume"][0] - before["day_volume"][0]


def test_any_past_minute_is_the_same_without_the_minutes_before_it() -> None:
    whole = make_exchange().candles(RELIANCE, 1, OPENING, NOON + 59, NOON + 86400)
    alone = make_exchange().candles(RELIANCE, 1, NOON, NOON, NOON + 86400)
    assert candle(whole, -1) == candle(alone)


def test_the_seed_decides() -> None:
    first, same, other = (make_exchange(s).snapshot(LISTING.token, NOON) for s in (1, 1, 2))
    assert all(np.array_equal(first[name], same[name]) for name in PACKET_COLUMNS)
    assert not np.array_equal(first["last_price"], other["last_price"])


def test_a_snapshot_does_not_depend_on_what_was_asked_before() -> None:
    wandering, fresh = make_exchange(), make_exchange()
    for at in (NOON + 700, NOON - 86400, NOON + 3600, NOON + 60):
        wandering.snapshot(LISTING.token, at)
    expected = fresh.snapshot(LISTING.token, NOON + 90)
    found = wandering.snapshot(LISTING.token, NOON + 90)
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_the_last_live_packet_is_the_snapshot() -> None:
    exchange = make_exchange()
    packets = live(exchange, [RELIANCE], NOON, 180)
    snapshot = exchange.snapshot(np.array([RELIANCE]), NOON + 179)
    for name in ("last_price", "day_volume", "day_high", "day_low", "last_trade_time"):
        assert packets[name][-1] == snapshot[name][0]
    for name in ("exchange_time", "bid_price", "ask_quantity", "buy_quantity", "sell_quantity"):
        assert packets[name][-1] == snapshot[name][0]


def test_an_instrument_trades_at_most_once_in_a_second() -> None:
    packets = live(make_exchange(quotes=0.0), [RELIANCE], NOON, 600)
    assert (np.diff(packets["last_trade_time"]) > 0).all()


def test_day_volume_never_falls_within_a_session() -> None:
    packets = live(make_exchange(), [RELIANCE], OPENING, 3600)
    assert (np.diff(packets["day_volume"]) >= 0).all()


def test_day_volume_begins_again_at_midnight_when_always_open() -> None:
    exchange = make_exchange(calendar=AlwaysOpen())
    packets = live(exchange, [RELIANCE], MIDNIGHT - 600, 1200)
    fallen = np.flatnonzero(np.diff(packets["day_volume"]) < 0) + 1
    assert packets["exchange_time"][fallen].tolist() == [
        min(t for t in packets["exchange_time"] if t >= MIDNIGHT)
    ]


def test_the_first_trade_of_a_session_is_all_its_volume() -> None:
    packets = live(make_exchange(), [RELIANCE], OPENING, 60)
    first = np.flatnonzero(packets["last_trade_time"] >= OPENING)[0]
    assert packets["day_volume"][first] == packets["last_quantity"][first] > 0


def test_before_the_opening_the_snapshot_is_that_of_yesterdays_close() -> None:
    exchange = make_exchange()
    early = exchange.snapshot(LISTING.token[:50], OPENING - 60)
    late = exchange.snapshot(LISTING.token[:50], MIDNIGHT - 60)
    assert (early["last_trade_time"] < MIDNIGHT).all()
    assert all(np.array_equal(early[name], late[name]) for name in early)


def test_outside_the_session_nothing_is_sent() -> None:
    assert not live(make_exchange(), [RELIANCE], OPENING - 300, 300)["token"].size


def test_the_previous_close_is_the_last_price_of_the_session_before() -> None:
    exchange = make_exchange()
    today = exchange.snapshot(LISTING.token, NOON)
    yesterday = exchange.snapshot(LISTING.token, MIDNIGHT - 1)
    traded = today["last_trade_time"] > MIDNIGHT
    assert np.array_equal(today["previous_close"][traded], yesterday["last_price"][traded])


def test_prices_are_on_the_tick_and_the_book_surrounds_them() -> None:
    packets = make_exchange().snapshot(LISTING.token, NOON)
    tradable = ~LISTING.is_index
    units = np.rint(packets["last_price"] * UNITS).astype(int)
    assert not (units % LISTING.tick)[tradable].any()
    best_bid, best_ask = packets["bid_price"], packets["ask_price"]
    assert (best_bid <= packets["last_price"])[tradable].all()
    assert (best_ask >= packets["last_price"])[tradable].all()
    assert (best_ask > best_bid)[tradable].all()


def test_the_day_contains_its_prices() -> None:
    packets = make_exchange().snapshot(LISTING.token, NOON)
    for name in ("last_price", "day_open", "average_price"):
        assert (packets[name] <= packets["day_high"]).all()
        assert (packets[name] >= packets["day_low"]).all()


def test_listed_tokens_are_unique_and_carry_their_segment() -> None:
    listing = default_listing(DAY, 5_000)
    assert len(set(listing.token.tolist())) == 5_000
    for security in listing.securities:
        wanted = "INDICES" if security.segment == "INDICES" else security.exchange
        assert kite_wire.EXCHANGE_BY_CODE[security.token & 0xFF] == wanted


def test_no_contract_is_listed_after_it_expired() -> None:
    for day in (date(2026, 10, 27), date(2026, 10, 28), date(2026, 12, 30)):
        expiries = {s.expiry for s in default_listing(day, 300).securities if s.expiry}
        assert len(expiries) == 3
        assert min(expiries) >= day


def test_a_contract_keeps_its_token_from_month_to_month() -> None:
    october, november = default_listing(DAY, 300), default_listing(DAY + timedelta(30), 300)
    name = "NFO:NIFTY26NOVFUT"
    assert token_of(october, name) == token_of(november, name)


def token_of(listing: Listing, name: str) -> int:
    return int(listing.token[listing.row_by_name[name]])


def test_every_second_has_a_trade_of_everything_in_a_load_test() -> None:
    exchange = Exchange(LISTING, SeededTape(LISTING, 1, every_second=True), AlwaysOpen())
    feed = Feed(exchange, np.arange(300))
    assert all(len(feed.prints(NOON + second).row) == 300 for second in range(61))


def test_a_day_of_the_seeded_exchange_begins_just_before_its_opening() -> None:
    options = SimulatorOptions(day=DAY, always_open=False, instruments=40)
    assert build_exchange(options)[1].now() == OPENING - 1


def test_a_day_without_a_session_cannot_be_replayed() -> None:
    with pytest.raises(ConfigurationError, match="2026-10-02 is not a trading day"):
        build_exchange(SimulatorOptions(day=date(2026, 10, 2), always_open=False))
