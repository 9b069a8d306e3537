"""Looks whether the archive of a day is still what was certified."""

import time
from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from market_pipeline.archive import parquet
from market_pipeline.archive.layout import SUFFIX
from market_pipeline.archive.leftovers import sweep
from market_pipeline.archive.store import Store
from market_pipeline.errors import ArchiveBusy, ArchiveDamaged, ArchiveError
from market_pipeline.storage import archives
from market_pipeline.storage.archives import ArchivedFile
from market_pipeline.storage.database import Database

_NEWEST = 2
"""Days of which the values are read as well."""

_NO_CERTIFICATE = (
    "in the archive and in no certificate of this database. Who reads the folder takes them for "
    "the day's. Somebody has put them there, or they were archived after the dump that this "
    "database was restored from: then they may hold ticks that it lacks. Compare them with the "
    "certified files beside them before you move them out of the archive"
)


class Verified(NamedTuple):
    """What came of verifying many days."""

    days: int  # that are archived
    verified: int  # this time
    damaged: dict[date, str]  # now, or when they were last verified
    foreign: dict[date, str]  # this time: files that are in no certificate


class Looked(NamedTuple):
    """What was found of one day; None: nothing."""

    damage: str | None
    foreign: str | None


def verify(database: Database, store: Store, day: date, values: bool = True) -> str | None:
    """Compare a day's files with their certificate; see `look`."""
    return look(database, store, day, values).damage


def look(database: Database, store: Store, day: date, values: bool = True) -> Looked:
    """Compare a day's files with their certificate, and look for others beside them.

    Size and bytes of each file, and unless told otherwise the values as well. What is wrong with
    them is noted in archives.damage; files that are in no certificate are no damage.

    Raises:
        ArchiveError: the day has no certificate, or one of another location.
        ArchiveUnavailable: files cannot be read now; nothing is noted.
        ArchiveBusy: the day is being archived.
    """
    with archives.holding(database, day):
        certificate = archives.certificate(database, day)
        if certificate is None:
            raise ArchiveError(f"{day} is not archived")
        if certificate.location != store.location:
            raise ArchiveError(f"{day} is archived at {certificate.location}, not at this archive")
        sweep(database, store, day)
        files = archives.files(database, day)
        damage = "; ".join(problems(store, files, values)) or None
        archives.set_damage(database, day, damage)
        return Looked(damage, _foreign(store, files))


def verify_within(database: Database, store: Store, seconds: float) -> Verified:
    """Verify the newest days with their values, then the bytes of others as long as there is time.

    Those first that were not looked at for the longest, so that each has its turn.

    Raises:
        ArchiveUnavailable: files cannot be read now.
        DatabaseError: see translated_errors.
    """
    until = time.monotonic() + seconds
    known = archives.archived_days(database, store.location)
    newest = sorted(known)[-_NEWEST:]
    verified, foreign = 0, {}
    for day in [*reversed(newest), *(day for day in known if day not in newest)]:
        if verified >= len(newest) and time.monotonic() > until:
            break
        try:
            looked = look(database, store, day, values=day in newest)
        except ArchiveBusy:
            continue
        known[day] = looked.damage
        verified += 1
        if looked.foreign is not None:
            foreign[day] = looked.foreign
    damaged = {day: damage for day, damage in sorted(known.items()) if damage is not None}
    return Verified(len(known), verified, damaged, dict(sorted(foreign.items())))


def problems(store: Store, files: Sequence[ArchivedFile], values: bool) -> Iterator[str]:
    """Yield what is wrong with files, each by its name."""
    for file in files:
        try:
            _check(store, file, values)
        except ArchiveDamaged as error:
            yield str(error)


def _check(store: Store, file: ArchivedFile, values: bool) -> None:
    if (size := store.size(file.path)) != file.bytes:
        raise ArchiveDamaged(f"{file.path} has {size} bytes instead of {file.bytes}")
    with store.open(file.path) as opened, parquet.damage_named(file.path):
        if parquet.sha256(opened) != file.sha256:
            raise ArchiveDamaged(f"{file.path} has other bytes than were certified")
    if not values:
        return
    with store.open(file.path) as opened:
        digest = parquet.content(opened, file.path)
    if (digest.rows, digest.content()) != (file.rows, file.content_sha256):
        raise ArchiveDamaged(f"{file.path} has other values than were certified")


def _foreign(store: Store, files: Sequence[ArchivedFile]) -> str | None:
    """Name files that a reader of the folders would take for the day's, and what to do."""
    known = {file.path for file in files}
    folders = sorted({path.rpartition("/")[0] for path in known})
    found = [
        path
        for folder in folders
        for path in store.list(folder)
        if path.endswith(SUFFIX) and path not in known
    ]
    return f"{', '.join(found)}: {_NO_CERTIFICATE}" if found else None
