"""Fills recorded gaps with the broker's candles, within minutes of their end."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from market_pipeline.history.backfill import Backfill
from market_pipeline.history.fetching import SETTLES_WITHIN
from market_pipeline.history.planning import Contract
from market_pipeline.history.reconciling import Reconciler
from market_pipeline.sessions import Session, trading_date
from market_pipeline.storage import gaps, reconciliations
from market_pipeline.storage.database import Database
from market_pipeline.storage.gaps import Gap

_ATTEMPTS = 8
_FIRST_DELAY = timedelta(minutes=1)
"""Until the second attempt; doubled before each further one: given up after about two hours."""


_MINUTE = timedelta(minutes=1)


class Filled(NamedTuple):
    """What became of the gaps that were looked at, and how many candles were replaced."""

    gaps: int = 0
    without_trading: int = 0
    failed: int = 0
    candles: int = 0


class Repairer:
    """Fills gaps with the candles of one broker, the preferred one."""

    def __init__(
        self, database: Database, broker_name: str, work: Backfill, reconciler: Reconciler
    ) -> None:
        self._database, self._broker_name = database, broker_name
        self._work, self._reconciler = work, reconciler

    def repair(self, now: datetime) -> Filled:
        """Fill the gaps that wait, the newest first; each is noted when it is filled.

        A gap that the broker refuses to fill is tried again later, eight times in all.

        Raises:
            TokenExpired: log in; nothing counts as an attempt.
            BrokerUnavailable: likewise; the gaps before are filled.
            DatabaseError: the gaps before are filled.
        """
        filled = Filled()
        for gap in gaps.to_repair(self._database, now - SETTLES_WITHIN, now):
            filled = Filled(*map(sum, zip(filled, self._fill(gap, now), strict=True)))
        return filled

    def _fill(self, gap: Gap, now: datetime) -> Filled:
        contracts = self._work.of_ids(gap.instruments)
        sessions = {
            exchange: self._touched(exchange, gap)
            for exchange in {contract.exchange for contract in contracts}
        }
        if not any(sessions.values()):
            gaps.repaired(self._database, gap, "nothing to fill: no exchange was open")
            return Filled(without_trading=1)
        plan = self._work.plan_sessions(contracts, sessions, SETTLES_WITHIN)
        totals = self._work.fetch(plan, "gap")
        left = self._work.plan_sessions(contracts, sessions, SETTLES_WITHIN)
        candles = self._replace(gap, contracts, sessions)
        if left.requests:
            self._note_failure(gap, totals.failures, now)
            return Filled(failed=1, candles=candles)
        by = f"{self._broker_name}: {candles} candles replaced, {len(contracts)} instruments"
        if left.no_token:
            by += f"; {len(left.no_token)} of them are no longer offered"
        gaps.repaired(self._database, gap, by)
        return Filled(gaps=1, candles=candles)

    def _touched(self, exchange: str, gap: Gap) -> list[Session]:
        """Return the minutes of trading that a gap touches, day by day."""
        begins = gap.started_at.replace(second=0, microsecond=0)
        ends = gap.ended_at.replace(second=0, microsecond=0) + _MINUTE
        found = []
        day = trading_date(begins)
        while day <= trading_date(ends):
            session = self._work.calendar.session(exchange, day)
            if session and begins < session.closes_at and session.opens_at < ends:
                opens, closes = max(begins, session.opens_at), min(ends, session.closes_at)
                found.append(Session(day, opens, closes))
            day += timedelta(days=1)
        return found

    def _replace(
        self, gap: Gap, contracts: Sequence[Contract], sessions: Mapping[str, Sequence[Session]]
    ) -> int:
        """Let the broker's candles replace ours where they differ; return how many."""
        replaced = 0
        for exchange, touched in sessions.items():
            ids = [each.instrument_id for each in contracts if each.exchange == exchange]
            for part in touched:
                repairs = self._reconciler.repairs(ids, part)
                reconciliations.store_repairs(
                    self._database, self._broker_name, repairs, f"gap {gap.gap_id}"
                )
                replaced += repairs.height
        return replaced

    def _note_failure(self, gap: Gap, failures: Sequence[str], now: datetime) -> None:
        attempts = gap.repair_attempts + 1
        gaps.repair_failed(
            self._database,
            gap,
            failures[0] if failures else "the broker was not asked for all of it",
            now + _FIRST_DELAY * 2**gap.repair_attempts,
            is_given_up=attempts >= _ATTEMPTS,
        )
