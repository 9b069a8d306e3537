"""Replaces the ticks of one stretch of a stream's journal, in one transaction."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market_pipeline.errors import DatabaseError, StreamTakenOver
from market_pipeline.market import DAMAGED_JOURNAL
from market_pipeline.storage.database import Connection, connect, run, translated_errors
from market_pipeline.storage.tick_copy import TickCopy
from market_pipeline.storage.ticks import Batch, Checkpoint, Position, brokers_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EVER = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))


class Difference(NamedTuple):
    """How many ticks of a stretch are stored and should be, and what that takes."""

    stored: int
    rebuilt: int
    deleted: int
    inserted: int


@contextmanager
def replacing(
    url: str, stream: str, run_id: str, brokers: Sequence[str] = ()
) -> Iterator["Replacement"]:
    """Hold a stream for a replacement; what it has not applied by the end never was.

    `brokers` are those it listens to; without any, the one that it is named after.

    Raises:
        StreamTakenOver: a process runs the stream.
        DatabaseError: nothing was changed.
    """
    with translated_errors(url), closing(connect(url)) as connection:
        row = run(connection, "take_stream_lease", stream=stream).fetchone()
        if not row or not row[0]:
            raise StreamTakenOver(
                f"stream {stream} is run by another process: stop it, as a stream that writes and "
                "a rebuild would number their ticks alike"
            )
        yield Replacement(connection, stream, run_id, brokers_of(stream, brokers))


class Replacement:
    """The ticks of a stretch as they are and as they should be, side by side."""

    def __init__(
        self, connection: Connection, stream: str, run_id: str, brokers: Sequence[str]
    ) -> None:
        self._connection, self._stream, self._run_id = connection, stream, run_id
        self._copy = TickCopy.of(connection, brokers)
        self._dropped_before: datetime | None = None

    def open(self) -> Position:
        """Take the stream over and return how far its journal is stored."""
        row = self._run("open_journal_position", stream=self._stream, run_id=self._run_id)
        return Position(*row[0])

    def begin(self, start: int, end: int, first_at: datetime) -> set[int]:
        """Forget what was rejected between two positions; return where damage was met.

        Raises:
            DatabaseError: ticks of `first_at`, when the first record was received, were dropped.
        """
        self._dropped_before = self._days_dropped()
        if self._dropped_before is not None and first_at < self._dropped_before:
            raise DatabaseError(
                f"ticks before {self._dropped_before:%Y-%m-%d %H:%M %Z} were dropped and their "
                "candles are final: choose a later --from"
            )
        run(self._connection, "set_rebuild_memory")
        for name in (
            "create_rebuild_frames",
            "create_rebuild_old",
            "create_rebuild_new",
            "create_rebuild_standby",
            "create_rebuild_standby_days",
        ):
            run(self._connection, name)
        stretch: dict[str, Any] = {"stream": self._stream, "start": start, "stop": end}
        damage = self._run("known_damage", **stretch, reason=DAMAGED_JOURNAL)
        run(self._connection, "delete_rejected", **stretch)
        return {row[0] for row in damage}

    def _days_dropped(self) -> datetime | None:
        ((dropped_before,),) = self._run("ticks_dropped_before")
        before: datetime | None = dropped_before
        return before

    def add(self, batch: Batch, received_at: NDArray[np.int64]) -> None:
        """Add what a part of the stretch means, and when its frames were received (us)."""
        self.expect(received_at)
        self._copy.write(self._connection, "copy_rebuild_new", batch.ticks)
        self._copy.write(self._connection, "copy_rebuild_standby", batch.standby)
        for item in batch.rejected:
            at = _EPOCH + timedelta(microseconds=item.received_at // 1000)
            values = item._asdict() | {"received_at": at}
            run(self._connection, "insert_rejected", stream=self._stream, **values)

    def expect(self, received_at: NDArray[np.int64], stood_by_before: bool = False) -> None:
        """Look for ticks that were received then (us); what stood by before the stretch stays."""
        times = [_EPOCH + timedelta(microseconds=each) for each in np.unique(received_at).tolist()]
        values = {"times": times, "stood_by_before": stood_by_before}
        run(self._connection, "add_rebuild_frames", **values)

    def compare(self, first: int, count: int) -> Difference:
        """Find the ticks that are stored of the stretch and how they differ from the new ones.

        Ticks that came late to a day that was dropped are left as they are, and so is what lacks
        of them: the archive has or will have what was stored.

        `first` is the arrival counter before the stretch, `count` what was counted in it.

        Raises:
            DatabaseError: they cannot be told from another stream's.
        """
        run(self._connection, "analyze_rebuild")
        stored = self._find_stored(first, count)
        ((rebuilt,),) = self._run("count_rebuild_new")
        deleted = run(self._connection, "create_rebuild_gone").rowcount
        inserted = run(self._connection, "create_rebuild_fresh").rowcount
        return Difference(stored, rebuilt, deleted, inserted)

    def _find_stored(self, first: int, count: int) -> int:
        """Collect the stored ticks of the stretch.

        A tick's partition is that of its own time, which for the last state of an instrument that
        trades seldom may be weeks before it was received. All ticks have been found when there
        are as many as were counted, mostly in the first hour looked at.
        """
        for since, until in self._windows():
            run(self._connection, "empty_rebuild_old")
            values = {"since": since, "until": until, "first": first, "count": count}
            if run(self._connection, "find_rebuild_old", **values).rowcount == count:
                break
        else:  # some were deleted, or another stream received in the same microsecond
            run(self._connection, "spare_foreign_ticks")
        ((stored, numbers),) = self._run("count_rebuild_old")
        if stored != numbers:
            raise DatabaseError(
                f"{stored - numbers} ticks have time and number in common with others: those of "
                f"{self._stream} cannot be told from another stream's. Choose another period"
            )
        return int(stored)

    def _windows(self) -> list[tuple[datetime, datetime]]:
        ((first, last),) = self._run("rebuild_times")
        if first is None:
            return []
        margins = (timedelta(hours=1), timedelta(days=1))
        return [*((first - margin, last + margin) for margin in margins), _EVER]

    def apply(self, arrivals: int | None, checkpoint: Checkpoint | None) -> None:
        """Store the difference, have its candles made anew, and commit.

        Raises:
            DatabaseError: a day was dropped meanwhile, or see translated_errors; nothing was
                changed.
        """
        connection = self._connection
        # A refresh under way would store again, from ticks it read before, candles deleted here.
        run(connection, "lock_candle_refresh")
        run(connection, "analyze_rebuild_difference")
        run(connection, "delete_rebuild_gone")
        run(connection, "ensure_rebuild_days")
        run(connection, "insert_rebuild_fresh")
        run(connection, "delete_rebuilt_standby")
        run(connection, "insert_rebuilt_standby")
        if arrivals is not None:
            run(connection, "set_rebuilt_arrivals", stream=self._stream, arrivals=arrivals)
        if checkpoint is not None:
            run(connection, "set_checkpoint", stream=self._stream, **checkpoint._asdict())
        # Last, because whoever waits for this lock alone holds up the writers of all streams. It is
        # early enough: the threshold is read under it and cannot move before the commit.
        run(connection, "lock_candles_shared")
        if self._days_dropped() != self._dropped_before:
            raise DatabaseError("a day of ticks was dropped meanwhile: rebuild once more")
        run(connection, "invalidate_rebuilt_candles")
        run(connection, "reopen_rebuilt_archives")
        run(connection, "forget_rebuilt_reconciliations")
        run(connection, "delete_vanished_candles")
        connection.commit()

    def _run(self, name: str, **values: Any) -> Sequence[tuple[Any, ...]]:
        return run(self._connection, name, **values).fetchall()
