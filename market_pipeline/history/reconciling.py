"""Compares a day's candles with the broker's, after the close, and repairs what differs."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market_pipeline import reconciliation
from market_pipeline.history.planning import SETTLED, Contract, plan
from market_pipeline.reconciliation import Verdict
from market_pipeline.reconciliation_report import Outcome, summaries
from market_pipeline.sessions import Calendar, Session, bounds, instrument_class
from market_pipeline.storage import history, reconciliations
from market_pipeline.storage.database import Database
from market_pipeline.storage.reconciliations import Span
from market_pipeline.tolerances import FIELDS, Tolerances

_AT_ONCE = 500
"""Instruments compared in one go and stored in one transaction: some 200,000 candles."""

_COUNTS = ("compared", "agreeing", "differing", "missing", "extra", "not_compared")
_VOLUMES = ("day_volume", "broker_day_volume")


class Reconciled(NamedTuple):
    """What the comparison of a day found: summaries of instruments, and verdicts of minutes that
    do not agree, as module reconciliation has them."""

    day: date
    summaries: pl.DataFrame
    notable: pl.DataFrame
    not_fetched: list[str]
    not_closed: list[str]
    done_before: int


class Reconciler:
    """Compares with the candles of one broker."""

    def __init__(
        self, database: Database, broker_name: str, calendar: Calendar, tolerances: Tolerances
    ) -> None:
        self._database, self._broker_name = database, broker_name
        self._calendar, self._tolerances = calendar, tolerances

    def reconcile(self, day: date, now: datetime, again: bool = False) -> Reconciled:
        """Compare the instruments of a day whose session is over and whose candles were fetched.

        Those that were compared before are left out unless `again`.

        Raises:
            DatabaseError: what was stored before stays; instruments are stored 500 at a time.
        """
        every = reconciliations.instruments(self._database, Span(*bounds(day)))
        wanted = every if again else every.filter(~pl.col("is_reconciled"))
        sessions = self._closed(wanted, day, now)
        closed = wanted.filter(pl.col("exchange").is_in(list(sessions)))
        unasked = pl.col("instrument_id").is_in(self._unasked(closed, sessions, day))
        fetched = closed.filter(~unasked)
        parts = [self._compare(rows, day) for rows in fetched.iter_slices(_AT_ONCE)]
        summed, notable = zip(*parts, strict=True) if parts else ([_NO_ROWS], [_NO_ROWS])
        return Reconciled(
            day,
            pl.concat(summed),
            pl.concat(notable),
            closed.filter(unasked)["name"].to_list(),
            wanted.join(closed, on="instrument_id", how="anti")["name"].to_list(),
            every.height - wanted.height,
        )

    def repairs(self, instrument_ids: Sequence[int], part: Session) -> pl.DataFrame:
        """Return what is to be repaired of instruments in a part of a day: see store_repairs."""
        every = reconciliations.instruments(self._database, Span(*bounds(part.day)))
        chosen = every.filter(pl.col("instrument_id").is_in(instrument_ids))
        span = Span(part.opens_at, part.closes_at)
        found = self._verdicts(self._placed(chosen, part.day), span)
        return _repairs(reconciliation.replaced(found))

    def _compare(self, instruments: pl.DataFrame, day: date) -> tuple[pl.DataFrame, pl.DataFrame]:
        span = Span(*bounds(day))
        placed = self._placed(instruments, day)
        found = self._verdicts(placed, span)
        summary = summaries(found, placed)
        backfilled = summary.filter(pl.col("verdict") == Outcome.BACKFILLED)
        replaced = reconciliation.replaced(found).join(backfilled, on="instrument_id", how="anti")
        rows = list(_rows(summary, found))
        repairs = _repairs(replaced)
        reconciliations.store_day(self._database, self._broker_name, day, span, repairs, rows)
        plain = [Verdict.AGREES, Verdict.IDLE]
        return summary, found.filter(~pl.col("verdict").is_in(plain))

    def _verdicts(self, placed: pl.DataFrame, span: Span) -> pl.DataFrame:
        ids = placed["instrument_id"].to_list()
        ours = reconciliations.live(self._database, ids, span)
        theirs = reconciliations.theirs(self._database, self._broker_name, ids, span)
        return reconciliation.verdicts(ours, theirs, placed, self._tolerances)

    def _placed(self, instruments: pl.DataFrame, day: date) -> pl.DataFrame:
        """Add the minutes in which each instrument trades continuously, and the first of them."""
        of_kind = ["exchange", "kind", "underlying", "has_derivatives"]
        kinds = instruments.select(of_kind).unique()
        minutes = [
            self._calendar.expected_minutes(row[0], instrument_class(*row), day)
            for row in kinds.iter_rows()
        ]
        hours = kinds.with_columns(
            pl.Series("continuous", [each.tolist() for each in minutes], pl.List(pl.Int64)),
            pl.Series("opening", [_first(each) for each in minutes], pl.Int64),
        )
        return instruments.join(hours, on=of_kind, nulls_equal=True)

    def _closed(self, instruments: pl.DataFrame, day: date, now: datetime) -> dict[str, Session]:
        """Return the sessions of the day that are over and whose candles have settled."""
        found = {
            exchange: self._calendar.session(exchange, day)
            for exchange in instruments["exchange"].unique()
        }
        return {
            exchange: session
            for exchange, session in found.items()
            if session and session.closes_at + SETTLED <= now
        }

    def _unasked(
        self, instruments: pl.DataFrame, closed: Mapping[str, Session], day: date
    ) -> list[int]:
        """Return those of which the whole day was not asked for since its close."""
        ids = instruments["instrument_id"].to_list()
        answers = history.covering(self._database, self._broker_name, 1, ids, bounds(day))
        columns = ("instrument_id", "name", "exchange", "segment", "kind")
        rows = instruments.select(columns).iter_rows(named=True)
        contracts = [Contract(**row, token=0) for row in rows]
        sessions = {exchange: [session] for exchange, session in closed.items()}
        left = plan(contracts, sessions, answers, most_days=1)
        return [request.contract.instrument_id for request in left.requests]


def _first(minutes: NDArray[np.int64]) -> int | None:
    return int(minutes[0]) if minutes.size else None


def _repairs(replaced: pl.DataFrame) -> pl.DataFrame:
    """Lay out verdicts as table candle_repairs has them."""
    return replaced.select(
        "instrument_id",
        "time",
        *(pl.col(f"theirs_{name}").alias(name) for name in FIELDS),
        *(pl.col(f"ours_{name}").alias(f"replaced_{name}") for name in FIELDS),
        pl.col("trades").alias("replaced_trades"),
        "fields",
        "reason",
    )


def _rows(summary: pl.DataFrame, found: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield what table reconciliations holds of each instrument."""
    is_ours = pl.col("ours_close").is_not_null()
    is_kept = (pl.col("verdict") == Verdict.EXTRA) & pl.col("theirs_close").is_null()
    is_unconfirmed = is_ours & (is_kept | (pl.col("verdict") == Verdict.NOT_COMPARED))
    kept = dict(found.filter(is_unconfirmed).group_by("instrument_id").agg("time").iter_rows())
    columns = ("instrument_id", "verdict", *_COUNTS, *_VOLUMES)
    for row in summary.select(columns).iter_rows(named=True):
        yield {**row, "unconfirmed": kept.get(row["instrument_id"], [])}


_NO_ROWS = pl.DataFrame()
