"""Asking the broker for candles, as fast as it allows, and storing each answer at once."""

import logging
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import polars as pl

from market_pipeline.brokers.base import Broker
from market_pipeline.errors import (
    BrokerError,
    BrokerUnavailable,
    RateLimited,
    TokenExpired,
    WaitInterrupted,
    is_transient,
)
from market_pipeline.history.planning import Request
from market_pipeline.market import CANDLE_SCHEMA, Interval
from market_pipeline.storage import history
from market_pipeline.storage.database import Database
from market_pipeline.storage.history import Answer, HistoryWriter, Outcome

log = logging.getLogger(__name__)

SETTLES_WITHIN = timedelta(seconds=15)
"""Kite's staff advise to wait more than ten seconds: until then a new candle may still change."""

_WORKERS = 4
"""Requests under way at most. The budget spaces them out, so that there is one at a time as long as
the broker answers before the next is due."""

_ATTEMPTS = 5
_FIRST_DELAY = 1.0  # seconds before the second attempt, doubled before each further one
_OUTAGE = 3
"""So many requests given up one after another, and the broker is taken for unreachable."""

_TELLING = timedelta(days=30)
_EMPTY_DERIVATIVE, _EMPTY_OTHER = 1, 3
"""After so many empty answers for 30 days or more, one after another, nothing older is asked for.
Derivatives live without interruption; a share can be suspended for months."""


@dataclass
class Totals:
    """What became of the requests so far."""

    requests: int = 0
    candles: int = 0
    empty: int = 0
    failed: int = 0
    not_asked: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.requests + self.not_asked


class _Emptiness:
    """Which answers for an instrument were empty; they come in any order."""

    def __init__(self) -> None:
        self._empty: list[datetime] = []
        self._oldest: datetime | None = None

    def add(self, request: Request, is_empty: bool) -> None:
        if is_empty:
            self._empty.append(request.starts_at)
        elif self._oldest is None or request.starts_at < self._oldest:
            self._oldest = request.starts_at

    @property
    def in_a_row(self) -> int:
        """How many empty answers are older than any that was not."""
        return sum(self._oldest is None or each < self._oldest for each in self._empty)


class Source(NamedTuple):
    """Which candles come from where: those of one length, from one broker, into one database.

    When `stop` is set no further request is made; see Fetcher.
    """

    database: Database
    broker_name: str
    broker: Broker
    interval: Interval
    stop: threading.Event


class Fetcher:
    """Fetches what a plan asks for. `report` is called after each request, by any thread.

    When the source's `stop` is set `run` returns once the requests under way are stored; it is set
    as well when one of them raises.
    """

    def __init__(
        self, source: Source, purpose: str, report: Callable[[Totals], None] = lambda totals: None
    ) -> None:
        self._source, self._purpose, self._report = source, purpose, report
        self._stop = source.stop
        self._lock = threading.Lock()
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._emptiness: dict[int, _Emptiness] = defaultdict(_Emptiness)
        self._given_up = 0
        self._totals = Totals()

    def run(self, requests: Sequence[Request]) -> Totals:
        """Make the requests in their order; each answer is committed before the next counts.

        The requests of an instrument come with the newest first, so that after empty answers the
        older ones are not made: there was no such instrument then. One that the broker refuses, or
        does not answer in five attempts, is recorded as failed and is asked for by the next run.

        Raises:
            TokenExpired: what was fetched is stored; log in and run again.
            BrokerUnavailable: three requests in a row failed; what was fetched is stored.
            RateLimited: the quota of the day is used up; what was fetched is stored.
            DatabaseError: what was fetched before is stored.
        """
        for request in requests:
            self._requests.put(request)
        workers = min(_WORKERS, len(requests))
        with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="history") as pool:
            running = [pool.submit(self._work) for _ in range(workers)]
            try:
                for each in running:
                    each.result()
            except BaseException:  # also Ctrl-C, and what ends a run of Dagster's
                self._stop.set()
                raise
        return self._totals

    def _work(self) -> None:
        try:
            source = self._source
            with history.writer(source.database, source.broker_name, self._purpose) as writer:
                while not self._stop.is_set():
                    try:
                        request = self._requests.get_nowait()
                    except queue.Empty:
                        return
                    self._fetch(request, writer)
        except BaseException:
            self._stop.set()
            raise

    def _fetch(self, request: Request, writer: HistoryWriter) -> None:
        contract = request.contract
        enough = _EMPTY_DERIVATIVE if contract.is_derivative else _EMPTY_OTHER
        if self._emptiness[contract.instrument_id].in_a_row >= enough:
            detail = "nothing in the time after it: taken for the time before it was listed"
            answer = self._answer(request, datetime.now(UTC), Outcome.BEFORE_LISTING, detail)
            writer.store(answer, _NOTHING)
            self._count(not_asked=1)
            return
        asked_at = datetime.now(UTC)
        try:
            candles = self._ask(request)
        except BrokerError as error:
            self._fail(request, writer, error)
            return
        if candles is None:
            return
        length = timedelta(minutes=self._source.interval.minutes)
        settled = candles.filter(pl.col("time") <= asked_at - SETTLES_WITHIN - length)
        outcome = Outcome.EMPTY if candles.is_empty() else Outcome.COMPLETE
        writer.store(self._answer(request, asked_at, outcome), settled)
        self._given_up = 0
        if request.ends_at - request.starts_at >= _TELLING:
            with self._lock:
                self._emptiness[contract.instrument_id].add(request, candles.is_empty())
        self._count(requests=1, candles=settled.height, empty=int(candles.is_empty()))

    def _ask(self, request: Request) -> pl.DataFrame | None:
        """Return the candles, or None when stopped meanwhile.

        Raises:
            BrokerError: after the last attempt, or where another cannot help.
        """
        source, token = self._source, request.contract.token
        assert token is not None  # a plan has none of these
        last = request.ends_at - timedelta(seconds=1)
        attempt = 0
        while not self._stop.is_set():
            try:
                return source.broker.candles(token, source.interval, request.starts_at, last)
            except WaitInterrupted:
                return None
            except BrokerError as error:
                attempt += 1
                if not is_transient(error) or attempt == _ATTEMPTS:
                    raise
                if not isinstance(error, RateLimited):  # for which the budget knows how long
                    self._stop.wait(_FIRST_DELAY * 2 ** (attempt - 1))
        return None

    def _fail(self, request: Request, writer: HistoryWriter, error: BrokerError) -> None:
        answer = self._answer(request, datetime.now(UTC), Outcome.FAILED, str(error))
        writer.store(answer, _NOTHING)
        span = f"{request.starts_at} to {request.ends_at}"
        with self._lock:
            self._totals.failures.append(f"{request.contract.name} {span}: {error}")
        self._count(requests=1, failed=1)
        if isinstance(error, TokenExpired | RateLimited):
            raise error
        if isinstance(error, BrokerUnavailable):
            self._given_up += 1
            if self._given_up >= _OUTAGE:
                raise error

    def _answer(
        self, request: Request, asked_at: datetime, outcome: Outcome, detail: str | None = None
    ) -> Answer:
        return Answer(
            request.contract.instrument_id,
            self._source.interval.minutes,
            request.starts_at,
            request.ends_at,
            asked_at,
            outcome,
            detail,
        )

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                setattr(self._totals, name, getattr(self._totals, name) + number)
            self._report(self._totals)


_NOTHING = pl.DataFrame(schema=CANDLE_SCHEMA)
