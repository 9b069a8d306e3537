"""The truth: one exchange whose snapshots, live prints and candles derive from the same trades."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np

from market_pipeline.market import Columns
from market_pipeline.sessions import Calendar, Session, trading_dates
from market_pipeline.simulator import book
from market_pipeline.simulator.book import Prints, no_prints, print_trades
from market_pipeline.simulator.ledger import DAY, Days, Ledger, last_minutes, typical_price
from market_pipeline.simulator.listing import UNITS, Listing
from market_pipeline.simulator.noise import Int
from market_pipeline.simulator.quotes import Quotes, with_changes
from market_pipeline.simulator.tape import Minutes, Tape, Trades, split

DAY_MINUTES = 1440
"""The length of a candle that covers a whole session."""

_EPOCH = date(1970, 1, 1)
_LONGEST_CLOSURE = 30  # days
_IST_SECONDS = 19_800


class Exchange:
    """Answers what had happened by any second. Told the time, never asks for it.

    A second belongs to what has happened as soon as it begins: an instrument trades at most once
    in a second, so an answer stamped with a second is complete for it. `quotes` says how often
    something is sent because only the book changed: 1 for about as often as a broker, 0 for never.
    """

    def __init__(
        self, listing: Listing, tape: Tape, calendar: Calendar, quotes: float = 1.0
    ) -> None:
        self.listing = listing
        self.tape = tape
        self.calendar = calendar
        self._quotes = Quotes(listing, tape.keys, quotes) if quotes else None
        self._ledger = Ledger(tape, len(listing))

    def rows(self, tokens: Int) -> Int:
        """Return the rows of the tokens that are listed."""
        known = self.listing.row_by_token
        return np.array([known[t] for t in tokens.tolist() if t in known], np.int64)

    def snapshot(self, tokens: Int, at: int) -> Columns:
        """Return the last packet of each listed token as of a second since 1970.

        Until something was sent in a session that is the last one of an earlier session.
        """
        return self.packets(self.prints(self.rows(tokens), at))

    def packets(self, prints: Prints) -> Columns:
        """Make the packets that a broker sends for prints."""
        return book.packets(self.listing, self.tape.keys, prints)

    def prints(self, rows: Int, at: int) -> Prints:
        """Return the last print of each instrument as of a second since 1970."""
        result = no_prints(len(rows))
        for venue, name in enumerate(self.listing.venues):
            here = np.flatnonzero(self.listing.venue[rows] == venue)
            if here.size:
                _put(result, here, self._venue_prints(name, rows[here], at))
        return result

    def _venue_prints(self, venue: str, rows: Int, at: int) -> Prints:
        session = self.session_by(venue, at)
        closed = self.closed(venue, rows, session)
        second = min(at, epoch(session, "closes") - 1)
        before = self._ledger.before(rows, session, second // 60)
        minute = self._minute(rows, session, second // 60)
        done = self.trades(rows, minute)
        count = (done.exists & (done.second <= second)).sum(axis=1)
        result = self._last_prints(rows, before, minute, count, closed.close)
        changed = np.zeros_like(rows) if self._quotes is None else self._quotes.last(rows, second)
        np.maximum(result.sent, changed, out=result.sent)
        quiet = (count == 0) & ~before["traded"]
        empty = np.flatnonzero(quiet & (changed >= epoch(session, "opens")))
        if empty.size:
            days = self._untraded(rows[empty], closed.pick(empty))
            _put(result, empty, days._replace(sent=changed[empty]))
            quiet[empty] = False
        self._look_back(result, np.flatnonzero(quiet & (closed.trades > 0)), venue, session)
        new = np.flatnonzero(quiet & (closed.trades == 0))
        if new.size:
            _put(result, new, _never_traded(rows[new], closed.pick(new)))
        return result

    def _look_back(self, result: Prints, quiet: Int, venue: str, session: Session) -> None:
        """Put the last print of an earlier session where there was no trade in this one."""
        if quiet.size:
            earlier = epoch(session, "opens") - 1
            _put(result, quiet, self._venue_prints(venue, result.row[quiet], earlier))

    def _last_prints(
        self, rows: Int, before: Days, minute: Minutes, count: Int, closed: Int
    ) -> Prints:
        """Print the last of the first `count` trades of a minute, or of the minute before."""
        live = count > 0
        earlier = last_minutes(before)
        minute = Minutes(*(np.where(live, a, b) for a, b in zip(minute, earlier, strict=True)))
        unlived = before.copy()
        unlived["volume"] -= np.where(live, 0, earlier.volume)
        unlived["turnover"] -= np.where(live, 0, earlier.volume * typical_price(earlier))
        trades = self.trades(rows, minute)
        every = print_trades(rows, unlived, minute, trades, closed)
        last = np.maximum(np.where(live, count, minute.trades) - 1, 0)
        return every.pick((np.arange(len(rows)), last))

    def _minute(self, rows: Int, session: Session, minute: int) -> Minutes:
        return self.tape.minutes(rows, session, minute, 1).pick((slice(None), 0))

    def trades(self, rows: Int, minute: Minutes) -> Trades:
        """Return the trades that make one minute of each instrument."""
        return split(minute, self.tape.keys[rows], self.tape.grid[rows], self.listing.lot[rows])

    def minute_prints(self, venue: str, rows: Int, minute: int) -> Prints:
        """Return what is sent in a minute, in order of time; nothing outside the session."""
        session = self.session_by(venue, minute * 60)
        if minute * 60 >= epoch(session, "closes") or not rows.size:
            return no_prints()
        before = self._ledger.before(rows, session, minute)
        candles = self._minute(rows, session, minute)
        trades = self.trades(rows, candles)
        closed = self.closed(venue, rows, session)
        every = print_trades(rows, before, candles, trades, closed.close)
        chosen = np.nonzero(trades.exists)
        sent = every.pick(chosen)
        if self._quotes is not None:
            changes = self._quotes.minute(rows, minute)
            sent = with_changes(self._latest(rows, before, closed), sent, chosen[0], changes)
        return sent.pick(np.argsort(sent.sent - minute * 60, kind="stable"))

    def _latest(self, rows: Int, before: Days, closed: Minutes) -> Prints:
        """Print the last trade of each instrument's day, or a day that has not traded yet."""
        none = np.zeros(len(rows), np.int64)
        result = self._last_prints(rows, before, last_minutes(before), none, closed.close)
        quiet = np.flatnonzero(~before["traded"])
        if quiet.size:
            _put(result, quiet, self._untraded(rows[quiet], closed.pick(quiet)))
        return result

    def _untraded(self, rows: Int, closed: Minutes) -> Prints:
        """Print days without a trade: brokers empty the day's figures when a session begins.

        Price, quantity, time and open interest remain those of the last trade before.
        """
        nothing = np.zeros(len(rows), DAY)
        prints = self._last_prints(rows, nothing, closed, closed.trades, closed.close)
        new = np.flatnonzero(closed.trades == 0)
        if new.size:
            _put(prints, new, _never_traded(rows[new], closed.pick(new)))
        emptied = ("day_volume", "day_open", "day_high", "day_low", "average")
        return prints._replace(**{name: np.zeros(len(rows), np.int64) for name in emptied})

    def closed(self, venue: str, rows: Int, session: Session) -> Minutes:
        """Return what the session before `session` closed at."""
        return self.tape.closing(rows, self.session_by(venue, epoch(session, "opens") - 1))

    def session_by(self, venue: str, at: int) -> Session:
        """Return the last session that had opened by a second since 1970."""
        day = _EPOCH + timedelta(days=int(trading_dates(np.array([at]))[0]))
        for _ in range(_LONGEST_CLOSURE):
            session = self.calendar.session(venue, day)
            if session is not None and epoch(session, "opens") <= at:
                return session
            day -= timedelta(days=1)
        raise LookupError(f"{venue} had no session in the {_LONGEST_CLOSURE} days before {at}")

    def candles(self, token: int, minutes: int, start: int, end: int, at: int) -> Columns:
        """Return the candles whose one-minute parts begin from `start` to `end`, as of `at`.

        All three are seconds since 1970. Longer candles are anchored at the session's opening; a
        minute without a trade is flat at the previous close; the running minute is as far as it
        has come, and absent until its first trade. Nothing is older than the instrument's listing.
        """
        row = self.listing.row_by_token[token]
        venue = self.listing.securities[row].exchange
        start, end = max(start, int(self.listing.listed[row])), min(end, at)
        days = trading_dates(np.array([start, end]))
        parts = []
        for day in range(int(days[0]), int(days[1]) + 1):
            session = self.calendar.session(venue, _EPOCH + timedelta(days=day))
            if session is not None and epoch(session, "opens") <= end:
                one = self._session_candles(row, session, end, at)
                chosen = one.pick(one.minute * 60 >= start)
                parts.append(_grouped(chosen, minutes, epoch(session, "opens") // 60))
        return _candle_columns(parts, minutes)

    def _session_candles(self, row: int, session: Session, end: int, at: int) -> Minutes:
        first = epoch(session, "opens") // 60
        stop = min(end // 60 + 1, epoch(session, "closes") // 60)
        rows = np.array([row])
        found = self.tape.minutes(rows, session, first, stop - first).pick(0)
        if at // 60 == stop - 1:
            found = _running(found, self.trades(rows, found.pick(slice(-1, None))), at)
        venue = self.listing.securities[row].exchange
        return _filled(found, lambda: self.closed(venue, rows, session))


def epoch(session: Session, edge: str) -> int:
    """Return when a session `opens` or `closes`, in seconds since 1970."""
    return int((session.opens_at if edge == "opens" else session.closes_at).timestamp())


def _put(target: Prints, at: Int, source: Prints) -> None:
    for values, found in zip(target, source, strict=True):
        values[at] = found


def _never_traded(rows: Int, closed: Minutes) -> Prints:
    """Invent the last print of instruments without a past: brokers know one for everything."""
    prints = Prints(*(closed.close.copy() for _ in Prints._fields))
    return prints._replace(
        row=rows,
        second=closed.minute * 60 + 59,
        sent=closed.minute * 60 + 59,
        quantity=np.ones(len(rows), np.int64),
        day_volume=np.full(len(rows), 1_000),
        open_interest=closed.open_interest,
    )


def _running(minutes: Minutes, trades: Trades, at: int) -> Minutes:
    """Cut the last minute off at a second: nothing of the future may show."""
    done = trades.exists[0] & (trades.second[0] <= at)
    if not done.any():
        return minutes.pick(slice(None, -1))
    prices = trades.price[0][done]
    for values, value in (
        (minutes.high, prices.max()),
        (minutes.low, prices.min()),
        (minutes.close, prices[-1]),
        (minutes.volume, trades.volume[0][done][-1]),
    ):
        values[-1] = value
    return minutes


def _filled(minutes: Minutes, closing: Callable[[], Minutes]) -> Minutes:
    """Make minutes without trades flat at the close before them."""
    traded = minutes.trades > 0
    if traded.all():
        return minutes
    closed = minutes if traded[0] else closing()
    last = np.maximum.accumulate(np.where(traded, np.arange(len(traded)), -1))
    close = np.where(last < 0, closed.close[0], minutes.close[last])
    interest = np.where(last < 0, closed.open_interest[0], minutes.open_interest[last])
    return minutes._replace(
        open=np.where(traded, minutes.open, close),
        high=np.where(traded, minutes.high, close),
        low=np.where(traded, minutes.low, close),
        close=close,
        volume=np.where(traded, minutes.volume, 0),
        open_interest=interest,
    )


def _grouped(minutes: Minutes, length: int, opened: int) -> Minutes:
    """Aggregate consecutive minutes to longer candles, which begin at multiples from `opened`."""
    if length == 1 or not minutes.minute.size:
        return minutes
    bucket = (minutes.minute - opened) // length
    starts = np.flatnonzero(np.diff(bucket, prepend=-1))
    ends = np.append(starts[1:], len(bucket)) - 1
    return Minutes(
        minute=opened + bucket[starts] * length,
        open=minutes.open[starts],
        high=np.maximum.reduceat(minutes.high, starts),
        low=np.minimum.reduceat(minutes.low, starts),
        close=minutes.close[ends],
        volume=np.add.reduceat(minutes.volume, starts),
        open_interest=minutes.open_interest[ends],
        trades=np.add.reduceat(minutes.trades, starts),
    )


def _candle_columns(parts: list[Minutes], minutes: int) -> Columns:
    joint = Minutes(*(np.concatenate(v) for v in zip(*parts, strict=True))) if parts else _NOTHING
    time = joint.minute * 60
    if minutes == DAY_MINUTES:  # Kite stamps a day's candle with midnight in India
        time = (time + _IST_SECONDS) // 86_400 * 86_400 - _IST_SECONDS
    columns: Columns = {"time": time, "volume": joint.volume}
    for name in ("open", "high", "low", "close"):
        columns[name] = getattr(joint, name) / UNITS
    columns["open_interest"] = joint.open_interest
    return columns


_NOTHING = Minutes(*(np.zeros(0, np.int64) for _ in Minutes._fields))
