"""The ledger of gaps, as far as filling them goes."""

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


def to_repair(database: Database, broker: str, closed_before: datetime, now: datetime) -> list[Gap]:
    """Return the gaps of a broker's streams that wait to be filled, the newest first.

    Only those whose minutes had all closed before an instant.
    """
    rows = database.query("gaps_to_repair", broker=broker, closed_before=closed_before, now=now)
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
