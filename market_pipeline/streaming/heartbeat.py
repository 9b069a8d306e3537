"""The row that says a stream lives, and the lease that keeps a second process off it."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import psycopg

from market_pipeline.errors import DatabaseUnavailable, StreamTakenOver
from market_pipeline.storage.database import Connection, Database, connect, run, translated_errors
from market_pipeline.streaming import identity


class State(StrEnum):
    STARTING = "starting"
    CONNECTING = "connecting"
    STREAMING = "streaming"
    AWAITING_LOGIN = "awaiting_login"
    JOURNAL_FULL = "journal_full"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class FeedReport:
    """What the connection to one broker of a stream does."""

    broker: str
    state: str
    detail: str
    frames: int
    reconnects: int


@dataclass(frozen=True)
class StreamReport:
    """What a stream has done since it started; `lag_ms` is from received to committed.

    Frames and reconnects are those of all its feeds, the preferred one's first among `feeds`.
    `exchange_lag_ms` is from the exchange's stamp, in whole seconds, to received. Lags are medians
    of what was committed since the last report, None if nothing was; `lag_max_ms` is the largest,
    `exchange_lag_max_ms` the largest 99th percentile of a batch.
    """

    stream: str
    state: str
    instruments: int
    frames: int
    ticks: int
    ticks_per_second: float
    lag_ms: float | None
    backlog_bytes: int
    reconnects: int
    faults: int
    anomalies: int
    stale_instruments: list[int] = field(default_factory=list)
    feeds: list[FeedReport] = field(default_factory=list)
    lag_max_ms: float | None = None
    exchange_lag_ms: float | None = None
    exchange_lag_max_ms: float | None = None


class Heartbeat:
    """Holds the lease of a stream on a connection of its own and writes the stream's row.

    The server frees the lease when the process or the connection dies.
    """

    def __init__(self, database: Database, broker: str, stream: str, run_id: str) -> None:
        self._database, self._stream = database, stream
        self._constant = {
            "broker": broker,
            "run_id": run_id,
            "started_at": datetime.now(UTC),
            "process": identity.of_this_process(),
        }
        self._connection: Connection | None = None

    def take_lease(self) -> None:
        """Take the lease, or do nothing while it is held.

        Raises:
            StreamTakenOver: another process holds it.
            DatabaseUnavailable: try again later.
        """
        if self._connection is not None and not self._connection.closed:
            return
        with translated_errors(self._database.url):
            connection = connect(self._database.url)
            connection.autocommit = True
            run(connection, "set_keepalives")
            row = run(connection, "take_stream_lease", stream=self._stream).fetchone()
        if not row or not row[0]:
            connection.close()
            raise StreamTakenOver(f"stream {self._stream} is run by another process already")
        self._connection = connection

    def beat(self, report: StreamReport, detail: str) -> None:
        """Write the row.

        Raises:
            StreamTakenOver: the lease was lost with its connection and another process has it.
            DatabaseUnavailable: try again later.
        """
        self.take_lease()
        assert self._connection is not None
        try:
            with translated_errors(self._database.url):
                values = asdict(report)
                values["feeds"] = json.dumps(values["feeds"])
                run(self._connection, "beat", **values, **self._constant, detail=detail)
        except DatabaseUnavailable:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
