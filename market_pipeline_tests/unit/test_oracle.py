"""The oracle by numbers that a person can verify: one case for each rule."""

from market_pipeline.market import Mode
from market_pipeline_tests import oracle
from market_pipeline_tests.builders import (
    DAY,
    INFY,
    INSTRUMENTS,
    NIFTY,
    OPEN,
    TCS,
    Packet,
    columns,
    frame,
)
from market_pipeline_tests.oracle import Candle, Connected, Event, Restarted, Tick

USDINR, GOLD = 263 << 8 | 3, 57998 << 8 | 7
NUMBERS = INSTRUMENTS | {USDINR: 3, GOLD: 7}
MIDNIGHT = -33_300  # in Kolkata, before the opening at 09:15
YESTERDAY = Packet(volume=900, at=-DAY, received_at=-60)


def ticks(*events: Event) -> list[Tick]:
    return oracle.ticks([Connected(), *events], NUMBERS)


def volumes(*events: Event) -> list[int | None]:
    return [tick.volume for tick in ticks(*events)]


def trades(*events: Event) -> list[bool]:
    return [tick.is_trade for tick in ticks(*events)]


def times(*events: Event) -> list[int]:
    return [tick.time - OPEN for tick in ticks(*events)]


def extremes(*events: Event) -> list[tuple[float, float]]:
    return [(tick.high, tick.low) for tick in ticks(*events)]


def candles(length: str, *events: Event) -> dict[tuple[int, int], Candle]:
    """Make candles, by instrument and by seconds after the opening."""
    made = oracle.candles(ticks(*events))[length]
    return {(instrument, at - OPEN): candle for (instrument, at), candle in made.items()}


def index(price: float, at: int) -> Packet:
    return Packet(price, at=at, token=NIFTY)


def test_volume_is_that_of_the_day_minus_that_of_the_tick_before() -> None:
    assert volumes(Packet(volume=50), Packet(volume=60, at=1), Packet(volume=65, at=2)) == [
        None,
        10,
        5,
    ]


def test_restarts_and_reconnections_lose_no_volume() -> None:
    line_lost = Restarted(), Connected()
    assert volumes(Packet(volume=50), *line_lost, Packet(volume=80, at=60)) == [None, 30]


def test_a_volume_that_fell_is_nothing_and_not_counted_twice() -> None:
    assert volumes(*(Packet(volume=v, at=n) for n, v in enumerate([50, 40, 45, 55]))) == [
        *(None, 0, 0, 5)
    ]


def test_a_session_counts_from_zero_where_its_opening_was_seen() -> None:
    assert volumes(YESTERDAY, Packet(volume=50, at=1)) == [None, 50]
    assert volumes(YESTERDAY, Connected(), Packet(volume=50, at=1)) == [None, None]
    assert volumes(Packet(volume=7, quantity=7)) == [7]


def test_a_new_day_on_the_same_connection_counts_from_zero() -> None:
    packets = Packet(volume=50), Packet(volume=60, at=1), Packet(volume=8, at=DAY)
    assert volumes(*packets) == [None, 10, 8]


def test_a_trade_is_a_risen_volume_or_a_moved_time_and_a_quote_neither() -> None:
    quote, moved = Packet(volume=50, at=5, traded_at=0), Packet(volume=50, at=6)
    risen = Packet(volume=60, at=7, traded_at=6)
    assert trades(Packet(volume=50), quote, moved, risen) == [False, False, True, True]


def test_a_trade_has_the_second_it_was_made_in_and_a_quote_that_of_the_exchange() -> None:
    trade, quote = Packet(volume=5, at=9, traded_at=7), Packet(volume=5, at=12, traded_at=7)
    assert times(Packet(volume=1), trade, quote) == [0, 7, 12]
    assert times(Packet(mode=Mode.QUOTE, at=3, received_at=4)) == [4]


def test_index_ticks_always_count_but_for_a_repeated_one() -> None:
    before = index(100, 0), index(101, 1), index(101, 1)
    assert trades(*before) == [False, True, True]
    assert trades(*before, Connected(), index(101, 1), index(101, 1))[3:] == [False, True]
    assert trades(*before, Connected(), index(102, 2))[3:] == [True]
    assert volumes(*before) == [None, None, None]


def test_an_index_without_stamps_counts_from_the_second_packet_of_a_connection() -> None:
    packet = Packet(token=NIFTY, mode=Mode.QUOTE, high=120)
    assert trades(packet, packet, Connected(), packet, packet) == [False, True, False, True]
    assert extremes(packet, packet)[1] == (100, 100)


def test_yesterdays_packet_is_no_trade_of_today() -> None:
    today = Packet(volume=50), Packet(volume=55, at=1)
    assert trades(YESTERDAY, *today) == [False, True, True]
    assert trades(*today, Connected(), YESTERDAY) == [False, True, False]


def test_yesterdays_close_that_nobody_had_seen_belongs_to_yesterday() -> None:
    closing = Packet(volume=950, at=60 - DAY, received_at=-50)
    made = candles("1m", YESTERDAY, Connected(), closing, Packet(volume=5, at=1))
    assert {key: candle.volume for key, candle in made.items()} == {(1, 60 - DAY): 50, (1, 0): 5}


def test_a_trade_that_was_shown_does_not_count_again_after_a_reconnection() -> None:
    packets = Packet(volume=50), Packet(volume=60, at=5), Packet(volume=70, at=6)
    assert trades(*packets, Connected(), packets[2])[3:] == [False]
    assert trades(*packets, Connected(), packets[1])[3:] == [False]
    assert trades(*packets, Connected(), Packet(volume=65, at=5))[3:] == [True]


def test_extremes_between_two_packets_are_in_the_tick() -> None:
    first = Packet(volume=1, high=105, low=95)
    assert extremes(first, Packet(volume=2, at=1, high=107, low=93))[1] == (107, 93)
    assert extremes(first, Packet(volume=2, at=1, high=105, low=95))[1] == (100, 100)


def test_a_session_that_was_seen_to_open_takes_its_extremes_whole() -> None:
    assert extremes(YESTERDAY, Packet(volume=9, at=1, high=101, low=99))[1] == (101, 99)
    quiet = Packet(volume=0, traded_at=-DAY, high=0, low=0, quantity=0)
    assert extremes(quiet, Packet(volume=9, at=1, high=101, low=99))[1] == (101, 99)


def test_joining_in_mid_session_takes_no_extremes() -> None:
    assert extremes(Packet(volume=50, high=120, low=80)) == [(100, 100)]


def test_a_candle_is_made_of_trades_alone() -> None:
    packets = [
        Packet(100, 10, at=-1),  # joins before the first minute
        Packet(101, 13, at=2, high=101, low=99),
        Packet(500, 13, at=3, traded_at=2, open_interest=40, high=101, low=99),  # a quote
        Packet(98, 20, at=50, high=102, low=98, open_interest=30),
        Packet(98, 20, at=130, traded_at=50, high=102, low=98),
    ]
    assert candles("1m", *packets) == {(1, 0): Candle(101, 102, 98, 98, 10, 30, 2)}


def test_a_late_trade_corrects_its_minute_and_is_not_its_close() -> None:
    prices = [(100, 0, 11), (101, 10, 12), (102, 50, 14), (90, 30, 13), (103, 61, 15)]
    packets = [Packet(price, volume, at=at) for price, at, volume in prices]
    assert candles("1m", *packets) == {
        (1, 0): Candle(101, 102, 90, 102, 3, 0, 3),
        (1, 60): Candle(103, 103, 103, 103, 1, 0, 1),
    }


def test_ties_are_in_order_of_arrival() -> None:
    packets = [Packet(price, n, at=5) for n, price in enumerate([7, 3, 9, 1, 4])]
    assert candles("1m", *packets)[1, 0][:4] == (3, 9, 1, 4)


def test_longer_candles_are_made_of_minutes_and_days_are_those_of_india() -> None:
    seconds = [-8 * 60, 0, 70, 310, 14 * 3600, DAY - 60]
    packets = [Packet(100 + n, n + 1, at=at) for n, at in enumerate(seconds)]
    packets = [Packet(volume=0, at=seconds[0], traded_at=-DAY), *packets]
    assert [at for _, at in candles("5m", *packets)] == [-600, 0, 300, 14 * 3600, DAY - 300]
    assert [at for _, at in candles("15m", *packets)] == [-900, 0, 14 * 3600, DAY - 900]
    assert candles("1d", *packets) == {
        (1, MIDNIGHT): Candle(100, 104, 100, 104, 5, 0, 5),
        (1, MIDNIGHT + DAY): Candle(105, 105, 105, 105, 6, 0, 1),
    }


def test_currency_keeps_four_decimals_on_the_wire_and_in_the_candle() -> None:
    prices = [83.1275, 83.13, 83.1225]
    packets = [Packet(price, n, at=n, token=USDINR) for n, price in enumerate(prices)]
    assert [columns(packet)["last_price"][0] for packet in packets] == prices
    assert frame(packets[0])[8:12] == (831_275_000).to_bytes(4, "big")
    assert candles("1m", *packets) == {(3, 0): Candle(83.13, 83.13, 83.1225, 83.1225, 2, 0, 2)}


def test_commodities_trade_until_midnight_on_one_trading_date() -> None:
    evening = 14 * 3600 + 38 * 60  # 23:53
    packets = [Packet(volume=n, at=at, token=GOLD) for n, at in enumerate([-900, 0, evening])]
    assert list(candles("1d", *packets)) == [(7, MIDNIGHT)]


def test_instruments_do_not_touch_each_other() -> None:
    packets = Packet(volume=50), Packet(volume=7000, token=TCS), Packet(volume=51, at=1)
    assert volumes(*packets, Packet(volume=7002, at=1, token=TCS)) == [None, None, 1, 2]


def test_prices_alone_are_trades_when_they_move() -> None:
    packets = [Packet(p, at=n, mode=Mode.LTP, token=INFY) for n, p in enumerate([1, 1, 2, 2])]
    assert trades(*packets) == [False, False, True, False]
    assert volumes(*packets) == [None] * 4
