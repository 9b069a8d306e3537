"""Archives a day: writes it, reads it back, compares it once more, and only then certifies it."""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from market_pipeline.archive import additions, parquet
from market_pipeline.archive.digest import Digest, Sums
from market_pipeline.archive.layout import STAGED, ArchivedKind, new_path
from market_pipeline.archive.leftovers import scratch_of, sweep
from market_pipeline.archive.reading import Contents, contents, rows_of, symbols
from market_pipeline.archive.store import Store, translated
from market_pipeline.archive.verifying import problems
from market_pipeline.errors import ArchiveDamaged, ArchiveError, DayChanged
from market_pipeline.storage import archives
from market_pipeline.storage.archives import ArchivedFile, Certificate, Snapshot
from market_pipeline.storage.database import Database

_ATTEMPTS = 3
_VERSION = 1

Reached = Callable[[str], None]
"""Is told what has been done, for who shows progress."""


class _Part(NamedTuple):
    """A file under way."""

    contents: Contents
    path: str

    def scratch(self, store: Store) -> Path:
        return scratch_of(store, self.path)


def write_day(
    database: Database, store: Store, day: date, reached: Reached = lambda stage: None
) -> Certificate:
    """Archive a day that is over, unless it is archived as it is; return the certificate.

    Guarantee: there is a certificate only of files that were read back and found equal to the
    database. Whenever the program ends before, the day has none or its last one, and the files of
    that; what was begun is deleted by the next call.

    Raises:
        DayChanged: ticks of the day keep coming in; call again.
        ArchiveBusy: another program archives the day.
        ArchiveUnavailable: the disk is full, or the object store does not answer.
        ArchiveRefused: files may not be written.
        ArchiveDamaged: what was read back is not what was written.
        ArchiveError: the day is not over, or its ticks were dropped.
        DatabaseError: see translated_errors.
    """
    with archives.holding(database, day):
        sweep(database, store, day)
        if (certificate := _valid(database, store, day)) is not None:
            return certificate
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _write(database, store, day, reached)
                break
            except DayChanged:
                sweep(database, store, day)
                if attempt == _ATTEMPTS:
                    raise
        sweep(database, store, day)
        reached("swept")
        certificate = archives.certificate(database, day)
    assert certificate is not None
    return certificate


def _valid(database: Database, store: Store, day: date) -> Certificate | None:
    """Return a day's certificate unless the day is to be archived again."""
    found = archives.certificate(database, day)
    if found is None or found.location != store.location or found.changed_at:
        return None
    # Damage may be no more than a file that somebody has put there.
    if found.damage and any(problems(store, archives.files(database, day), values=True)):
        return None
    return found


def _write(database: Database, store: Store, day: date, reached: Reached) -> None:
    changed = DayChanged(f"{day} was written to while it was archived: archive it again")
    archives.begin(database, day)
    reached("begun")
    kept = _only_copies(database, store, day)
    known = additions.known_instruments(store, kept)
    with archives.snapshot(database) as reading:
        wanted = additions.lacking(contents(reading, day), known)
    parts = [_Part(each, new_path(each.kind, each.exchange, day)) for each in wanted]
    archives.note(database, store.location, day, [part.path for part in parts])
    reached("noted")
    with archives.snapshot(database) as reading:
        files = [_write_part(reading, store, part, day, reached) for part in parts]
    if not _read_back(store, parts, files):
        raise changed
    reached("read back")
    with archives.snapshot(database) as reading:
        now = additions.lacking(contents(reading, day), known)
        if not _agrees(reading, parts, files, now, day):
            raise changed
    reached("compared")
    for file in files:
        store.publish(file.path)
        reached(f"published {file.kind}")
    _require_sizes(store, files)
    sha256 = _of_ticks([*kept, *files])
    archives.certify(database, day, store.location, files, kept, sha256)
    reached("certified")


def _only_copies(database: Database, store: Store, day: date) -> list[ArchivedFile]:
    """Return the files of a day whose ticks were dropped: what came late is added to them."""
    kept = archives.dropped_files(database, day)
    found = archives.certificate(database, day)
    if kept and found is not None and found.location != store.location:
        raise ArchiveError(
            f"{day} is archived at {found.location} and its ticks were dropped, so that late ones "
            f"cannot be archived at {store.location}: restore it with the ARCHIVE_URL it was "
            "archived with"
        )
    return kept


def _write_part(
    reading: Snapshot, store: Store, part: _Part, day: date, reached: Reached
) -> ArchivedFile:
    """Write a file in the scratch folder and hand it to the store."""
    kind, exchange, scratch = part.contents.kind, part.contents.exchange, part.scratch(store)
    digest = Digest()
    about = {"version": _VERSION, "kind": kind, "exchange": exchange, "date": str(day)}
    feeds = reading.rows("broker_of_feed").rows()
    about["feeds"] = {str(feed): broker for feed, broker in feeds}
    about["instruments"] = symbols(reading, part.contents, day)
    with translated(f"the scratch folder {store.scratch}"):
        scratch.parent.mkdir(parents=True, exist_ok=True)
        with parquet.ParquetFile(scratch, about) as file:
            for batch in rows_of(reading, part.contents, day):
                digest.add(batch)
                file.write(batch)
        size = scratch.stat().st_size
        with scratch.open("rb") as opened:
            sha256 = parquet.sha256(opened)
    reached(f"written {kind}")
    store.stage(scratch, part.path)
    reached(f"staged {kind}")
    return ArchivedFile(part.path, kind, exchange, digest.rows, size, sha256, digest.content())


def _read_back(store: Store, parts: Sequence[_Part], files: Sequence[ArchivedFile]) -> bool:
    """Tell whether staged files have as much of each instrument as the database has counted.

    Raises:
        ArchiveDamaged: they do not hold what was written to them.
    """
    for part, file in zip(parts, files, strict=True):
        with store.open(file.path + STAGED) as opened:
            digest = parquet.content(opened, file.path)
        if digest.content() != file.content_sha256:
            raise ArchiveDamaged(f"{file.path} does not hold what was written to it")
        if not _same_sums(part.contents.instruments, digest.sums()):
            return False
    return True


def _agrees(
    reading: Snapshot,
    parts: Sequence[_Part],
    files: Sequence[ArchivedFile],
    now: Sequence[Contents],
    day: date,
) -> bool:
    """Tell whether the database has what the files have, reading all of it once more."""
    if [each[:2] for each in now] != [part.contents[:2] for part in parts]:
        return False
    return all(
        _digest(rows_of(reading, each, day)) == file.content_sha256
        for each, file in zip(now, files, strict=True)
    )


def _digest(batches: Iterable[object]) -> str:
    digest = Digest()
    for batch in batches:
        digest.add(batch)
    return digest.content()


def _same_sums(counted: pl.DataFrame, found: dict[int, Sums]) -> bool:
    """Compare with what the database itself has counted and summed."""
    columns = ("instrument_id", "rows", "volume", "price")
    expected = {key: values for key, *values in counted.select(columns).iter_rows()}
    if expected.keys() != found.keys():
        return False
    return all(
        rows == found[key].rows
        and int(volume or 0) == found[key].volume
        and math.isclose(price or 0, found[key].price, rel_tol=1e-9)
        for key, (rows, volume, price) in expected.items()
    )


def _require_sizes(store: Store, files: Sequence[ArchivedFile]) -> None:
    for file in files:
        if (size := store.size(file.path)) != file.bytes:
            raise ArchiveDamaged(f"{file.path} has {size} bytes instead of {file.bytes}")


def _of_ticks(files: Sequence[ArchivedFile]) -> str:
    """Return the SHA-256 of the day's ticks: of their files' contents, by kind and exchange."""
    whole = hashlib.sha256()
    for each in sorted(files, key=lambda file: (file.kind, file.exchange, file.content_sha256)):
        if each.kind in (ArchivedKind.TICKS, ArchivedKind.STANDBY_TICKS):
            whole.update(f"{each.kind} {each.exchange} {each.content_sha256}\n".encode())
    return whole.hexdigest()
