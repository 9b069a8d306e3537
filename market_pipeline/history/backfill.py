"""A backfill from end to end: for which instruments, what is missing, and fetching it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import polars as pl

from market_pipeline.errors import ConfigurationError, RequestRefused
from market_pipeline.history.fetching import Fetcher, Source, Totals
from market_pipeline.history.planning import SETTLED, Contract, Plan, plan
from market_pipeline.market import Interval
from market_pipeline.sessions import Calendar, Session, bounds, trading_date
from market_pipeline.storage import history, instruments

MINUTE = Interval("1m", 1)


class Scope(NamedTuple):
    """Whose history: instruments by name, all of underlyings, of segments; else the subscribed."""

    names: Sequence[str] = ()
    underlyings: Sequence[str] = ()
    segments: Sequence[str] = ()


class Backfill:
    """Fetches what is missing from one source."""

    def __init__(self, source: Source, calendar: Calendar) -> None:
        """Prepare a backfill.

        Raises:
            RequestRefused: the broker has no candles of that length.
        """
        lengths = sorted(source.broker.max_days)
        if source.interval.minutes not in lengths:
            known = ", ".join(f"{minutes}m" for minutes in lengths)
            raise RequestRefused(
                f"{source.broker_name} has no candles of {source.interval.minutes} minutes: choose "
                f"of {known}"
            )
        self.source, self.calendar = source, calendar

    def contracts(self, scope: Scope) -> list[Contract]:
        """Return the instruments in a scope.

        Raises:
            UnknownInstrument: a name means nothing.
            ConfigurationError: there is none.
        """
        source = self.source
        found = instruments.resolve(source.database, source.broker_name, scope.names)
        contracts = self._contracts(
            [instrument_id for instrument_id, _ in found],
            [name.upper() for name in scope.underlyings],
            [name.upper() for name in scope.segments],
        )
        if not contracts:
            raise ConfigurationError(
                "no instrument is meant: subscribe some, or name instruments, underlyings or "
                "segments that the broker lists"
            )
        return contracts

    def of_ids(self, instrument_ids: Sequence[int]) -> list[Contract]:
        """Return instruments by their ids; without any, those that are subscribed."""
        return self._contracts(instrument_ids, [], [])

    def _contracts(
        self, instrument_ids: Sequence[int], underlyings: Sequence[str], segments: Sequence[str]
    ) -> list[Contract]:
        rows = self.source.database.query(
            "history_contracts",
            broker=self.source.broker_name,
            instrument_ids=list(instrument_ids),
            underlyings=list(underlyings),
            segments=list(segments),
        )
        return [Contract(**row) for row in rows.iter_rows(named=True)]

    def plan(
        self,
        contracts: Sequence[Contract],
        days: Sequence[date],
        now: datetime,
        again: bool = False,
        closed_only: bool = False,
    ) -> Plan:
        """Return what is to be asked for of some days; with `again` also what is there already.

        Days without trading and days to come are passed over, and with `closed_only` sessions whose
        candles may still change.
        """
        before = now - SETTLED if closed_only else None
        sessions = {
            exchange: [
                each
                for each in self._sessions(exchange, days, now)
                if before is None or each.closes_at <= before
            ]
            for exchange in {each.exchange for each in contracts}
        }
        settled = max(SETTLED, timedelta(minutes=self.source.interval.minutes))
        return self.plan_sessions(contracts, sessions, settled, again)

    def plan_sessions(
        self,
        contracts: Sequence[Contract],
        sessions: Mapping[str, Sequence[Session]],
        settled: timedelta,
        again: bool = False,
    ) -> Plan:
        """Return what is to be asked for of some sessions, or parts of them, of each exchange.

        Answers count that were asked for `settled` after the session or part had ended.
        """
        days = [session.day for some in sessions.values() for session in some]
        before = _NOTHING if again or not days else self._covering(contracts, min(days), max(days))
        most_days = self.source.broker.max_days[self.source.interval.minutes]
        return plan(contracts, sessions, before, most_days, settled)

    def fetch(
        self, wanted: Plan, purpose: str, report: Callable[[Totals], None] = lambda totals: None
    ) -> Totals:
        """Make the requests of a plan: see Fetcher.run for what it raises."""
        return Fetcher(self.source, purpose, report).run(wanted.requests)

    def _covering(self, contracts: Sequence[Contract], first: date, last: date) -> pl.DataFrame:
        return history.covering(
            self.source.database,
            self.source.broker_name,
            self.source.interval.minutes,
            [each.instrument_id for each in contracts],
            bounds(first, last),
        )

    def _sessions(self, exchange: str, days: Sequence[date], now: datetime) -> Sequence[Session]:
        until = trading_date(now)
        found = (self.calendar.session(exchange, day) for day in sorted(days) if day <= until)
        return [session for session in found if session and session.opens_at <= now]


_NOTHING = pl.DataFrame(
    schema={
        "instrument_id": pl.Int64,
        "starts_at": pl.Datetime("us", "UTC"),
        "ends_at": pl.Datetime("us", "UTC"),
        "asked_at": pl.Datetime("us", "UTC"),
        "outcome": pl.String,
    }
)
