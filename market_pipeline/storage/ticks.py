"""Commits ticks together with the journal position they came from: both, or neither."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import psycopg
from numpy.typing import NDArray

from market_pipeline import sessions
from market_pipeline.errors import PositionLost, StreamTakenOver
from market_pipeline.market import Columns, empty_ticks
from market_pipeline.storage.database import Connection, connect, run, translated_errors
from market_pipeline.storage.tick_batches import Outbox
from market_pipeline.storage.tick_copy import TickCopy

_MINUTE = 60_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Position(NamedTuple):
    """How far a stream's journal is stored."""

    position: int
    arrivals: int
    last_received_at: datetime | None
    is_stopped: bool
    checkpoint_position: int
    checkpoint_arrivals: int
    checkpoint_connection: int
    checkpoint: bytes | None


class GapEvent(NamedTuple):
    """A gap begins (with a cause) or ends (without one); feeds by their place in the stream."""

    at: int  # nanoseconds since 1970
    cause: str | None
    instruments: tuple[int, ...] = ()  # that the connection carried; empty where not known
    feed: int = 0
    covered_by: int | None = None  # the feed that has made the candles meanwhile


class Rejected(NamedTuple):
    position: int
    received_at: int  # nanoseconds since 1970
    reason: str
    payload: bytes


class Checkpoint(NamedTuple):
    """What the writer must know to go on from a position as if it had never stopped."""

    position: int
    arrivals: int
    connection: int
    state: bytes


@dataclass
class Batch:
    """Everything that one stretch of a journal means for the database."""

    start: int
    end: int
    arrivals: int
    ticks: Columns
    standby: Columns = field(default_factory=empty_ticks)  # ticks that make no candle
    last_received_at: int | None = None  # nanoseconds since 1970
    is_stopped: bool = False
    gaps: list[GapEvent] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    order: NDArray[np.intp] | None = None  # of the ticks' arrival, where seq does not tell it


class TickStore:
    """One stream's connection for writing.

    Guarantee: the rows of a batch are stored exactly once. The position is moved from the batch's
    start to its end in the transaction that stores the rows, and only by the run that opened the
    stream last. A crash of the server may undo batches of the last second, position and rows alike;
    the next commit finds that out (PositionLost). What a checkpoint covers is safe from that, and
    only that may be deleted from the journal.
    """

    def __init__(self, url: str, stream: str, run_id: str, brokers: Sequence[str] = ()) -> None:
        self._url, self._stream, self._run_id = url, stream, run_id
        self._connection: Connection | None = None
        self._brokers = brokers_of(stream, brokers)
        self._copy: TickCopy | None = None
        self._outbox = Outbox(stream)
        self._days: set[int] = set()

    def open(self) -> Position:
        """Take the stream over and return how far its journal is stored.

        Raises:
            DatabaseUnavailable: call again later.
        """
        with self._errors(), self._connected() as connection, connection.transaction():
            run(connection, "commit_durably")
            found = run(
                connection, "open_journal_position", stream=self._stream, run_id=self._run_id
            ).fetchone()
            assert found is not None
            position = Position(*found)
            values = {"brokers": list(self._brokers), "at": position.last_received_at}
            run(connection, "end_foreign_gaps", stream=self._stream, **values)
            run(connection, "begin_gaps_again", stream=self._stream, **values)
        return position

    def commit(self, batch: Batch) -> None:
        """Store a batch.

        Raises:
            StreamTakenOver: another run has opened this stream since.
            PositionLost: the database has gone back to before what it had confirmed; open again.
            DatabaseUnavailable: nothing was stored; call again with the same batch.
            RowsRefused: the database refuses the rows themselves; nothing was stored.
        """
        with self._errors():
            self._ensure_days(batch)
            try:
                self._store(batch)
            except psycopg.errors.CheckViolation:  # a day's partition was dropped meanwhile
                self._days.clear()
                self._ensure_days(batch)
                self._store(batch)

    def _store(self, batch: Batch) -> None:
        with self._connected() as connection, _transaction(connection):
            with connection.pipeline():  # one round trip: BEGIN waits for no answer
                connection.execute("BEGIN")
                threshold = self._begin(connection, batch)
            if threshold is None:
                self._require_stored(connection, batch)
                return
            if batch.checkpoint is not None:
                run(connection, "commit_durably")
            if len(batch.ticks["time"]):
                _note_late_candles(connection, batch.ticks, threshold)
                self._outbox.put(connection, batch.arrivals, batch.ticks, batch.order)
            _reopen_archives(connection, batch.standby, threshold)
            self._copy_ticks(connection, batch)
            if batch.checkpoint is not None:
                checkpoint = batch.checkpoint._asdict()
                run(connection, "set_checkpoint", stream=self._stream, **checkpoint)
            self._record_gaps(connection, batch.gaps)
            self._record_rejected(connection, batch.rejected)

    def _require_stored(self, connection: Connection, batch: Batch) -> None:
        """Accept a batch that is stored already: its connection broke after it was committed."""
        run_id, position = run(connection, "journal_owner", stream=self._stream).fetchone() or (
            self._run_id,
            -1,
        )
        if run_id != self._run_id or position > batch.end:
            raise StreamTakenOver(f"stream {self._stream} was taken over by another process")
        if position != batch.end:
            raise PositionLost(
                f"stream {self._stream} is stored up to {position}, not {batch.start} any more"
            )

    def _begin(self, connection: Connection, batch: Batch) -> int | None:
        """Move the position; return the time before which a tick is late for its candle.

        None if the position is not where the batch starts, or the stream is not ours.
        """
        traded = batch.ticks["time"][batch.ticks["is_trade"]]
        received_at = batch.last_received_at
        row = run(
            connection,
            "begin_batch",
            stream=self._stream,
            run_id=self._run_id,
            old_position=batch.start,
            position=batch.end,
            arrivals=batch.arrivals,
            is_stopped=batch.is_stopped,
            last_event_at=_from_us(int(traded.max())) if len(traded) else None,
            last_received_at=None if received_at is None else _from_ns(received_at),
            has_ticks=len(batch.ticks["time"]) > 0,
        ).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def _copy_ticks(self, connection: Connection, batch: Batch) -> None:
        if self._copy is None:
            self._copy = TickCopy.of(connection, self._brokers)
        self._copy.write(connection, "copy_ticks", batch.ticks)
        self._copy.write(connection, "copy_standby_ticks", batch.standby)

    def _record_rejected(self, connection: Connection, items: Sequence[Rejected]) -> None:
        for item in items:
            values = item._asdict() | {"received_at": _from_ns(item.received_at)}
            run(connection, "insert_rejected", stream=self._stream, **values)

    def _record_gaps(self, connection: Connection, events: Sequence[GapEvent]) -> None:
        for event in events:
            values: dict[str, Any] = {"stream": self._stream, "at": _from_ns(event.at)}
            values["broker"] = self._brokers[event.feed]
            if event.cause is None:
                run(connection, "end_gap", **values)
                continue
            covered_by = None if event.covered_by is None else self._brokers[event.covered_by]
            values |= {"cause": event.cause, "instruments": list(event.instruments)}
            run(connection, "begin_gap", **values, covered_by=covered_by)

    def _ensure_days(self, batch: Batch) -> None:
        times = np.concatenate([batch.ticks["time"], batch.standby["time"]])
        for day in sessions.distinct_trading_dates(times // 1_000_000):
            if day not in self._days:
                with self._connected() as connection:
                    run(connection, "ensure_tick_day", day=date(1970, 1, 1) + timedelta(days=day))
                self._days.add(day)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url)
            self._connection.autocommit = True
            run(self._connection, "commit_soon")
        yield self._connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with translated_errors(self._url):
                yield
        except BaseException:
            self.close()  # whatever went wrong, the next attempt starts on a fresh connection
            raise

    def close(self) -> None:
        self._copy = None  # a number that was given in a transaction may be gone with it
        if self._connection is not None:
            with closing(self._connection):
                self._connection = None


def brokers_of(stream: str, brokers: Sequence[str]) -> Sequence[str]:
    """Return the brokers of a stream; where none are told, the one that it is named after."""
    return brokers or [stream.rpartition("-")[0]]


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """Commit what the body began, or roll it back."""
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _note_late_candles(connection: Connection, ticks: Columns, threshold: int) -> None:
    """Record the stored candles that these ticks change, for the next refresh."""
    late = ticks["time"] < threshold
    if not late.any():
        return
    minutes = ticks["time"][late] // _MINUTE * _MINUTE
    changed = np.unique(np.stack([ticks["instrument_id"][late], minutes]), axis=1)
    run(
        connection,
        "insert_candle_invalidations",
        instrument_ids=changed[0].tolist(),
        times=[_from_us(minute) for minute in changed[1].tolist()],
    )


def _reopen_archives(connection: Connection, standby: Columns, threshold: int) -> None:
    """Note the days whose archive will lack some of these ticks; those of candles note theirs."""
    late = standby["time"][standby["time"] < threshold]
    if days := sessions.distinct_trading_dates(late // 1_000_000):
        run(connection, "reopen_archives", days=[_EPOCH.date() + timedelta(each) for each in days])


def _from_us(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _from_ns(nanoseconds: int) -> datetime:
    return _from_us(nanoseconds // 1000)
