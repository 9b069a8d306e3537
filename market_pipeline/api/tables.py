"""What Prometheus is told of the streams, as their tables have it.

They are read when somebody asks, and for some seconds not again. Counters of streams begin
anew when a stream is started.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from market_pipeline.errors import DatabaseError
from market_pipeline.sessions import bounds, trading_date
from market_pipeline.storage.reading import Reader, Row

_CACHED_SECONDS = 5.0
_EDGES = [0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0]
_SETTLED = timedelta(seconds=10)  # by then what was received is committed, or the backlog says so
_FIRST_LOOK = timedelta(minutes=1)

_COUNTERS = {
    "ticks": "Ticks stored since the stream was started.",
    "frames": "Frames received since the stream was started.",
    "faults": "What was received and not understood.",
    "anomalies": "What was received and cannot be right.",
    "reconnects": "Connections made anew.",
}
_GAUGES = {
    "instruments": "Instruments the stream carries.",
    "stale_instruments": "Instruments of which nothing comes though the stream lives.",
    "ticks_per_second": "Ticks stored a second.",
    "backlog_bytes": "Bytes received and not stored yet.",
}


class Tables:
    """What the tables said when they were last read; Prometheus' collector of it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._read_at = -_CACHED_SECONDS
        self._is_up = False
        self._streams: list[Row] = []
        self._gaps: list[Row] = []
        self._lags = _Lags()
        registry.register(self)

    async def refresh(self, reader: Reader) -> None:
        """Read the tables, unless that was done just now; the database may be away."""
        if time.monotonic() - self._read_at < _CACHED_SECONDS:
            return
        self._read_at = time.monotonic()
        try:
            self._streams = await reader.rows("stream_status")
            today = bounds(trading_date(datetime.now(UTC)))[0]
            self._gaps = await reader.rows("gap_counts", since=today)
            await self._lags.add(reader, datetime.now(UTC))
            self._is_up = True
        except DatabaseError:
            self._is_up, self._streams, self._gaps = False, [], []

    def collect(self) -> Iterator[Metric]:
        yield _gauge("database_up", "Whether the database answers.", [], [([], self._is_up)])
        for name, text in _COUNTERS.items():
            family = CounterMetricFamily(
                _named(f"stream_{name}"), text, labels=["stream", "broker"]
            )
            for row in self._streams:
                family.add_metric(_labels(row), row[name])
            yield family
        for name, text in _GAUGES.items():
            values = [(_labels(row), row[name]) for row in self._streams]
            yield _gauge(f"stream_{name}", text, ["stream", "broker"], values)
        yield from self._of_states()
        yield from self._of_gaps()
        yield self._lags.family()

    def _of_states(self) -> Iterator[Metric]:
        states = [([*_labels(row), row["state"]], 1) for row in self._streams]
        text = "1 for the state the stream is in."
        yield _gauge("stream_state", text, ["stream", "broker", "state"], states)
        ages = [(_labels(row), row["heartbeat_age"]) for row in self._streams]
        text = "Since the last sign of life."
        yield _gauge("stream_heartbeat_age_seconds", text, ["stream", "broker"], ages)
        lags = [(_labels(r), r["lag_ms"] / 1000) for r in self._streams if r["lag_ms"] is not None]
        text = "From received to committed, the median."
        yield _gauge("stream_lag_seconds", text, ["stream", "broker"], lags)

    def _of_gaps(self) -> Iterator[Metric]:
        for name, text in (("gaps", "Gaps of today."), ("open", "Gaps that last.")):
            label = "gaps_today" if name == "gaps" else "gaps_open"
            yield _gauge(label, text, ["stream"], [([r["stream"]], r[name]) for r in self._gaps])


class _Lags:
    """How long ticks took from the exchange's stamp to us: each counted once, soon after."""

    def __init__(self) -> None:
        self._counted_to: datetime | None = None
        self._counts = [0] * (len(_EDGES) + 1)
        self._sum = 0.0

    async def add(self, reader: Reader, now: datetime) -> None:
        until = now - _SETTLED
        since = max(self._counted_to or until - _FIRST_LOOK, until - timedelta(minutes=10))
        rows = await reader.rows("tick_lags", edges=_EDGES, start=since, ends=until)
        self._counted_to = until
        for row in rows:
            self._counts[row["bucket"] - 1] += row["ticks"]  # 0 is the last: above all edges
            self._sum += row["seconds"]

    def family(self) -> Metric:
        total, buckets = 0, []
        for edge, count in zip([*map(str, _EDGES), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((edge, float(total)))
        text = "From the exchange's stamp, a whole second, to receipt."
        family = HistogramMetricFamily(_named("tick_lag_seconds"), text)
        family.add_metric([], buckets, self._sum)
        return family


def _labels(row: Row) -> list[str]:
    return [row["stream"], row["broker"]]


def _named(name: str) -> str:
    return f"market_pipeline_{name}"


def _gauge(
    name: str, text: str, labels: list[str], values: list[tuple[list[Any], Any]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(_named(name), text, labels=labels)
    for of, value in values:
        family.add_metric(of, float(value))
    return family
