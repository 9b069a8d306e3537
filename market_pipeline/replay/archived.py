"""Replays a day out of the archive: tick by tick, in the order and at the times they came."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from market_pipeline.archive import parquet
from market_pipeline.archive.layout import ArchivedKind
from market_pipeline.archive.store import Store
from market_pipeline.errors import ReplayRefused
from market_pipeline.market import MISSING, Columns
from market_pipeline.replay.comparing import whole_minutes
from market_pipeline.replay.order import Following, Order, Progress
from market_pipeline.replay.player import Player, Timing
from market_pipeline.replay.spool import Spool, columns_of, emptied
from market_pipeline.storage import archives
from market_pipeline.storage.archives import ArchivedFile
from market_pipeline.storage.database import Database
from market_pipeline.storage.replay_ticks import ReplayStore
from market_pipeline.storage.scratch import Scratch
from market_pipeline.storage.ticks import Batch

STREAM = "replay-0"
"""An archive does not tell which stream a tick came by."""

_MOST_TICKS = 10_000


@dataclass(frozen=True)
class Archived:
    """The certified files of a day, and what the numbers of feeds in them mean."""

    store: Store
    files: Sequence[ArchivedFile]
    feeds: dict[int, str]

    def batches(self, kind: ArchivedKind) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a kind.

        Raises:
            ArchiveDamaged: a file is not there, or not whole.
        """
        for file in self.files:
            if file.kind == kind:
                with self.store.open(file.path) as opened:
                    yield from parquet.batches(opened, file.path)


def find(order: Order, database: Database, store: Store) -> Archived:
    """Find a day in the archive.

    Raises:
        ReplayRefused: it is not archived here, or its archive is damaged.
    """
    certificate = archives.certificate(database, order.day)
    if certificate is None:
        raise ReplayRefused(
            f"{order.day} is not archived: choose another day, or replay it --from-journal"
        )
    if certificate.location != store.location:
        raise ReplayRefused(
            f"{order.day} is archived at {certificate.location}, and ARCHIVE_URL is "
            f"{store.location}"
        )
    if certificate.damage is not None:
        raise ReplayRefused(f"the archive of {order.day} is damaged: {certificate.damage}")
    feeds = dict(database.query("broker_of_feed").rows())
    return Archived(store, archives.files(database, order.day), feeds)


def replay(
    order: Order,
    found: Archived,
    scratch: Scratch,
    folder: Path,
    following: Following,
    timing: Timing | None = None,
) -> Progress:
    """Store the ticks of a day when they are due; `folder` holds them meanwhile.

    What was received long after the period, see Order.late_from, comes at its end.

    Raises:
        ArchiveDamaged: a file is not what it must be; nothing was replayed.
        DatabaseError: the replay has ended there.
    """
    places = sorted(found.feeds)
    brokers = [found.feeds[number] for number in places] or ["unknown"]
    store = ReplayStore(scratch, STREAM, brokers, order.chosen, order.is_kept)
    with closing(store), emptied(folder):
        spool = _spooled(order, found, np.array(places, np.int64), folder)
        player = Player(order, scratch, store, following, timing)
        position = store.open().position
        due: tuple[int, int] | None = None
        for ticks, stands_by in spool.portions(player.portion(_MOST_TICKS)):
            first, received_at = (int(ticks["received_at"][at]) * 1000 for at in (0, -1))
            # What came the next morning is due at once: with the last of those that came in time.
            if due is None or received_at < order.late_from:
                due = first, received_at
            if player.hold(*due):
                break
            batch = _batch(position, ticks, stands_by)
            store.commit(batch)
            position = batch.end
            player.passed(received_at)
    return player.end()


def _spooled(order: Order, found: Archived, places: NDArray[np.int64], folder: Path) -> Spool:
    spool, chosen = Spool(folder), order.chosen
    for kind in (ArchivedKind.TICKS, ArchivedKind.STANDBY_TICKS):
        for rows in found.batches(kind):
            ticks = columns_of(rows)
            wanted = chosen.rows(ticks)
            if not wanted.any():
                continue
            ticks = {name: column[wanted] for name, column in ticks.items()}
            ticks["feed"] = _placed(ticks["feed"], places)
            spool.add(ticks, kind is ArchivedKind.STANDBY_TICKS)
    if not spool.rows:
        raise ReplayRefused(f"the archive of {order.day} has no ticks of what was chosen")
    return spool


def _placed(feeds: NDArray[np.int16], places: NDArray[np.int64]) -> NDArray[np.int16]:
    """Return the place of each feed among those known; MISSING stays what it is."""
    found = np.searchsorted(places, feeds)
    return np.where(feeds == MISSING, MISSING, found).astype(np.int16)


def _batch(position: int, ticks: Columns, stands_by: NDArray[np.bool_]) -> Batch:
    """Lay ticks out as a writer does: sorted by instrument, then by arrival."""
    counted, own = ~stands_by, _sorted(ticks, stands_by)
    made, order = _sorted(ticks, counted)
    end = position + len(stands_by)
    return Batch(
        start=position,
        end=end,
        arrivals=int(counted.sum()),
        ticks=made,
        standby=own[0],
        last_received_at=int(ticks["received_at"][-1]) * 1000,
        order=order,
    )


def _sorted(ticks: Columns, rows: NDArray[np.bool_]) -> tuple[Columns, NDArray[np.intp]]:
    """Return some ticks by instrument, and where each is of those in the order of arrival."""
    chosen = np.flatnonzero(rows)
    by_instrument = np.argsort(ticks["instrument_id"][chosen], kind="stable")
    taken = {name: column[chosen[by_instrument]] for name, column in ticks.items()}
    return taken, np.argsort(by_instrument, kind="stable")


def as_known_then(found: Archived, order: Order) -> pl.DataFrame:
    """Return the candles of an order's whole minutes as they were archived."""
    starts_at, ends_at = whole_minutes(order)
    parts = [pl.DataFrame(batch) for batch in found.batches(ArchivedKind.CANDLES)]
    if not parts:
        return pl.DataFrame()
    candles = pl.concat(parts).filter(pl.col("time").is_between(starts_at, ends_at, closed="left"))
    if order.instrument_ids is not None:
        candles = candles.filter(pl.col("instrument_id").is_in(list(order.instrument_ids)))
    return candles.sort("instrument_id", "time")
