"""Fyers: instruments, candles and quotes over REST, market data over its data socket.

The vendor's SDK makes the requests and is imported when it is first needed: it is an optional
extra. Its socket class is not used; fyers_socket.py says why.
"""

import contextlib
import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import polars as pl
from pydantic import SecretStr

from market_pipeline.brokers import (
    fyers_files,
    fyers_quotes,
    fyers_rest,
    fyers_socket,
    fyers_wire,
    quotes,
)
from market_pipeline.brokers.base import FRAME_SECONDS, Broker, Sink
from market_pipeline.brokers.decoding import Decoder
from market_pipeline.brokers.limits import Limiter, LocalBudgets, RequestKind, fingerprint
from market_pipeline.errors import ConfigurationError, RequestRefused, TokenExpired, UnexpectedReply
from market_pipeline.market import Interval, Mode
from market_pipeline.sessions import to_ist

_REST_ROOT = "https://api-t1.fyers.in"
_SOCKET_ROOT = "wss://socket.fyers.in"
_SOCKET_PATH = "/hsm/v1-5/prod"
_CASH = ("1010", "1210")  # how tokens begin of what has no open interest
_DAY_MINUTES = 1440
_INSTALL = (
    "pip install 'market-pipeline[fyers]' && pip install --no-deps 'fyers-apiv3==3.2.0' "
    "(without its dependencies: it asks for versions with known vulnerabilities)"
)


class Fyers(Broker):
    """Fyers, or whatever speaks its protocols at `root`: REST, masters and data socket alike.

    `tokens` is asked for the access token before each request and each connection, so a login in
    another process takes effect without a restart. All requests but those for public files wait
    for `limiter`, by default one of their own; connections for ticks do not. Tokens of instruments
    are those of fyers_wire.token_of.
    """

    max_tokens_per_stream = 5000
    max_days = fyers_rest.MAX_DAYS
    budgets = dict.fromkeys(RequestKind, fyers_rest.BUDGET)

    def __init__(
        self,
        app_id: str,
        tokens: Callable[[], SecretStr | None],
        root: str | None = None,
        logins: Callable[[], object] = str,
        limiter: Limiter | None = None,
    ) -> None:
        self._app_id = app_id
        self._tokens = tokens
        self._root = root.rstrip("/") if root else None
        self._logins = logins
        self._limiter = limiter or Limiter(LocalBudgets(), "fyers", fingerprint(app_id))
        self._files = fyers_files.files_at(self._root or fyers_files.ROOT)

    def instruments(self) -> pl.DataFrame:
        return self._files.fetch()

    def candles(
        self, token: int, interval: Interval, start: datetime, end: datetime
    ) -> pl.DataFrame:
        """Fetch candles that start between two instants, both included and timezone-aware.

        A candle whose end has not passed is partial. One request spans at most `max_days`; before
        the first of a day for a segment its symbol master is fetched.

        Raises:
            BrokerError: the broker refused, or did not answer.
            WaitInterrupted: the work was stopped before it was this request's turn.
        """
        resolution = fyers_rest.RESOLUTIONS.get(interval.minutes)
        if resolution is None:
            raise RequestRefused(f"Fyers has no candles of {interval.minutes} minutes")
        is_daily = interval.minutes == _DAY_MINUTES
        access_token = self._required_token()
        ticker = self._files.ticker(token)
        form = {
            "symbol": ticker,
            "resolution": resolution,
            "cont_flag": 0,
            "oi_flag": int(not str(token).startswith(_CASH)),
            **(_days(start, end) if is_daily else _instants(start, end, interval)),
        }
        reply = self._ask(RequestKind.HISTORY, access_token, lambda sdk: sdk.history(form))
        candles = fyers_rest.parse_history(reply, not _is_index(ticker), is_daily)
        first, last = (edge.astimezone(UTC) for edge in (start, end))
        return candles.filter(pl.col("time").is_between(first, last))

    def quotes(self, tokens: Sequence[int]) -> pl.DataFrame:
        """Fetch what instruments stand at; see Broker.quotes.

        Indices come fifty with each request. Anything else costs one of its own, since nothing but
        the depth tells quantities and open interest. Fyers does not tell `exchange_time`.
        """
        access_token = self._required_token()
        tickers = self._files.tickers(tokens)
        indices = {name: token for token, name in tickers.items() if _is_index(name)}
        rows: list[quotes.Row] = []
        for part in quotes.batches(list(indices), fyers_quotes.MOST):
            reply = self._quote(access_token, "quotes", symbols=",".join(part))
            rows += fyers_quotes.index_rows(reply, {name: indices[name] for name in part})
        for token, name in tickers.items():
            if name not in indices:
                reply = self._quote(access_token, "depth", symbol=name, ohlcv_flag=1)
                rows.append(fyers_quotes.depth_row(reply, name, token))
        return quotes.frame_of(rows, tokens)

    def listen(
        self,
        wanted: Callable[[], Mapping[int, Mode]],
        sink: Sink,
        stop: Event,
        patience: Callable[[], float] = lambda: FRAME_SECONDS,
    ) -> None:
        """Hand everything that arrives to `sink` until `stop` is set; reconnect as needed.

        Whatever mode is wanted, everything comes: a last price alone has neither time nor volume at
        Fyers. Frames are those of the data socket, answers to what we ask among them. The sink is
        called on this thread, in order: while it works nothing else arrives.

        Raises:
            TokenExpired: there is no access token, it has expired, or Fyers refused it.
            RequestRefused: more instruments are wanted than one connection or the plan may carry.
            RateLimited: Fyers refused to be connected to, again and again.
            BrokerUnavailable: the line was lost and could not be established again.
        """
        peer = fyers_socket.Peer(self._socket_url(), self._hsm_key, self._files.topics)
        fyers_socket.Line(peer, sink, lambda: self._at_most_one_stream(wanted()), patience).run(
            stop
        )

    def token_fingerprint(self) -> str:
        token = self._tokens()
        if token is None:
            return ""
        login = f"{token.get_secret_value()} {self._logins()}"
        return hashlib.sha256(login.encode()).hexdigest()[:12]

    def decoder(self) -> Decoder:
        return fyers_wire.Decoder()

    def profile(self) -> str:
        token = self._required_token()
        reply = self._ask(RequestKind.OTHER, token, lambda sdk: sdk.get_profile())
        return str(_part(_part(reply, "data"), "fy_id"))

    def login_url(self, redirect_uri: str) -> str:
        """Return the page where the user logs in; it redirects with an auth_code."""
        query = {
            "client_id": self._app_id,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "state": "market-pipeline",
        }
        return f"{self._root or _REST_ROOT}/api/v3/generate-authcode?{urlencode(query)}"

    def exchange_auth_code(self, auth_code: str, secret: SecretStr) -> SecretStr:
        """Turn the auth_code of a login, which works once, into the day's access token.

        Raises:
            RequestRefused: the auth_code was used already, is too old or the secret is wrong.
            BrokerError: the broker did not answer, or not in the expected form.
        """
        proof = f"{self._app_id}:{secret.get_secret_value()}"
        form = {
            "grant_type": "authorization_code",
            "appIdHash": hashlib.sha256(proof.encode()).hexdigest(),
            "code": auth_code,
        }

        def request(sdk: Any) -> Any:
            # Not through the SDK's SessionModel, whose request has no timeout.
            return sdk.service.post_call("/validate-authcode", "", form)

        return SecretStr(str(_part(self._ask(RequestKind.OTHER, None, request), "access_token")))

    def _required_token(self) -> SecretStr:
        token = self._tokens()
        if not token:
            raise TokenExpired(
                "there is no access token for today: run `market-pipeline login fyers`"
            )
        return SecretStr(fyers_rest.bare_jwt(token.get_secret_value()))

    def _hsm_key(self) -> str:
        """Return what the data socket takes as proof of a login.

        An expired token is not tried: Fyers shuts out who keeps doing that.
        """
        token = self._required_token().get_secret_value()
        expires_at = fyers_rest.expires_at(token)
        if expires_at <= datetime.now(UTC):
            raise TokenExpired(
                f"the access token expired at {to_ist(expires_at):%H:%M on %d %B}: run "
                "`market-pipeline login fyers`"
            )
        return fyers_rest.hsm_key(token)

    def _socket_url(self) -> str:
        root = self._root.replace("http", "ws", 1) if self._root else _SOCKET_ROOT
        return f"{root}{_SOCKET_PATH}"

    def _at_most_one_stream(self, wanted: Mapping[int, Mode]) -> Mapping[int, Mode]:
        if len(wanted) > self.max_tokens_per_stream:
            raise RequestRefused(
                f"{len(wanted)} instruments are wanted on one connection, "
                f"which carries {self.max_tokens_per_stream}"
            )
        return wanted

    def _quote(self, token: SecretStr, what: str, **form: Any) -> dict[str, Any]:
        return self._ask(RequestKind.QUOTE, token, lambda sdk: getattr(sdk, what)(form))

    def _ask(
        self, kind: RequestKind, token: SecretStr | None, request: Callable[[Any], Any]
    ) -> dict[str, Any]:
        """Make one request with the SDK when it is its turn, and return the reply.

        The client is made before the wait: loading the SDK takes long, and a request is to be sent
        as soon as it may. A client for each, because the SDK's are not safe to share.
        """
        secret = token.get_secret_value() if token else ""
        client = _client_module().Client(self._app_id, secret, self._root)
        with contextlib.closing(client), self._limiter.request(self.budgets[kind]):
            reply: dict[str, Any] = client.ask(request)
            return reply


def _instants(start: datetime, end: datetime, interval: Interval) -> dict[str, Any]:
    """Ask by the second, up to the end of the last candle, so that it is whole."""
    whole = end + timedelta(minutes=interval.minutes - 1)
    edges = {"range_from": int(start.timestamp()), "range_to": int(whole.timestamp())}
    return {"date_format": 0, **edges}


def _days(start: datetime, end: datetime) -> dict[str, Any]:
    """Ask by the day: which second of its day a daily candle bears is not documented."""
    edges = {"range_from": start, "range_to": end}
    return {"date_format": 1, **{name: f"{to_ist(at):%Y-%m-%d}" for name, at in edges.items()}}


def _is_index(ticker: str) -> bool:
    return ticker.endswith("-INDEX")


def _part(reply: Any, name: str) -> Any:
    if not isinstance(reply, dict) or name not in reply:
        raise UnexpectedReply(f"Fyers' reply has no {name}")
    return reply[name]


def _client_module() -> ModuleType:
    try:
        return importlib.import_module("market_pipeline.brokers.fyers_client")
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: {_INSTALL}") from None
