"""The candle that is being made, as candles_1m.sql makes it, from ticks as they come."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from market_pipeline.api.live.ticks import LiveTick, at, to_json

MINUTE = 60_000_000
MOST_WAITING = 5_000
"""Ticks of one instrument that wait until it was read. Above that they are forgotten, and what is
being read with them: it is read once more."""


@dataclass
class LiveCandle:
    """A minute of one instrument; times in microseconds since 1970. None: nothing is known yet."""

    time: int | None = None
    open: float | None = None
    open_seq: int | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    close_seq: int | None = None
    volume: int | None = None
    open_interest: int | None = None
    open_interest_seq: int | None = None
    trades: int = 0

    def add(self, tick: Mapping[str, Any]) -> None:
        """Add a tick by column of table `ticks`; the order does not matter."""
        seq = tick["seq"]
        if (volume := tick["volume"]) is not None:
            self.volume = volume + (self.volume or 0)
        if tick["open_interest"] is not None and _is_later(seq, self.open_interest_seq):
            self.open_interest, self.open_interest_seq = tick["open_interest"], seq
        if tick["is_trade"]:
            self._add_trade(tick, seq)

    def _add_trade(self, tick: Mapping[str, Any], seq: int) -> None:
        self.trades += 1
        if self.open_seq is None or seq < self.open_seq:
            self.open, self.open_seq = tick["last_price"], seq
        if _is_later(seq, self.close_seq):
            self.close, self.close_seq = tick["last_price"], seq
        self.high = tick["high"] if self.high is None else max(self.high, tick["high"])
        self.low = tick["low"] if self.low is None else min(self.low, tick["low"])

    def text(self, instrument_id: int, name: str, is_closed: bool) -> str:
        """Return it as JSON; see endpoint.py."""
        assert self.time is not None
        told = {
            "instrument": name,
            "instrument_id": instrument_id,
            "interval": "1m",
            "time": at(self.time),
            "open": self.open,
            "high": self.high,
            "low": self.low,
            "close": self.close,
            "volume": self.volume,
            "open_interest": self.open_interest,
            "trades": self.trades,
            "is_closed": is_closed,
        }
        return to_json(told)


def _is_later(seq: int, known: int | None) -> bool:
    return known is None or seq > known


@dataclass
class _Entry:
    """One instrument: its candle, or the ticks that wait until that was read."""

    generation: int
    waiting: list[LiveTick] | None = field(default_factory=list)
    candle: LiveCandle = field(default_factory=LiveCandle)
    contained: Mapping[str, int] = field(default_factory=dict)
    """Up to which number the ticks of each stream were in it when it was read."""


@dataclass
class Changes:
    """What has to be told, by instrument and minute, and what to be read again."""

    candles: dict[tuple[int, int], LiveCandle] = field(default_factory=dict)
    late: set[tuple[int, int]] = field(default_factory=set)


class CandleBook:
    """The candles of all instruments that any client wants."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._generations = count()
        self.changes = Changes()

    def __contains__(self, instrument_id: int) -> bool:
        return instrument_id in self._entries

    def begin(self, instrument_id: int) -> None:
        """Keep an instrument's ticks until `start` says what was before them."""
        self._entries[instrument_id] = _Entry(next(self._generations))

    def awaited(self, instrument_id: int) -> int | None:
        """Return for which `begin` it has to be read where it is; None: that is known, or nobody
        wants it. What was read before that `begin` may lack ticks that were not kept."""
        entry = self._entries.get(instrument_id)
        return entry.generation if entry and entry.waiting is not None else None

    def begin_anew(self) -> list[int]:
        """Begin with every instrument again, since ticks were missed; return them."""
        for instrument_id in self._entries:
            self.begin(instrument_id)
        return list(self._entries)

    def start(
        self, instrument_id: int, candle: LiveCandle, contained: Mapping[str, int]
    ) -> LiveCandle:
        """Go on from a candle that was read since it was `awaited`; return what it is now."""
        entry = self._entries[instrument_id]
        waiting, entry.waiting = entry.waiting or [], None
        entry.candle, entry.contained = candle, contained
        for tick in waiting:
            self.add(tick)
        return entry.candle

    def end(self, instrument_id: int) -> None:
        """Forget an instrument that nobody wants any more."""
        self._entries.pop(instrument_id, None)

    def current(self, instrument_id: int) -> LiveCandle | None:
        """Return what there is to be told of an instrument at once."""
        entry = self._entries.get(instrument_id)
        return entry.candle if entry and entry.waiting is None and entry.candle.trades else None

    def add(self, tick: LiveTick) -> None:
        """Add a tick of any instrument and note in `changes` what it has changed."""
        entry = self._entries.get(tick.instrument_id)
        if entry is None:
            return
        if entry.waiting is not None:
            self._keep(tick, entry.waiting)
        elif tick.number >= entry.contained.get(tick.stream, 0):
            self._fold(entry, tick)

    def _keep(self, tick: LiveTick, waiting: list[LiveTick]) -> None:
        if len(waiting) < MOST_WAITING:
            waiting.append(tick)
        else:  # this one is stored: what is read from now on contains it
            self.begin(tick.instrument_id)

    def _fold(self, entry: _Entry, tick: LiveTick) -> None:
        minute = tick.values["time"] // MINUTE * MINUTE
        key = tick.instrument_id, minute
        known = entry.candle.time
        if known is not None and minute < known:
            self.changes.late.add(key)
            return
        if known is None or minute > known:
            if known is not None:  # told once more, as closed
                self.changes.candles[tick.instrument_id, known] = entry.candle
            entry.candle = LiveCandle(minute)
        entry.candle.add(tick.values)
        self.changes.candles[key] = entry.candle

    def taken(self) -> Changes:
        """Return what has changed since the last call."""
        taken, self.changes = self.changes, Changes()
        return taken

    def is_closed(self, instrument_id: int, minute: int) -> bool:
        """Tell whether there was a tick of a later minute."""
        entry = self._entries.get(instrument_id)
        return entry is not None and (entry.candle.time or 0) > minute
