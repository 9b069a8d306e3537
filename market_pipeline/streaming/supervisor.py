"""Runs one stream: a listener, a writer and a candle refresher, and the heartbeat over them.

If one of them ends by itself the stream stops with its error and whoever started it starts it
again. A database that is away stops nothing: frames go on into the journal and the writer catches
up. One advisory lock a stream keeps two processes apart, and the writer's position keeps them
apart even where the lock cannot.
"""

import logging
import statistics
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from enum import StrEnum
from threading import Event

from market_pipeline.brokers.base import Broker
from market_pipeline.config import Settings
from market_pipeline.errors import DatabaseUnavailable, JournalError
from market_pipeline.storage import candles
from market_pipeline.storage.database import Database
from market_pipeline.storage.instruments import Catalogue
from market_pipeline.storage.ticks import TickStore
from market_pipeline.streaming.heartbeat import Heartbeat, State, StreamReport
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.listener import Listener
from market_pipeline.streaming.meaning import NOT_WANTED, SESSION_CLOSED
from market_pipeline.streaming.records import RecordKind
from market_pipeline.streaming.wanted import Wanted
from market_pipeline.streaming.writer import Writer

log = logging.getLogger(__name__)

_BEAT_SECONDS = 2.0
_FENCE_SECONDS = 5.0
_FIRST_REPORT_SECONDS = 15.0
_REPORT_SECONDS = 60.0
_AFTER_MINUTE_SECONDS = 8.0
_LISTENER_SECONDS = 5.0
_DRAIN_SECONDS = 6.0
_RETRY_SECONDS = 1.0
_PACKET_BYTES = 186  # a full packet with its length


class StopReason(StrEnum):
    SESSION_CLOSED = SESSION_CLOSED
    NOT_WANTED = NOT_WANTED
    FENCED = "ended elsewhere"
    STOPPED = "asked to stop"


def run_stream(  # noqa: PLR0913 - the seam between the stream and whoever runs it
    stream: str,
    run_id: str,
    broker: Broker,
    database: Database,
    settings: Settings,
    stop: Event,
    report: Callable[[StreamReport], None],
    fenced: Callable[[], bool],
) -> StopReason:
    """Stream until told otherwise; what was received is stored before this returns.

    `report` is called from this thread about every minute, `fenced` about every five seconds:
    when it returns True the run has been ended elsewhere and stops.

    Raises:
        StreamTakenOver: another process has this stream.
        MarketPipelineError: what ended the listener or the writer.
    """
    broker_name = settings.broker.value
    heartbeat = Heartbeat(database, broker_name, stream, run_id)
    heartbeat.take_lease()
    folder = settings.market_pipeline_home / "journal" / stream
    store = TickStore(database.url, stream, run_id)
    try:
        with Journal(folder, int(settings.journal_max_gigabytes * 1e9)) as journal:
            catalogue = Catalogue(database, broker_name)
            writer = Writer(store, folder, broker.decoder(), catalogue)
            with closing(writer):
                live = _Stream(
                    stream, broker, database, settings, journal, writer, heartbeat, catalogue
                )
                return live.run(run_id, stop, report, fenced)
    finally:
        store.close()
        heartbeat.close()


class _Stream:
    def __init__(  # noqa: PLR0913 - wiring
        self,
        name: str,
        broker: Broker,
        database: Database,
        settings: Settings,
        journal: Journal,
        writer: Writer,
        heartbeat: Heartbeat,
        catalogue: Catalogue,
    ) -> None:
        self.name, self.database = name, database
        self.settings, self.journal, self.writer = settings, journal, writer
        self.heartbeat, self.catalogue = heartbeat, catalogue
        self.draining = Event()  # the writer must end once the journal is stored
        self.drain_until = 0.0
        self.state, self.detail = State.STARTING, ""
        self.wanted = Wanted(
            settings.broker.value, name, broker.max_tokens_per_stream, settings.calendar
        )
        self.listener = Listener(broker, journal, self.wanted, self._say)
        self.sink = self.listener.sink
        self.stale: list[int] = []
        self._measured = (time.monotonic(), 0)
        self._rate = 0.0
        self._renewed_for = 0
        self._lag: float | None = None

    def run(
        self,
        run_id: str,
        stop: Event,
        report: Callable[[StreamReport], None],
        fenced: Callable[[], bool],
    ) -> StopReason:
        self.wanted.read(self.database, self.catalogue)
        self.writer.open()
        self.journal.skip_to(self.writer.progress.position)
        pool = ThreadPoolExecutor(max_workers=3, thread_name_prefix=self.name)
        jobs = [
            pool.submit(self.listener.run, run_id),
            pool.submit(self._write),
            pool.submit(self._refresh),
        ]
        reason, end_state = str(StopReason.STOPPED), State.STOPPED
        try:
            outcome = self._watch(jobs, stop, report, fenced)
            reason = outcome.value
            return outcome
        except Exception as error:
            reason, end_state = f"{type(error).__name__}: {error}", State.FAILED
            raise
        finally:  # also when a signal handler raises in this thread
            self._end(pool, jobs, reason)
            self._say(end_state, reason)
            with suppress(DatabaseUnavailable):
                self.heartbeat.beat(self.report(), self.detail)

    def _write(self) -> None:
        buffer_bytes = self.settings.tick_buffer_size * _PACKET_BYTES
        while True:
            is_last = self.draining.is_set()
            try:
                self._store_all(is_last)
            except DatabaseUnavailable as error:
                log.warning("stream %s: %s; trying again", self.name, error)
                if is_last:
                    return  # the journal keeps it for the next start
                self.draining.wait(_RETRY_SECONDS)
                continue
            if is_last:
                return
            enough = self.writer.progress.position + buffer_bytes
            self.journal.wait_for_more(enough, self.settings.flush_interval_seconds)

    def _store_all(self, is_last: bool) -> None:
        while self.writer.step():
            keep = time.time() - self.settings.journal_keep_hours * 3600
            if self.journal.is_nearly_full:
                keep = time.time()
            self.journal.forget(self.writer.checkpoint_position, keep)
            if is_last and time.monotonic() > self.drain_until:
                return
        if self.listener.full.is_set() or self.journal.could_shrink:
            self.writer.checkpoint()
            self.journal.make_room(self.writer.checkpoint_position)

    def _renew_if_blind(self) -> None:
        """Ask for a new connection, and with it for all values, where damage has cost them."""
        since = self.writer.progress.blind_since
        if since is None or since <= max(self.sink.connected_at, self._renewed_for):
            return
        self._renewed_for = since
        log.error("stream %s: bytes of the journal were spoilt; connecting anew", self.name)
        self.listener.renew()

    def _refresh(self) -> None:
        # Soon after each minute has ended, when its last ticks are in.
        while not self.listener.ending.wait(60 - (time.time() - _AFTER_MINUTE_SECONDS) % 60):
            try:
                candles.refresh(self.database)
            except DatabaseUnavailable as error:
                log.warning("candles not refreshed: %s", error)

    def _watch(
        self,
        jobs: list[Future[None]],
        stop: Event,
        report: Callable[[StreamReport], None],
        fenced: Callable[[], bool],
    ) -> StopReason:
        next_fence = time.monotonic() + _FENCE_SECONDS
        next_report = time.monotonic() + _FIRST_REPORT_SECONDS
        next_beat = 0.0
        while not stop.wait(0.1):
            for job in wait(jobs, timeout=0.1, return_when=FIRST_COMPLETED).done:
                job.result()  # raises what ended it
                raise RuntimeError(f"a thread of stream {self.name} ended by itself")
            self._renew_if_blind()
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + _BEAT_SECONDS
                self._beat()
                if reason := self._reason_to_stop():
                    return reason
            if now >= next_fence:
                next_fence = now + _FENCE_SECONDS
                if fenced():
                    return StopReason.FENCED
            if now >= next_report:
                next_report = now + _REPORT_SECONDS
                report(self.report())
        return StopReason.STOPPED

    def _reason_to_stop(self) -> StopReason | None:
        if not self.wanted.modes:
            return StopReason.NOT_WANTED
        return None if self.wanted.is_in_session() else StopReason.SESSION_CLOSED

    def _beat(self) -> None:
        """Show that this process lives and read what is wanted of it, if the database can."""
        self._find_stale()
        if self.sink.is_connected:
            self._say(State.STREAMING)
        elif self.state is State.STREAMING:
            self._say(State.CONNECTING)
        try:
            self.heartbeat.beat(self.report(), self.detail)
            self.wanted.read(self.database, self.catalogue)
        except DatabaseUnavailable as error:
            log.warning("stream %s: no heartbeat: %s", self.name, error)

    def _find_stale(self) -> None:
        found: list[int] = []
        if self.sink.is_connected:
            found = self.writer.progress.last_seen.stale(self.wanted.trading())
        if new := sorted(set(found) - set(self.stale)):
            log.warning("stream %s: nothing comes of instruments %s", self.name, new[:20])
        self.stale = found

    def report(self) -> StreamReport:
        progress = self.writer.progress
        then, ticks_then = self._measured
        now = time.monotonic()
        if now - then >= 1:
            self._rate = (progress.ticks - ticks_then) / (now - then)
            self._measured = (now, progress.ticks)
            lags, progress.lags_ms = progress.lags_ms, []
            self._lag = statistics.median(lags) if lags else None
        return StreamReport(
            stream=self.name,
            state=self.state.value,
            instruments=len(self.wanted.modes),
            frames=self.sink.frames,
            ticks=progress.ticks,
            ticks_per_second=self._rate,
            lag_ms=self._lag,
            backlog_bytes=self.journal.end - progress.position,
            reconnects=max(self.sink.connections - 1, 0),
            faults=progress.faults,
            anomalies=progress.anomalies,
            stale_instruments=self.stale,
        )

    def _say(self, state: State, detail: str = "") -> None:
        if (state, detail) != (self.state, self.detail):
            log.info("stream %s: %s %s", self.name, state.value, detail)
        self.state, self.detail = state, detail

    def _end(self, pool: ThreadPoolExecutor, jobs: list[Future[None]], reason: str) -> None:
        """Close the line, store what is in the journal, say there how it ended."""
        self.listener.end()
        wait(jobs[:1], timeout=_LISTENER_SECONDS)
        with suppress(JournalError):
            self.journal.append(RecordKind.STOPPED, reason.encode())
        self.drain_until = time.monotonic() + _DRAIN_SECONDS
        self.draining.set()
        pool.shutdown(wait=True, cancel_futures=True)
