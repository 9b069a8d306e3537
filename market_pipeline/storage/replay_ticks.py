"""How a replay writes ticks: as a stream does, into a schema of its own, of its period alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from market_pipeline.errors import PositionLost
from market_pipeline.market import Columns
from market_pipeline.storage.database import Connection
from market_pipeline.storage.scratch import Scratch
from market_pipeline.storage.tick_batches import arrival_order
from market_pipeline.storage.ticks import Batch, Checkpoint, GapEvent, Position, Rejected, TickStore

_RUN_ID = "replay"


@dataclass(frozen=True)
class Chosen:
    """Which ticks are replayed: those of some instruments, by their time (us since 1970)."""

    starts_at: int
    ends_at: int
    instrument_ids: NDArray[np.int64] | None = None
    """Of all where None."""

    def rows(self, ticks: Columns) -> NDArray[np.bool_]:
        """Return which of some ticks are among them."""
        rows: NDArray[np.bool_] = (ticks["time"] >= self.starts_at) & (ticks["time"] < self.ends_at)
        if self.instrument_ids is not None:
            rows &= np.isin(ticks["instrument_id"], self.instrument_ids)
        return rows


class Start(NamedTuple):
    """Where a journal is read from: what was remembered there, and of the record before."""

    checkpoint: Checkpoint
    received_at: datetime | None
    is_stopped: bool
    """Whether the process had ended in order there."""


class ReplayStore(TickStore):
    """Writes one stream's ticks into the schema of a replay; they keep their numbers.

    With `is_kept` false they are put out for listeners and not stored.
    """

    def __init__(
        self,
        scratch: Scratch,
        stream: str,
        brokers: Sequence[str],
        chosen: Chosen,
        is_kept: bool = True,
    ) -> None:
        scratch.require_apart()
        super().__init__(scratch.url, stream, _RUN_ID, brokers)
        self.stream, self.brokers = stream, brokers
        self._scratch, self._chosen, self._is_kept = scratch, chosen, is_kept
        self._start: Checkpoint | None = None
        self._is_begun = False
        self.arrivals = self.standby = 0
        """How many ticks were committed: clients count these. And how many that stood by."""
        self.instrument_ids: set[int] = set()
        """Whose ticks, of either."""

    def begin(self, start: Start) -> None:
        """Let the stream begin where a journal is read from, with what was remembered there.

        Raises:
            DatabaseUnavailable: the schema cannot be reached.
        """
        self._start = start.checkpoint
        self._scratch.database.execute(
            "begin_replay_position",
            stream=self._stream,
            position=start.checkpoint.position,
            last_received_at=start.received_at,
            is_stopped=start.is_stopped,
        )

    def open(self) -> Position:
        """Return where the replay begins.

        Raises:
            PositionLost: it has begun already.
        """
        if self._is_begun:
            raise PositionLost("the server has lost what was replayed: begin the replay anew")
        self._is_begun = True
        found = super().open()
        start = self._start
        if start is None:
            return found
        return found._replace(
            arrivals=start.arrivals,
            checkpoint_arrivals=start.arrivals,
            checkpoint_connection=start.connection,
            checkpoint=start.state,
        )

    def commit(self, batch: Batch) -> None:
        """Store of a batch what was chosen; see TickStore.commit."""
        rows = self._chosen.rows(batch.ticks)
        order = arrival_order(batch.arrivals, batch.ticks) if batch.order is None else batch.order
        arrivals = self.arrivals + int(rows.sum())
        standby = _taken(batch.standby, self._chosen.rows(batch.standby))
        super().commit(
            replace(
                batch,
                ticks=_taken(batch.ticks, rows),
                standby=standby,
                order=(np.cumsum(rows) - 1)[order[rows[order]]],
                arrivals=arrivals,
                checkpoint=None,  # a replay is never resumed
            )
        )
        self.arrivals = arrivals
        self.standby += len(standby["time"])
        for ticks in (batch.ticks["instrument_id"][rows], standby["instrument_id"]):
            self.instrument_ids.update(np.unique(ticks).tolist())

    def _ensure_days(self, batch: Batch) -> None:
        if self._is_kept:
            super()._ensure_days(batch)

    def _copy_ticks(self, connection: Connection, batch: Batch) -> None:
        if self._is_kept:
            super()._copy_ticks(connection, batch)

    def _record_gaps(self, connection: Connection, events: Sequence[GapEvent]) -> None:
        if self._is_kept:
            super()._record_gaps(connection, events)

    def _record_rejected(self, connection: Connection, items: Sequence[Rejected]) -> None:
        if self._is_kept:
            super()._record_rejected(connection, items)


def _taken(ticks: Columns, rows: NDArray[np.bool_]) -> Columns:
    return ticks if rows.all() else {name: column[rows] for name, column in ticks.items()}
