"""What ticks and candles must be, said a second time: one packet after the other, with plain ifs.

Written from the README ("What a candle means") and the design ("What a candle is"), which the
comments quote, not from the pipeline; where both are silent a comment says so. Everything received
is at hand: no batches, restarts or corrections. Times are seconds since 1970.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from market_pipeline_tests.builders import OPEN, Packet

MINUTE, DAY = 60, 86_400
KOLKATA = 19_800  # seconds ahead of UTC, the whole year


class Connected(NamedTuple):
    """A new connection begins."""


class Restarted(NamedTuple):
    """A process of ours ends and another begins: "it stays known across restarts"."""


Event = Packet | Connected | Restarted


class Tick(NamedTuple):
    instrument: int
    time: int
    arrival: int
    price: float
    volume: int | None
    is_trade: bool
    high: float
    low: float
    open_interest: int | None


class Candle(NamedTuple):
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    open_interest: int | None
    trades: int


Candles = dict[tuple[int, int], Candle]
"""By instrument and the second at which the candle begins."""


class Said(NamedTuple):
    """What a packet says; None is what its mode does not carry."""

    connection: int
    received: int
    exchange_time: int | None
    trade_time: int | None
    price: float
    volume: int | None
    quantity: int | None
    high: float | None
    low: float | None
    open_interest: int | None
    is_index: bool

    @property
    def day(self) -> int:
        return trading_date(self.exchange_time or self.received)


@dataclass
class Known:
    """What earlier packets have said of an instrument."""

    connection: int = -1  # of the last packet, whatever became of it
    newest: Said | None = None
    day: int = -1  # the newest trading date
    volume: int | None = None  # the highest of that day
    stamp: int = 0  # the latest of that day
    shown: set[tuple[int | None, int | None]] = field(default_factory=set)


def trading_date(second: int) -> int:
    return (second + KOLKATA) // DAY


def ticks(events: Iterable[Event], instruments: Mapping[int, int]) -> list[Tick]:
    """Say what each packet means, in order of arrival; instruments are numbered by token."""
    known = {token: Known() for token in instruments}
    connection = 0
    made: list[Tick] = []
    for event in events:
        if isinstance(event, Connected):
            connection += 1
        elif isinstance(event, Packet):
            said = _said(event, connection)
            volume, is_trade, high, low = _meaning(said, known[event.token])
            time = _time(said, is_trade)
            numbers = (instruments[event.token], time, len(made))
            made.append(Tick(*numbers, said.price, volume, is_trade, high, low, said.open_interest))
    return made


def _said(packet: Packet, connection: int) -> Said:
    values = packet.values()

    def whole(name: str) -> int | None:
        return int(values[name]) if name in values else None

    return Said(
        connection=connection,
        received=OPEN + (packet.at if packet.received_at is None else packet.received_at),
        exchange_time=whole("exchange_time"),
        trade_time=whole("last_trade_time") or None,  # 0: never traded
        price=packet.price,
        volume=whole("day_volume"),
        quantity=whole("last_quantity"),
        high=values.get("day_high"),
        low=values.get("day_low"),
        open_interest=whole("open_interest"),
        is_index=packet.is_index,
    )


def _time(said: Said, is_trade: bool) -> int:
    # "`time` is last_trade_time for trades, else exchange_time; modes without stamps use
    # received_at": "a trade belongs to the second it was made in, not to when it arrived".
    if is_trade and said.trade_time:
        return said.trade_time
    return said.exchange_time or said.received


def _meaning(said: Said, known: Known) -> tuple[int | None, bool, float, float]:
    """Return volume, is_trade, high and low, and remember the packet."""
    is_first = known.connection != said.connection
    known.connection = said.connection
    # "Yesterday's cached tick after subscribing is dropped from candles." "The first packet after
    # connecting repeats the last state, perhaps yesterday's": without a stamp nobody can tell.
    if said.day < known.day or (is_first and said.exchange_time is None):
        return None, False, said.price, said.price
    volume = _volume(said, known)
    is_trade = _is_trade(said, known, volume, is_first)
    high = low = said.price
    if is_trade and not _is_late(said, known):
        high, low = _extremes(said, known, volume)
    _remember(said, known)
    return volume, is_trade, high, low


def _is_joined(said: Said, known: Known) -> bool:
    """Tell whether this connection has shown the instrument before."""
    return known.newest is not None and known.newest.connection == said.connection


def _is_late(said: Said, known: Known) -> bool:
    if said.day > known.day:
        return False
    has_fallen = said.volume is not None and known.volume is not None and said.volume < known.volume
    return has_fallen or (said.exchange_time is not None and said.exchange_time < known.stamp)


def _volume(said: Said, known: Known) -> int | None:
    if said.volume is None:  # ltp mode, and an index
        return None
    before = known.volume
    if said.day > known.day:
        # "First tick of a session counts from 0 only when the stream saw the session open": the
        # instrument came on this connection before its session began. (The design is silent on
        # this one:) a packet that shows no trade or the very first shows the opening itself.
        is_opening = said.volume in (0, said.quantity)
        before = 0 if _is_joined(said, known) or is_opening else None
    if before is None:
        return None  # "Where that is not known (joining in mid-session) it is NULL, not a guess."
    # "Volume is the day's volume minus that of the tick before." "A decrease within a session is
    # an anomaly: clamp to 0"; what has been counted is not counted again when it rises.
    return max(said.volume - before, 0)


def _is_trade(said: Said, known: Known, volume: int | None, is_first: bool) -> bool:
    if said.is_index:
        # "Index ticks always count", and of a first packet: "it counts only if it shows a trade
        # that no earlier packet has shown".
        is_later = said.exchange_time is not None and said.exchange_time > known.stamp
        return not is_first or (is_later and said.day == known.day)
    if said.volume is None:
        # The design is silent on ltp mode, which has neither: a price that moved was traded at.
        moved = known.newest is not None and said.price != known.newest.price
        return moved and _is_joined(said, known)
    # "A tick is a trade if its volume rose or its last trade time moved."
    if volume:
        return True
    if known.newest is None or known.newest.trade_time is None or said.trade_time is None:
        return False
    # The first packet of a day on a new connection joins in mid-session: what it shows may be hours
    # old, and no candle is made of it (both are silent).
    if said.day > known.day and not _is_joined(said, known):
        return False
    # "It counts only if it shows a trade that no earlier packet has shown."
    if is_first and (said.trade_time, said.volume) in known.shown:
        return False
    return said.trade_time != known.newest.trade_time


def _extremes(said: Said, known: Known, volume: int | None) -> tuple[float, float]:
    """Return high and low of a trade that came in order."""
    before_high: float | None = None
    before_low: float | None = None
    if said.day == known.day and known.newest is not None:
        before_high, before_low = known.newest.high, known.newest.low
    elif _is_joined(said, known) or volume is not None:
        before_high = before_low = 0.0  # as Kite has them before the first trade of a day
    high = low = said.price
    # "Its last_price, extended to the day's high/low when those moved since the previous tick";
    # where that one is not known or did not carry them (ltp mode), nobody can tell.
    if said.high and before_high is not None and said.high > before_high:
        high = max(high, said.high)
    if said.low and before_low is not None and (said.low < before_low or not before_low):
        low = min(low, said.low)
    return high, low


def _remember(said: Said, known: Known) -> None:
    known.shown.add((said.trade_time, said.volume))
    is_late = _is_late(said, known)
    if said.day > known.day:
        known.day, known.volume, known.stamp = said.day, None, 0
    if said.volume is not None:
        known.volume = max(said.volume, known.volume or 0)
    known.stamp = max(known.stamp, said.exchange_time or 0)
    if not is_late:  # "a late tick must not become" what the next is compared with
        known.newest = said


def candles(made: Iterable[Tick]) -> dict[str, Candles]:
    """Make the candles of all lengths."""
    # "Ties and late ticks are ordered by `seq`", which "orders by (event second, arrival)".
    ordered = sorted(made, key=lambda tick: (tick.time, tick.arrival))
    groups: dict[tuple[int, int], list[Tick]] = {}
    for tick in ordered:
        groups.setdefault((tick.instrument, tick.time // MINUTE * MINUTE), []).append(tick)
    # "Only trades form open, high, low and close. A minute without trades has no candle."
    traded = {key: any(tick.is_trade for tick in group) for key, group in groups.items()}
    minutes = {key: _of_ticks(group) for key, group in groups.items() if traded[key]}
    return {
        "1m": minutes,
        "5m": _wider(minutes, 5 * MINUTE),
        "15m": _wider(minutes, 15 * MINUTE),
        # "1d (trading date, Asia/Kolkata; stacked on 1m)": from midnight to midnight there.
        "1d": _wider(minutes, DAY, KOLKATA),
    }


def _of_ticks(group: list[Tick]) -> Candle:
    trades = [tick for tick in group if tick.is_trade]
    return Candle(
        # The first and the last price by seq of what is a trade, the highest and lowest of them.
        open=trades[0].price,
        high=max(tick.high for tick in trades),
        low=min(tick.low for tick in trades),
        close=trades[-1].price,
        # "volume = sum, open_interest = last": of what is known, of all ticks.
        volume=_sum([tick.volume for tick in group]),
        open_interest=_last([tick.open_interest for tick in group]),
        trades=len(trades),
    )


def _wider(minutes: Candles, length: int, ahead: int = 0) -> Candles:
    groups: dict[tuple[int, int], list[Candle]] = {}
    for (instrument, start), candle in sorted(minutes.items()):
        begin = (start + ahead) // length * length - ahead
        groups.setdefault((instrument, begin), []).append(candle)
    return {key: _of_candles(group) for key, group in groups.items()}


def _of_candles(group: list[Candle]) -> Candle:
    return Candle(
        open=group[0].open,
        high=max(candle.high for candle in group),
        low=min(candle.low for candle in group),
        close=group[-1].close,
        volume=_sum([candle.volume for candle in group]),
        open_interest=_last([candle.open_interest for candle in group]),
        trades=sum(candle.trades for candle in group),
    )


def _sum(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _last(numbers: list[int | None]) -> int | None:
    return next((number for number in reversed(numbers) if number is not None), None)
