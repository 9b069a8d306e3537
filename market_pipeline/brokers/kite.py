"""Zerodha Kite: instruments, candles and quotes over REST, market data over its WebSocket.

The vendor's SDK does the talking and is imported when it is first needed: it is an optional
extra, and importing it chooses Twisted's reactor for the whole process.
"""

import contextlib
import hashlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from types import ModuleType
from typing import Any
from urllib.parse import urlencode, urlsplit

import polars as pl
from pydantic import SecretStr

from market_pipeline.brokers import kite_quotes, kite_rest, kite_wire, quotes
from market_pipeline.brokers.base import FRAME_SECONDS, Broker, Sink
from market_pipeline.brokers.decoding import Decoder, Stateless
from market_pipeline.brokers.limits import (
    Budget,
    Limiter,
    LocalBudgets,
    RequestKind,
    Window,
    fingerprint,
)
from market_pipeline.errors import ConfigurationError, RequestRefused, TokenExpired, UnexpectedReply
from market_pipeline.market import QUOTE_SCHEMA, Interval, Mode
from market_pipeline.sessions import to_ist

_LOGIN_ROOT = "https://kite.zerodha.com"
_TIMEOUT = (5.0, 20.0)  # seconds to connect, and between two bytes of the reply
_POLL_SECONDS = 1.0
_DAY_MINUTES = 1440
_WITH_OPEN_INTEREST = {
    kite_wire.CODE_BY_EXCHANGE[name] for name in "NFO BFO CDS BCD MCX NCO".split()
}


class Kite(Broker):
    """Kite, or whatever speaks its protocol at `rest_root` and `ticker_root`.

    `tokens` is asked for the access token before each request and each listening, so a login in
    another process takes effect without a restart. What `logins` returns changes with each login:
    on the same day Kite may give the same token again. All REST requests wait for `limiter`, by
    default one of their own; connections for ticks do not.
    """

    max_tokens_per_stream = 3000
    max_days = kite_rest.MAX_DAYS
    # For each API key, see https://kite.trade/docs/connect/v3/exceptions/#api-rate-limit
    budgets = {
        RequestKind.HISTORY: Budget("history", (Window(3, 1.0),)),
        RequestKind.QUOTE: Budget("quote", (Window(1, 1.0),)),
        RequestKind.OTHER: Budget("other", (Window(10, 1.0),)),
    }

    def __init__(
        self,
        api_key: str,
        tokens: Callable[[], SecretStr | None],
        rest_root: str | None = None,
        ticker_root: str | None = None,
        logins: Callable[[], object] = str,
        limiter: Limiter | None = None,
    ) -> None:
        if rest_root and urlsplit(rest_root).path not in ("", "/"):
            # The SDK joins addresses so that a path in the root is lost without a word.
            raise ConfigurationError(f"{rest_root} must not have a path after host and port")
        self._api_key = api_key
        self._tokens = tokens
        self._rest_root = rest_root.rstrip("/") if rest_root else None
        self._ticker_root = ticker_root
        self._logins = logins
        self._limiter = limiter or Limiter(LocalBudgets(), "kite", fingerprint(api_key))

    def instruments(self) -> pl.DataFrame:
        with self._session(self._tokens(), RequestKind.OTHER) as session:
            csv = session._get("market.instruments.all")
        if not isinstance(csv, bytes):
            raise UnexpectedReply("the instrument dump came as JSON instead of CSV")
        return kite_rest.parse_instruments(csv)

    def candles(
        self, token: int, interval: Interval, start: datetime, end: datetime
    ) -> pl.DataFrame:
        """Fetch candles that start between two instants, both included and timezone-aware.

        A candle whose end has not passed is partial, and one that closed less than ten seconds ago
        may still change. One request spans at most `max_days`.

        Raises:
            BrokerError: the broker refused, or did not answer.
            WaitInterrupted: the work was stopped before it was this request's turn.
        """
        name = kite_rest.INTERVAL_NAMES.get(interval.minutes)
        if name is None:
            raise RequestRefused(f"Kite has no candles of {interval.minutes} minutes")
        segment = token & 0xFF
        params = {
            # The SDK prints times without converting them, and Kite reads them as IST.
            "from": f"{to_ist(start):%Y-%m-%d %H:%M:%S}",
            "to": f"{to_ist(end + _rest_of_candle(interval)):%Y-%m-%d %H:%M:%S}",
            "interval": name,
            "continuous": 0,
            "oi": int(segment in _WITH_OPEN_INTEREST),
        }
        with self._session(self._required_token(), RequestKind.HISTORY) as session:
            route = {"instrument_token": token, "interval": name}
            payload = session._get("market.historical", url_args=route, params=params)
        candles = kite_rest.parse_candles(payload, has_volume=segment != kite_wire.INDICES)
        first, last = (to_ist(edge).astimezone(UTC) for edge in (start, end))
        return candles.filter(pl.col("time").is_between(first, last))

    def quotes(self, tokens: Sequence[int]) -> pl.DataFrame:
        """Fetch what instruments stand at, 500 with each request; see Broker.quotes.

        Kite tells everything of what is traded. An index has neither trades nor a book.
        """
        token, wanted = self._required_token(), list(dict.fromkeys(tokens))
        found = [pl.DataFrame(schema=QUOTE_SCHEMA)]
        for part in quotes.batches(wanted, kite_quotes.MOST):
            with self._session(token, RequestKind.QUOTE) as session:
                # By token, as Kite's staff allow: https://kite.trade/forum/discussion/3352
                payload = session._get("market.quote", params={"i": part})
            found.append(kite_quotes.parse_quotes(payload, part))
        return pl.concat(found)

    def listen(
        self,
        wanted: Callable[[], Mapping[int, Mode]],
        sink: Sink,
        stop: Event,
        patience: Callable[[], float] = lambda: FRAME_SECONDS,
    ) -> None:
        """Hand everything that arrives to `sink` until `stop` is set; reconnect as needed.

        The sink is called on the network thread, in order: while it works nothing else arrives,
        neither on this connection nor on others of this process.

        Raises:
            TokenExpired: there is no access token, or Kite refused it.
            RateLimited: Kite refused the connection repeatedly, as it does beyond three per key.
            BrokerUnavailable: the line was lost and could not be established again, or the network
                thread of this process is stuck; only a new process helps then.
        """
        ticker = _optional("market_pipeline.brokers.kite_ticker")
        token = self._required_token()
        line = ticker.Line(sink)
        tokens = self._at_most_one_stream(wanted())
        line.open(self._api_key, token, self._ticker_root, tokens)
        try:
            while not stop.wait(_POLL_SECONDS):
                line.raise_failure()
                line.check(self._at_most_one_stream(wanted()), patience())
        finally:
            line.close()
        line.raise_failure()

    def token_fingerprint(self) -> str:
        token = self._tokens()
        if token is None:
            return ""
        login = f"{token.get_secret_value()} {self._logins()}"
        return hashlib.sha256(login.encode()).hexdigest()[:12]

    def decoder(self) -> Decoder:
        return Stateless(kite_wire.decode)

    def profile(self) -> str:
        with self._session(self._required_token(), RequestKind.OTHER) as session:
            return str(session._get("user.profile")["user_id"])

    def login_url(self) -> str:
        """Return the page where the user logs in; it redirects with a request_token."""
        query = urlencode({"api_key": self._api_key, "v": 3})
        return f"{self._rest_root or _LOGIN_ROOT}/connect/login?{query}"

    def exchange_request_token(self, request_token: str, api_secret: SecretStr) -> SecretStr:
        """Turn the request_token of a login, which works once, into the day's access token.

        Raises:
            TokenExpired: the request_token was used already, is too old or the secret is wrong.
            BrokerError: the broker did not answer, or not in the expected form.
        """
        with self._session(None, RequestKind.OTHER) as session:
            reply = session.generate_session(request_token, api_secret.get_secret_value())
            return SecretStr(reply["access_token"])

    def _required_token(self) -> SecretStr:
        token = self._tokens()
        if not token:
            raise TokenExpired("there is no access token for today: run `market-pipeline login`")
        return token

    def _at_most_one_stream(self, wanted: Mapping[int, Mode]) -> dict[int, Mode]:
        if len(wanted) > self.max_tokens_per_stream:
            raise RequestRefused(
                f"{len(wanted)} instruments are wanted on one connection, "
                f"which carries {self.max_tokens_per_stream}"
            )
        return dict(wanted)

    @contextlib.contextmanager
    def _session(self, token: SecretStr | None, kind: RequestKind) -> Iterator[Any]:
        """Lend an SDK client of this thread's own for one request, when it is its turn.

        Whatever the client raises comes out as a BrokerError. It is made before the wait: loading
        the SDK takes long, and a request is to be sent as soon as it may. A client for each use,
        because a requests.Session is not safe to share between threads.
        """
        client = _optional("kiteconnect").KiteConnect(
            self._api_key,
            access_token=token.get_secret_value() if token else None,
            root=self._rest_root,
            timeout=_TIMEOUT,
        )
        with (
            contextlib.closing(client.reqsession),
            self._limiter.request(self.budgets[kind]),
            _translated(client.reqsession),
        ):
            yield client


@contextlib.contextmanager
def _translated(session: Any) -> Iterator[None]:
    """Turn what the SDK raises into a BrokerError."""
    replies: list[Any] = []
    session.hooks["response"].append(lambda response, *_, **__: replies.append(response))
    kite_exception = _optional("kiteconnect").exceptions.KiteException
    try:
        yield
    except (kite_exception, OSError, TypeError, KeyError, ValueError, AttributeError) as error:
        status = replies[-1].status_code if replies else None
        retry_after = replies[-1].headers.get("Retry-After") if replies else None
        # Without the cause: it can quote a reply that holds a token.
        raise kite_rest.broker_error(error, status, retry_after) from None


def _rest_of_candle(interval: Interval) -> timedelta:
    """Return how far past its start a request must reach for the last candle to be whole.

    Kite groups the minute candles up to and including `to`, so a five-minute candle asked for by
    its start alone holds one minute. Day candles are not grouped from minutes.
    """
    return timedelta(minutes=interval.minutes - 1 if interval.minutes < _DAY_MINUTES else 0)


def _optional(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is not installed: pip install 'market-pipeline[kite]'"
        ) from None
