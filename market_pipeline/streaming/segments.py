"""Reads the segment files of a journal; needs no lock, also while they are written."""

from collections.abc import Iterator
from pathlib import Path

from market_pipeline.streaming.records import Damage, Record, scan

SUFFIX = ".journal"


def segments(folder: Path) -> list[tuple[int, Path]]:
    """Return the segment files of a stream's journal with their first positions, in order."""
    return sorted((int(file.stem), file) for file in folder.glob(f"*{SUFFIX}"))


def last_of(segment: Path) -> tuple[int, int]:
    """Return the position after the last whole record of a segment and when it was received."""
    end, received_at = int(segment.stem), 0
    for item in scan(segment.read_bytes(), base=end):
        end = item.end
        received_at = item.received_at if isinstance(item, Record) else received_at
    return end, received_at


def read(folder: Path, position: int, max_bytes: int) -> Iterator[Record | Damage]:
    """Yield what follows a position, about `max_bytes` of it at the most.

    A record that is not whole yet ends the reading; a damaged one in the middle is passed over
    and reported. A position older than the oldest segment starts at that segment, with the
    missing stretch reported as damage.
    """
    remaining = max_bytes
    for base, path, following in _segments_from(folder, position):
        if position < base:
            yield Damage(position, base, b"")
            position = base
        end, at_end = position, False
        for item in _scan_file(path, position, base, remaining):
            end = item.end
            yield item
        at_end = path.stat().st_size <= end - base or (following is not None and end == position)
        if following is not None and at_end and end < following:
            yield Damage(end, following, _bytes_between(path, end - base, following - base))
            end = following
        remaining -= end - position
        position = end
        if remaining <= 0 or not at_end:
            return


def _scan_file(path: Path, position: int, base: int, max_bytes: int) -> Iterator[Record | Damage]:
    """Scan a part of a segment, more than asked for where one record is larger than that."""
    size = path.stat().st_size
    while True:
        data = _bytes_between(path, position - base, min(size, position - base + max_bytes))
        found = False
        for item in scan(data, position):
            found = True
            yield item
        if found or position - base + max_bytes >= size:
            return
        max_bytes *= 4


def _bytes_between(path: Path, start: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(max(end - start, 0))


def _segments_from(folder: Path, position: int) -> Iterator[tuple[int, Path, int | None]]:
    """Yield the first position, the file and the following first position of each segment."""
    found = segments(folder)
    bases: list[int | None] = [base for base, _ in found]
    for (base, path), following in zip(found, [*bases[1:], None], strict=False):
        if following is None or position < following:
            yield base, path, following
