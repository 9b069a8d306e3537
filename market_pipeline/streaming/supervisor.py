"""Runs one stream: listeners, a writer and a candle refresher, and the heartbeat over them.

If one of them ends by itself the stream stops with its error and whoever started it starts it
again. A database that is away stops nothing: frames go on into the journal and the writer catches
up. One advisory lock a stream keeps two processes apart, and the writer's position keeps them
apart even where the lock cannot.
"""

import logging
import statistics
import time
from collections.abc import Callable, Sequence
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
from market_pipeline.streaming.listening import Listening
from market_pipeline.streaming.meaning import Source
from market_pipeline.streaming.outages import NOT_WANTED, SESSION_CLOSED
from market_pipeline.streaming.records import RecordKind
from market_pipeline.streaming.wanted import Wanted
from market_pipeline.streaming.writer import Progress, Writer

log = logging.getLogger(__name__)

_BEAT_SECONDS = 2.0
_FENCE_SECONDS = 5.0
_FIRST_REPORT_SECONDS = 15.0
_REPORT_SECONDS = 60.0
_AFTER_MINUTE_SECONDS = 8.0
_LISTENER_SECONDS = 5.0
_DRAIN_SECONDS = 6.0
_RETRY_SECONDS = 1.0
_MOST_THREADS = 4  # a writer, a refresher, two listeners
_PACKET_BYTES = 186  # a full packet with its length


class StopReason(StrEnum):
    SESSION_CLOSED = SESSION_CLOSED
    NOT_WANTED = NOT_WANTED
    FENCED = "ended elsewhere"
    STOPPED = "asked to stop"


def run_stream(  # noqa: PLR0913 - the seam between the stream and whoever runs it
    stream: str,
    run_id: str,
    feeds: Sequence[Broker],
    database: Database,
    settings: Settings,
    stop: Event,
    report: Callable[[StreamReport], None],
    fenced: Callable[[], bool],
) -> StopReason:
    """Stream until told otherwise; what was received is stored before this returns.

    `feeds` are the brokers that the settings name, the preferred one first.
    `report` is called from this thread about every minute, `fenced` about every five seconds:
    when it returns True the run has been ended elsewhere and stops.

    Raises:
        StreamTakenOver: another process has this stream.
        MarketPipelineError: what ended the listener or the writer.
    """
    names = [each.broker.value for each in settings.each_broker]
    heartbeat = Heartbeat(database, names[0], stream, run_id)
    heartbeat.take_lease()
    folder = settings.market_pipeline_home / "journal" / stream
    store = TickStore(database.url, stream, run_id, names)
    try:
        with Journal(folder, int(settings.journal_max_gigabytes * 1e9)) as journal:
            catalogues = [Catalogue(database, name) for name in names]
            sources = [
                Source(broker.decoder(), catalogue)
                for broker, catalogue in zip(feeds, catalogues, strict=True)
            ]
            writer = Writer(store, folder, sources)
            with closing(writer):
                per_stream = min(broker.max_tokens_per_stream for broker in feeds)
                offered = dict(zip(names, catalogues, strict=True))
                wanted = Wanted(offered, stream, per_stream, settings.calendar)
                listening = Listening(feeds, names, journal, wanted)
                live = _Stream(
                    stream, database, settings, journal, writer, heartbeat, listening, wanted
                )
                return live.run(run_id, stop, report, fenced)
    finally:
        store.close()
        heartbeat.close()


class _Stream:
    def __init__(  # noqa: PLR0913 - wiring
        self,
        name: str,
        database: Database,
        settings: Settings,
        journal: Journal,
        writer: Writer,
        heartbeat: Heartbeat,
        listening: Listening,
        wanted: Wanted,
    ) -> None:
        self.name, self.database = name, database
        self.settings, self.journal, self.writer = settings, journal, writer
        self.heartbeat, self.listening, self.wanted = heartbeat, listening, wanted
        self.draining = Event()  # the writer must end once the journal is stored
        self.drain_until = 0.0
        self.state, self.detail = State.STARTING, ""
        self.stale: list[int] = []
        self._measured = (time.monotonic(), 0)
        self._rate = 0.0
        self._lags: dict[str, float | None] = {}

    def run(
        self,
        run_id: str,
        stop: Event,
        report: Callable[[StreamReport], None],
        fenced: Callable[[], bool],
    ) -> StopReason:
        self.wanted.read(self.database)
        self.writer.open()
        self.journal.skip_to(self.writer.progress.position)
        pool = ThreadPoolExecutor(max_workers=_MOST_THREADS, thread_name_prefix=self.name)
        lines = self.listening.start(pool, run_id, is_late=self.wanted.is_trading)
        jobs = [*lines, pool.submit(self._write), pool.submit(self._refresh)]
        reason, end_state = str(StopReason.STOPPED), State.STOPPED
        try:
            outcome = self._watch(jobs, stop, report, fenced)
            reason = outcome.value
            return outcome
        except Exception as error:
            reason, end_state = f"{type(error).__name__}: {error}", State.FAILED
            raise
        finally:  # also when a signal handler raises in this thread
            self._end(pool, lines, reason)
            self._say(end_state, reason)
            with suppress(DatabaseUnavailable):
                self.heartbeat.beat(self.report(), self.detail)

    def _write(self) -> None:
        buffer_bytes = self.settings.tick_buffer_size * _PACKET_BYTES
        while True:
            is_last = self.draining.is_set()
            try:
                self._store_all(is_last)
                if is_last:  # so that the next start has nothing to read again
                    self.writer.checkpoint()
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
        if self.listening.is_full or self.journal.could_shrink:
            self.writer.checkpoint()
            self.journal.make_room(self.writer.checkpoint_position)

    def _refresh(self) -> None:
        # Soon after each minute has ended, when its last ticks are in.
        while not self.listening.ending.wait(60 - (time.time() - _AFTER_MINUTE_SECONDS) % 60):
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
            self.listening.renew_blind(self.writer.progress.blind_since)
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
        if not self.wanted.instruments:
            return StopReason.NOT_WANTED
        return None if self.wanted.is_in_session() else StopReason.SESSION_CLOSED

    def _beat(self) -> None:
        """Show that this process lives and read what is wanted of it, if the database can."""
        if self.wanted.is_trading:
            self.listening.note_absence()
        self._find_stale()
        self._say(*self.listening.state)
        try:
            self.heartbeat.beat(self.report(), self.detail)
            self.wanted.read(self.database)
        except DatabaseUnavailable as error:
            log.warning("stream %s: no heartbeat: %s", self.name, error)

    def _find_stale(self) -> None:
        found: list[int] = []
        if self.listening.is_connected:
            found = self.writer.progress.last_seen.stale(self.wanted.trading())
        if new := sorted(set(found) - set(self.stale)):
            log.warning("stream %s: nothing comes of instruments %s", self.name, new[:20])
        self.stale = found

    def report(self) -> StreamReport:
        progress, feeds = self.writer.progress, self.listening.reports()
        then, ticks_then = self._measured
        now = time.monotonic()
        if now - then >= 1:
            self._rate = (progress.ticks - ticks_then) / (now - then)
            self._measured = (now, progress.ticks)
            self._lags = _lags(progress)
        return StreamReport(
            stream=self.name,
            state=self.state.value,
            instruments=self.wanted.instruments,
            frames=sum(feed.frames for feed in feeds),
            ticks=progress.ticks,
            ticks_per_second=self._rate,
            lag_ms=self._lags.get("lag_ms"),
            backlog_bytes=self.journal.end - progress.position,
            reconnects=sum(feed.reconnects for feed in feeds),
            faults=progress.faults,
            anomalies=progress.anomalies,
            stale_instruments=self.stale,
            feeds=feeds,
            lag_max_ms=self._lags.get("lag_max_ms"),
            exchange_lag_ms=self._lags.get("exchange_lag_ms"),
            exchange_lag_max_ms=self._lags.get("exchange_lag_max_ms"),
        )

    def _say(self, state: State, detail: str = "") -> None:
        if (state, detail) != (self.state, self.detail):
            log.info("stream %s: %s %s", self.name, state.value, detail)
        self.state, self.detail = state, detail

    def _end(self, pool: ThreadPoolExecutor, lines: list[Future[None]], reason: str) -> None:
        """Close the line, store what is in the journal, say there how it ended."""
        self.listening.end()
        wait(lines, timeout=_LISTENER_SECONDS)
        with suppress(JournalError):
            self.journal.append(RecordKind.STOPPED, reason.encode())
        self.drain_until = time.monotonic() + _DRAIN_SECONDS
        self.draining.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _lags(progress: Progress) -> dict[str, float | None]:
    """Take what was noted since the last time; see StreamReport."""
    lags, progress.lags_ms = progress.lags_ms, []
    late, progress.exchange_lags_ms = progress.exchange_lags_ms, []
    return {
        "lag_ms": statistics.median(lags) if lags else None,
        "lag_max_ms": max(lags, default=None),
        "exchange_lag_ms": statistics.median(middle for middle, _ in late) if late else None,
        "exchange_lag_max_ms": max((worst for _, worst in late), default=None),
    }
