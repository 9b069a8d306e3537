"""Turns packets into ticks: which are trades, how much was traded since the last, and when.

Both brokers send snapshots, not trades. A packet is compared with the previous one of the same
instrument; what is remembered of each instrument is the state here. Packets are handled many at
a time, but the result does not depend on how they were divided into batches.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from market_pipeline import sessions
from market_pipeline.market import MISSING, TICK_COLUMNS, Columns, empty_ticks
from market_pipeline.streaming import grouped
from market_pipeline.streaming.arrivals import Arrivals
from market_pipeline.streaming.instrument_state import InstrumentState

# Garbage would make all that follows look stale; a machine whose clock is slow must not.
_MAX_CLOCK_LEAD_SECONDS = 12 * 3600


class Observer:
    """Holds what is known of each instrument and turns arrivals into ticks.

    They may be of two feeds that tell the same: then volume is counted once, whoever tells it. The
    observer's own is the one that usually tells.
    """

    def __init__(self, feed: int = 0) -> None:
        self._feed = feed
        self._state = InstrumentState()
        self.arrivals = 0
        self.anomalies = 0

    def copy(self) -> "Observer":
        """Return an observer that goes on from the same state without changing this one."""
        other = Observer(self._feed)
        other._state = self._state.copy()
        other.arrivals, other.anomalies = self.arrivals, self.anomalies
        return other

    def dump(self) -> bytes:
        """Write down what is known of each instrument."""
        return self._state.dump()

    def load(self, state: bytes | None, arrivals: int) -> None:
        """Read a state written by dump; None forgets everything."""
        self._state = InstrumentState() if state is None else InstrumentState.load(state)
        self.arrivals = arrivals

    def carried(self, connection: int) -> tuple[int, ...]:
        """Return the instruments of which something came on this connection or a later one.

        The connection is one of the observer's own feed.
        """
        if connection < 0:
            return ()
        known = self._state.columns
        ids = known["instrument_id"][known["own_on"] >= connection]
        return tuple(ids.tolist())

    def own_connections(self, arrivals: Arrivals) -> NDArray[np.int64]:
        """Return on which connection of its own feed each instrument was last seen by then."""
        order = grouped.stable_order(arrivals.instrument_id)
        ids, rows = arrivals.instrument_id[order], arrivals.connection[order]
        slots = self._state.slots(ids)
        starts = np.diff(ids, prepend=-1) != 0
        known = self._state.columns["own_on"][slots]
        newest = grouped.newest(arrivals.feed[order] == self._feed, starts)
        found = np.empty(len(order), np.int64)
        found[order] = np.where(newest >= 0, rows[np.maximum(newest, 0)], known)
        return found

    def lacks(self, arrivals: Arrivals) -> NDArray[np.bool_]:
        """Tell which packets say that more was traded in the day than any has said that became a
        tick; of an instrument that was never seen that is not known."""
        known = self._state.columns
        places = np.searchsorted(known["instrument_id"], arrivals.instrument_id)
        is_known = np.isin(arrivals.instrument_id, known["instrument_id"])
        found = np.zeros(len(arrivals), bool)
        volume = arrivals.packets["day_volume"][is_known]
        found[is_known] = volume > known["day_volume"][places[is_known]]
        return found

    def observe(self, arrivals: Arrivals) -> Columns:
        """Return the ticks of these arrivals with the columns of TICK_COLUMNS.

        They are sorted by instrument, then by arrival: the order in which the table's index
        takes them fastest.
        """
        number = self.arrivals + np.arange(len(arrivals), dtype=np.int64)
        self.arrivals += len(arrivals)
        order = grouped.stable_order(arrivals.instrument_id)
        rows = arrivals.taken(order)
        if not len(rows):
            return empty_ticks()
        slots = self._state.slots(rows.instrument_id)
        known = self._state.columns
        comparison = _Comparison(rows, known, slots, rows.feed == self._feed)
        ticks = comparison.ticks(number[order])
        self.anomalies += comparison.anomalies
        comparison.remember(known)
        return ticks


class _Comparison:
    """Each packet beside the newest one before it; packets sorted by instrument, then arrival."""

    def __init__(
        self, rows: Arrivals, state: Columns, slots: NDArray[np.intp], is_own: NDArray[np.bool_]
    ) -> None:
        self.rows, self.slots, self._known, self.is_own = rows, slots, state, is_own
        self.packets = packets = rows.packets
        self.anomalies = 0
        self.starts = np.diff(rows.instrument_id, prepend=-1) != 0
        self.received_second = rows.received_at // 1_000_000
        self.trade_time = self._stamp("last_trade_time")
        self.exchange_time = self._stamp("exchange_time")
        clock = np.where(self.exchange_time > 0, self.exchange_time, self.received_second)
        self.day = sessions.trading_dates(clock)

        # The first packet of a connection repeats the last state, which may be of an earlier
        # day. One without a stamp cannot tell; what it shows, the next packet shows as well.
        seen_on = grouped.previous(rows.connection, state["seen_on"][slots], self.starts)
        self.is_first = seen_on != rows.connection
        undated = (self.exchange_time <= 0) & self.is_first
        days = np.where(undated, np.int64(MISSING), self.day)
        newest_day = grouped.running_max(days, state["day"][slots], self.starts)
        before = grouped.previous(newest_day, state["day"][slots], self.starts)
        self.is_stale = (self.day < before) | undated
        self.new_session = ~self.is_stale & (self.day > before)
        session_starts = self.starts | self.new_session
        carried = ~self.new_session & self.starts

        self.highest: dict[str, NDArray[np.int64]] = {}  # of the session, up to each packet
        self.volume_before = self._before("day_volume", state, session_starts, carried)
        self.stamp_before = self._before("exchange_time", state, session_starts, carried)
        volume = packets["day_volume"]
        fell = (volume >= 0) & (volume < self.volume_before)
        went_back = (self.exchange_time > 0) & (self.exchange_time < self.stamp_before)
        self.is_late = ~self.is_stale & (fell | went_back)
        self._find_mixed(session_starts, carried)
        # Where two feeds tell, one may be behind the other.
        self.anomalies += int((fell & ~self.is_stale & ~self.is_mixed).sum())
        self._find_previous()

    def _find_mixed(self, session_starts: NDArray[np.bool_], carried: NDArray[np.bool_]) -> None:
        base = carried & (self._known["mixed"][self.slots] > 0)
        if self.is_own.all() and not base.any():
            self.is_mixed = base
            return
        other = np.where(self.is_own & ~base, np.int64(0), np.int64(1))
        self.is_mixed = grouped.running_max(other, np.zeros_like(other), session_starts) > 0

    def _stamp(self, name: str) -> NDArray[np.int64]:
        """Return a column of epoch seconds; never traded (0) and the far future are missing."""
        stamps = self.packets[name].astype(np.int64)
        impossible = stamps > self.received_second + _MAX_CLOCK_LEAD_SECONDS
        self.anomalies += int(impossible.sum())
        return np.where((stamps <= 0) | impossible, np.int64(MISSING), stamps)

    def _before(
        self,
        name: str,
        state: Columns,
        session_starts: NDArray[np.bool_],
        carried: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """Return the highest value of the session before each packet, MISSING where unknown."""
        values = self.exchange_time if name == "exchange_time" else self.packets[name]
        values = np.where(self.is_stale, np.int64(MISSING), values)
        base = np.where(carried, state[name][self.slots], np.int64(MISSING))
        highest = grouped.running_max(values, base, session_starts)
        self.highest[name] = highest
        return grouped.previous(highest, base, session_starts)

    def _find_previous(self) -> None:
        """Find the newest packet in order before each; -1 where only the state knows of it."""
        self.newest = grouped.newest(~self.is_stale & ~self.is_late, self.starts)
        previous = np.concatenate([self.newest[:1], self.newest[:-1]])
        self.previous = np.where(self.starts, np.int64(-1), previous)

    def _value_before(self, name: str) -> NDArray[Any]:
        current = {
            "last_trade_time": self.trade_time,
            "connection": self.rows.connection,
        }.get(name)
        values = self.packets[name] if current is None else current
        known = self._known[name][self.slots]
        return np.where(self.previous >= 0, values[np.maximum(self.previous, 0)], known)

    def _volumes(self, is_cached: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return what was traded since the previous packet, MISSING where that is not known.

        The first packet of a session counts from zero when this connection showed us the
        instrument before the session's first trade, or when it shows that very trade.
        """
        day_volume = self.packets["day_volume"]
        first_trade = (day_volume == 0) | (day_volume == self.packets["last_quantity"])
        from_zero = self.new_session & (~is_cached | first_trade)
        baseline = np.where(from_zero, np.int64(0), self.volume_before)
        volume = np.maximum(day_volume - baseline, 0)
        unknown = (day_volume < 0) | (baseline < 0) | self.is_stale
        return np.where(unknown, np.int64(MISSING), volume)

    def _trades(self, volume: NDArray[np.int64], is_cached: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which packets show a trade that no earlier packet has shown."""
        packets = self.packets
        trade_before = self._value_before("last_trade_time")
        moved = (self.trade_time > 0) & (trade_before > 0) & (self.trade_time != trade_before)
        # A cached packet of a new session may be of any time since its start.
        is_older = self.is_first & self.is_late & (self.trade_time < trade_before)
        repeated = (is_cached & self.new_session) | is_older
        is_trade = (volume > 0) | (moved & ~repeated)
        index_moved = self.exchange_time > self.stamp_before
        is_index = ~self.is_first | (index_moved & ~self.new_session)
        price_moved = packets["last_price"] != self._value_before("last_price")
        price_only = ~self.rows.is_index & (packets["day_volume"] < 0)
        is_trade = np.where(self.rows.is_index, is_index, is_trade)
        is_trade = np.where(price_only, price_moved & ~is_cached, is_trade)
        # What the feed does not know it sends as no price at all.
        return np.asarray(is_trade & ~self.is_stale & ~np.isnan(packets["last_price"]))

    def _extreme(self, name: str, is_trade: NDArray[np.bool_]) -> NDArray[Any]:
        """Return last_price, or the day's extreme where the packet shows that it has moved.

        `is_trade` leaves out those whose session may have begun unseen.
        """
        price, day_extreme = self.packets["last_price"], self.packets[name]
        before = np.where(self.new_session, 0.0, self._value_before(name))
        if name == "day_high":
            moved = (day_extreme > before) & (day_extreme > price)
        else:  # before the first trade of a day its extremes are zero
            moved = ((day_extreme < before) | (before == 0)) & (day_extreme < price)
        moved &= is_trade & ~self.is_late & (day_extreme > 0)
        return np.where(moved, day_extreme, price)

    def ticks(self, number: NDArray[np.int64]) -> Columns:
        rows, packets = self.rows, self.packets
        is_cached = self._value_before("connection") != rows.connection
        volume = self._volumes(is_cached)
        is_trade = self._trades(volume, is_cached)
        stamp = np.where(is_trade & (self.trade_time > 0), self.trade_time, self.exchange_time)
        second = np.where(stamp > 0, stamp, self.received_second)
        ticks: Columns = {name: packets[name] for name in TICK_COLUMNS if name in packets}
        ticks["time"] = np.where(stamp > 0, stamp * 1_000_000, rows.received_at)
        ticks["seq"] = (second << 32) | (number & 0xFFFFFFFF)
        ticks["instrument_id"] = rows.instrument_id
        ticks["volume"] = volume
        is_compared = is_trade & ~(self.new_session & is_cached & (volume < 0))
        ticks["high"] = self._extreme("day_high", is_compared)
        ticks["low"] = self._extreme("day_low", is_compared)
        known_stamp = self.exchange_time > 0
        ticks["exchange_time"] = np.where(known_stamp, self.exchange_time * 1_000_000, MISSING)
        ticks["received_at"] = rows.received_at
        ticks["is_trade"] = is_trade
        ticks["feed"] = rows.feed
        return {name: ticks[name] for name in TICK_COLUMNS}

    def remember(self, state: Columns) -> None:
        """Carry the newest packet in order of each instrument into the state."""
        ends = np.flatnonzero(np.append(self.starts[1:], True))
        every = self.slots[ends]
        state["seen_on"][every] = self.rows.connection[ends]
        state["mixed"][every] = self.is_mixed[ends]
        own = grouped.newest(self.is_own, self.starts)[ends]
        state["own_on"][every[own >= 0]] = self.rows.connection[own[own >= 0]]
        seen = self.newest[ends] >= 0
        last, slots = self.newest[ends][seen], self.slots[ends][seen]
        for name in ("day_high", "day_low", "last_price"):
            state[name][slots] = self.packets[name][last]
        for name, highest in self.highest.items():  # late packets count for these
            state[name][self.slots[ends]] = highest[ends]
        state["last_trade_time"][slots] = self.trade_time[last]
        state["connection"][slots] = self.rows.connection[last]
        state["day"][slots] = self.day[last]
