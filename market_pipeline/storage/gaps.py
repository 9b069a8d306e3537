"""The ledger of gaps, as far as filling them goes."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from market_pipeline.storage.database import Database


class Gap(NamedTuple):
    """A time in which packets may have been missed; without instruments, of any."""

    gap_id: int
    started_at: datetime
    ended_at: datetime
    cause: str
    instruments: list[int]
    repair_attempts: int


def end_abandoned(database: Database, brokers: Sequence[str], per_stream: int) -> None:
    """End gaps of streams that are gone for good, for what others carry or nobody wants any more.

    `brokers` are those whose streams are wanted, the preferred one first.
    """
    values = {"brokers": list(brokers), "per_stream": per_stream}
    database.execute("end_abandoned_gaps", **values)


def to_repair(database: Database, closed_before: datetime, now: datetime) -> list[Gap]:
    """Return the gaps that wait to be filled, the newest first, whichever stream had them.

    Only those whose minutes had all closed before an instant.
    """
    rows = database.query("gaps_to_repair", closed_before=closed_before, now=now)
    return [Gap(*row) for row in rows.iter_rows()]


def repaired(database: Database, gap: Gap, by: str) -> None:
    """Note what has filled a gap; it is not looked at again."""
    database.execute("set_gap_repaired", gap_id=gap.gap_id, repaired_by=by)


def repair_failed(
    database: Database, gap: Gap, failure: str, again_after: datetime, is_given_up: bool
) -> None:
    """Note why a gap could not be filled, and when that may be tried again."""
    database.execute(
        "set_gap_repair_failed",
        gap_id=gap.gap_id,
        failure=failure,
        repair_after=again_after,
        is_given_up=is_given_up,
    )
