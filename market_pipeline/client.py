"""The API as Python: frames of candles, ticks and instruments; live ticks; and control.

    with Client() as client:
        frame = client.candles("NSE:RELIANCE", "15m", date(2026, 11, 20))

    async for tick in Client().stream(["NSE:RELIANCE", "NSE:NIFTY 50"]):
        print(tick.instrument, tick.last_price)

Times are timezone-aware; a day or a naive time that is given means India's. Every method raises
ApiError or one of its kinds: ApiUnavailable, ApiKeyRefused, ApiRateLimited, ApiUnknownInstrument.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import httpx
import polars as pl

from market_pipeline.client_answers import error_of
from market_pipeline.client_stream import Loss, TickStream
from market_pipeline.errors import ApiUnavailable
from market_pipeline.market import Mode

Moment = datetime | date | str
"""An instant, or a day; as text as in 2026-11-20 or 2026-11-20T09:15."""

Name = str | int
"""EXCHANGE:SYMBOL, a symbol, the broker's token, or id:42 for the instrument_id 42."""

_ARROW = "application/vnd.apache.arrow.stream"
_PAGE_CANDLES, _PAGE_TICKS, _PAGE_INSTRUMENTS = 50_000, 50_000, 5_000


@dataclass(frozen=True)
class Status:
    """Whether streams are wanted, and what each does; one row a stream, one a gap of today."""

    is_streaming: bool
    broker: str
    streams: pl.DataFrame
    gaps_today: pl.DataFrame


@dataclass(frozen=True)
class Run:
    """A run of Dagster's; `error` says why one failed."""

    run_id: str
    status: str
    is_finished: bool
    error: str | None


class Client:
    """One server's API. Synchronous but for `stream`; may be used as a context manager."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"X-API-Key": api_key} if api_key else {}
        self._http = httpx.Client(
            base_url=self._url, headers=self._headers, timeout=timeout_seconds
        )

    def __repr__(self) -> str:
        return f"Client({self._url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def instruments(self, **filters: str | date | bool) -> pl.DataFrame:
        """Return the instruments that filters leave: exchange, segment, kind, underlying, expiry,
        and expired=True for those that are not offered any more as well."""
        asked: dict[str, Any] = {name: _text(value) for name, value in filters.items()}
        rows: list[dict[str, Any]] = []
        asked["limit"] = _PAGE_INSTRUMENTS
        while True:
            page = self._json("GET", "/api/instruments", params=asked)
            rows += page["instruments"]
            if page["next_cursor"] is None:
                return _instruments(rows)
            asked["cursor"] = page["next_cursor"]

    def search(self, text: str, limit: int = 20) -> pl.DataFrame:
        """Return what a text may mean, the best first: "nifty 24200 ce", "reliance fut"."""
        found = self._json("GET", "/api/instruments/search", params={"q": text, "limit": limit})
        return _instruments(found["instruments"])

    def candles(
        self,
        name: Name,
        interval: str = "1m",
        start: Moment | None = None,
        end: Moment | None = None,
    ) -> pl.DataFrame:
        """Return candles that begin from `start` (by default the midnight before `end`) up to `end`
        (now). Columns time, open, high, low, close, volume, open_interest, trades, state, has_gap.
        """
        asked = {"interval": interval, "limit": _PAGE_CANDLES}
        return self._frame("/api/historical/candles", name, start, end, asked)

    def ticks(
        self, name: Name, start: Moment | None = None, end: Moment | None = None
    ) -> pl.DataFrame:
        """Return ticks of a period as for `candles`, in their order. Columns as table `ticks`."""
        return self._frame("/api/historical/ticks", name, start, end, {"limit": _PAGE_TICKS})

    def subscribe(self, names: Sequence[Name], mode: Mode | str = Mode.FULL) -> pl.DataFrame:
        """Have instruments streamed from the broker: all, or if one is unknown none."""
        body = {"names": [str(name) for name in names], "mode": Mode(mode).value}
        return _frame(self._json("POST", "/api/instruments/subscribe", json=body)["subscriptions"])

    def unsubscribe(self, names: Sequence[Name]) -> pl.DataFrame:
        """End subscriptions; what was stored stays."""
        body = {"names": [str(name) for name in names]}
        found = self._json("POST", "/api/instruments/unsubscribe", json=body)
        return _frame(found["subscriptions"])

    def status(self) -> Status:
        """Tell what is streamed and how that goes."""
        told = self._json("GET", "/api/ws/status")
        return Status(
            told["is_streaming"],
            told["broker"],
            _frame(told["streams"]),
            _frame(told["gaps_today"]),
        )

    def start(self) -> None:
        """Want streams: they start within seconds, while an exchange is open."""
        self._json("POST", "/api/ws/start")

    def stop(self) -> None:
        """Want no streams: those that run store what they hold and end."""
        self._json("POST", "/api/ws/stop")

    def sync(self) -> Run:
        """Have the instruments brought in line with the broker's; see `run`."""
        return self.run(self._json("POST", "/api/instruments/sync")["run_id"])

    def backfill(
        self,
        names: Sequence[Name],
        start: date | str,
        end: date | str | None = None,
        interval: str = "1m",
    ) -> Run:
        """Have candles fetched from the broker; without names of what is subscribed. See `run`."""
        body: dict[str, Any] = {
            "names": [str(name) for name in names],
            "from": _text(start),
            "interval": interval,
        }
        if end is not None:
            body["to"] = _text(end)
        return self.run(self._json("POST", "/api/historical/backfill", json=body)["run_id"])

    def run(self, run_id: str) -> Run:
        """Tell how a run goes."""
        told = self._json("GET", f"/api/runs/{run_id}")
        return Run(told["run_id"], told["status"], told["is_finished"], told["error"])

    def stream(
        self,
        names: Sequence[Name],
        mode: Mode | str = Mode.FULL,
        on_loss: Callable[[Loss], None] | None = None,
    ) -> TickStream:
        """Return an asynchronous iterator of live ticks, which connects when it is iterated over.

        It comes back by itself after whatever interrupts it. `on_loss` is told what was lost.
        """
        parts = urlsplit(f"{self._url}/api/ws/ticks")
        scheme = {"http": "ws", "https": "wss"}[parts.scheme]
        url = urlunsplit(parts._replace(scheme=scheme))
        return TickStream(url, self._headers, names, Mode(mode), on_loss)

    def _frame(
        self,
        path: str,
        name: Name,
        start: Moment | None,
        end: Moment | None,
        asked: dict[str, Any],
    ) -> pl.DataFrame:
        """Return all pages of an endpoint that answers with Arrow."""
        period = {"from": start, "to": end}
        given = {key: _text(moment) for key, moment in period.items() if moment is not None}
        parameters = {"instrument": str(name), **given, **asked}
        answer = self._answer("GET", path, params=parameters, headers={"Accept": _ARROW})
        parts = [pl.read_ipc_stream(answer.content)]
        while "next" in answer.links:
            answer = self._answer("GET", answer.links["next"]["url"], headers={"Accept": _ARROW})
            parts.append(pl.read_ipc_stream(answer.content))
        return pl.concat(parts)

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        told: dict[str, Any] = self._answer(method, path, **options).json()
        return told

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise ApiUnavailable(
                f"The API at {self._url} cannot be reached ({error or type(error).__name__}): "
                "start it with `market-pipeline up`, or correct the URL"
            ) from error
        if answer.is_error:
            headers = answer.headers
            raise error_of(answer.status_code, answer.content, headers.get("Retry-After"))
        return answer


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of JSON; times of day become instants in UTC."""
    frame = pl.DataFrame(rows, infer_schema_length=None)
    times = [name for name in frame.columns if name.endswith(("_at", "since"))]
    texts = [name for name in times if frame.schema[name] == pl.String]
    return frame.with_columns(pl.col(texts).str.to_datetime(time_unit="us", time_zone="UTC"))


def _instruments(rows: list[dict[str, Any]]) -> pl.DataFrame:
    frame = _frame(rows)
    days = [name for name in ("expiry",) if name in frame.columns]
    return frame.with_columns(pl.col(days).cast(pl.String).str.to_date())
