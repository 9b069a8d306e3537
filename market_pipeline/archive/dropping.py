"""Drops days of ticks whose archive was looked at a moment before, and no others."""

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from market_pipeline.archive.day import write_day
from market_pipeline.archive.store import Store
from market_pipeline.archive.verifying import verify
from market_pipeline.errors import ArchiveDamaged, ArchiveError, DatabaseError, is_transient
from market_pipeline.storage import archives, retention
from market_pipeline.storage.database import Database

Reached = Callable[[str], None]


class Expiry(NamedTuple):
    """What became of the days that were kept long enough."""

    dropped: list[date]
    kept: dict[date, str]  # and why
    may_try_again: bool


def drop_day(
    database: Database, store: Store, day: date, reached: Reached = lambda stage: None
) -> None:
    """Drop the ticks of a day, once the files of its archive are found to be as certified.

    A day without any tick needs no archive. The database refuses as well: see drop_archived_day().

    Raises:
        ArchiveDamaged: names the file; also noted in archives.damage. The ticks stay.
        ArchiveError: the ticks are in no archive, or not all of them. They stay.
        DatabaseUnavailable: somebody reads ticks for long; try again, nothing is half done.
        DatabaseError: late ticks of the day keep arriving.
    """
    if retention.has_ticks(database, day):
        _require_whole(database, store, day)
        if (reason := retention.why_kept(database, day)) is not None:
            raise ArchiveError(f"ticks of {day} stay: {reason}")
    reached("verified")
    with archives.holding(database, day):
        retention.drop(database, day)
    reached("dropped")


def _require_whole(database: Database, store: Store, day: date) -> None:
    if archives.certificate(database, day) is None:
        return
    if (damage := verify(database, store, day, values=False)) is not None:
        raise ArchiveDamaged(f"ticks of {day} stay, their archive is damaged: {damage}")


def drop_expired(
    database: Database, store: Store, before: date, reached: Reached = lambda stage: None
) -> Expiry:
    """Drop the days of ticks before a date, oldest first; archive first what is not archived.

    A day that must stay holds up no other.
    """
    found = Expiry([], {}, False)
    for day in retention.expired(database, before):
        reached(str(day))
        try:
            if retention.has_ticks(database, day):
                write_day(database, store, day)
            drop_day(database, store, day)
        except (ArchiveError, DatabaseError) as error:
            found.kept[day] = str(error)
            found = found._replace(may_try_again=found.may_try_again or is_transient(error))
        else:
            found.dropped.append(day)
    return found
