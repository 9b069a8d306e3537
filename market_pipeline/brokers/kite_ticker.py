"""One connection to Kite's WebSocket, through the vendor's KiteTicker. Needs the kite extra.

Twisted's reactor runs in one thread of its own, is started once and never stopped, because it
cannot be started again. Everything of the SDK is called on that thread; a Line's public methods
may be called from any other.

Two habits of the SDK shape this file. Any exception in a callback drops the connection, and so
starts a storm of reconnects: callbacks here never raise, and the first exception ends the line.
And nothing in it notices a dead peer, because its pings were removed in 5.0.1
(https://github.com/zerodha/pykiteconnect/issues/229): the age of the last message decides.
"""

import json
import logging
import re
import threading
import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import kiteconnect.ticker
from pydantic import SecretStr
from twisted.internet import reactor as _reactor
from twisted.internet.ssl import optionsForClientTLS

from market_pipeline.brokers import kite_wire
from market_pipeline.brokers.base import Sink
from market_pipeline.errors import BrokerUnavailable, RateLimited, TokenExpired
from market_pipeline.market import Mode

log = logging.getLogger(__name__)
# The SDK logs every close as an error, the intended ones too. What matters is logged here.
logging.getLogger("kiteconnect.ticker").setLevel(logging.CRITICAL)

MAX_RETRIES = 50  # about eight minutes: 1, 3 and 7 seconds apart, then 10
MAX_RETRY_DELAY = 10
MAX_REFUSALS = 6  # HTTP 429 on connecting, in a row
REFUSED_DELAY = 10.0  # seconds between them, from the first on

_CONNECT_SECONDS = 10
_CLOSE_SECONDS = 5.0
_STARTUP_SECONDS = 10.0
_RECHECK_SECONDS = 0.1
_STUCK_SECONDS = 60.0
_NORMAL_CLOSURE = 1000

reactor: Any = _reactor  # a module to type checkers, an object at run time
_starting = threading.Lock()


def start_reactor() -> None:
    """Run Twisted's reactor in a daemon thread unless it runs; return when it does.

    Raises:
        BrokerUnavailable: it did not start, or was stopped by someone else.
    """
    with _starting:
        if not reactor.running:
            # Signals stay with whoever has them: the supervisor, or Dagster.
            options = {"installSignalHandlers": False}
            threading.Thread(
                target=reactor.run, kwargs=options, name="kite-network", daemon=True
            ).start()
        running = threading.Event()
        reactor.callFromThread(running.set)
        if not running.wait(_STARTUP_SECONDS):
            raise BrokerUnavailable("the network thread of this process does not run")


class Line:
    """A connection that is kept up: established again when lost, with all its subscriptions.

    `sink` hears connected() once for each established connection and disconnected() once for each
    lost one; nothing after close() has returned.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._checked_at = time.monotonic()
        self._closed = threading.Event()
        self._failure: Exception | None = None
        # What follows is touched on the reactor's thread only.
        self._ticker: Any = None
        self._is_open = False
        self._closing = False
        self._cause: str | None = None  # why we dropped the connection, if we did
        self._last_error = "no connection could be established"
        self._refusals = 0
        self._last_message = 0.0
        self._wanted: dict[int, Mode] = {}
        self._subscribed: dict[int, Mode] = {}

    def open(
        self, api_key: str, token: SecretStr, root: str | None, wanted: dict[int, Mode]
    ) -> None:
        """Begin to connect. Returns at once; the outcome is told to the sink."""
        start_reactor()
        self._wanted = wanted
        reactor.callFromThread(self._connect, api_key, token, root)

    def check(self, wanted: dict[int, Mode], patience: float) -> None:
        """Apply changed subscriptions; drop a connection that was silent for `patience` seconds.

        Raises:
            BrokerUnavailable: the network thread has not carried out a check for long.
        """
        stuck = time.monotonic() - self._checked_at
        if stuck > _STUCK_SECONDS:
            raise BrokerUnavailable(f"the network thread has been stuck for {stuck:.0f} s")
        reactor.callFromThread(self._check, wanted, patience)

    def close(self) -> None:
        """Close the connection, or the attempt at one, and wait for the end of it."""
        reactor.callFromThread(self._close)
        if not self._closed.wait(_CLOSE_SECONDS):
            reactor.callFromThread(self._abandon)
            self._closed.wait(_CLOSE_SECONDS)

    def raise_failure(self) -> None:
        """Raise what ended this line, if something did."""
        if self._failure:
            raise self._failure

    def _connect(self, api_key: str, token: SecretStr, root: str | None) -> None:
        with _Keeping(self):
            ticker = kiteconnect.KiteTicker(
                api_key,
                token.get_secret_value(),
                root=root,
                reconnect_max_tries=MAX_RETRIES,
                reconnect_max_delay=MAX_RETRY_DELAY,
                connect_timeout=_CONNECT_SECONDS,
            )
            ticker.on_open = self._on_open
            ticker.on_message = self._on_message  # on_ticks stays unset: it would parse in Python
            ticker.on_error = self._on_error
            ticker.on_close = self._on_close
            ticker.on_reconnect = self._on_reconnect
            ticker.on_noreconnect = self._on_noreconnect
            # The SDK's own reader of text messages drops the connection on JSON it did not expect.
            ticker._parse_text_message = lambda payload: None
            _verify_certificates(urlsplit(ticker.root).hostname or "")
            self._ticker = ticker
            if not self._closing:
                ticker.connect()

    def _check(self, wanted: dict[int, Mode], patience: float) -> None:
        with _Keeping(self):
            self._checked_at = time.monotonic()
            self._wanted = wanted
            if self._is_open and not self._closing:
                self._subscribe()
                if self._is_silent(patience):
                    # Whatever held this thread up held the messages up too: read them first.
                    reactor.callLater(_RECHECK_SECONDS, self._drop_if_silent, patience)

    def _is_silent(self, patience: float) -> bool:
        return self._is_open and time.monotonic() - self._last_message > patience

    def _drop_if_silent(self, patience: float) -> None:
        with _Keeping(self):
            if self._is_silent(patience):
                self._drop(f"no frame for {patience:g} s")

    def _drop(self, cause: str) -> None:
        self._cause = self._cause or cause
        self._ticker.ws.dropConnection(abort=True)

    def _subscribe(self) -> None:
        # The SDK's subscribe() is not used: what it remembers it would send a second time after
        # a reconnect, and it puts every token back to quote mode on the way.
        for message in kite_wire.subscription_messages(self._subscribed, self._wanted):
            self._ticker.ws.sendMessage(message)
        self._subscribed = dict(self._wanted)

    def _on_open(self, ticker: Any) -> None:
        with _Keeping(self):
            if self._closing:
                # close() came during the handshake, whose end switched the retries on again.
                self._stop_retries()
                ticker.ws.dropConnection(abort=True)
                return
            self._is_open, self._cause, self._refusals = True, None, 0
            self._last_message = time.monotonic()
            log.info("connected to Kite")
            self._sink.connected()
            self._subscribed = {}
            self._subscribe()

    def _on_message(self, ticker: Any, payload: bytes, is_binary: bool) -> None:
        with _Keeping(self):
            if not self._is_open or self._failure:
                return
            if is_binary:
                self._sink.frame(payload)
            else:
                self._take_text(payload.decode("utf-8", "replace"))
            # Stamped last: the time the sink took is not silence of the peer.
            self._last_message = time.monotonic()

    def _take_text(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if isinstance(message, dict) and message.get("type") == "error":
            log.warning("Kite says: %s", message.get("data"))
        self._sink.text(text)

    def _on_error(self, ticker: Any, code: int | None, reason: str | None) -> None:
        with _Keeping(self):
            self._last_error = reason or self._last_error
            refused = re.search(r"upgrade failed \((\d+)", reason or "")
            status = int(refused[1]) if refused else None
            if status == 403:
                self._fail(TokenExpired("Kite refused the access token for streaming (HTTP 403)"))
            elif status == 429:
                self._wait_or_give_up(ticker)

    def _wait_or_give_up(self, ticker: Any) -> None:
        self._refusals += 1
        ticker.factory.delay = REFUSED_DELAY
        if self._refusals >= MAX_REFUSALS:
            self._fail(
                RateLimited(
                    "Kite refused the connection with HTTP 429: it allows three for each API key. "
                    "Stop other programs that stream with this key."
                )
            )

    def _on_close(self, ticker: Any, code: int | None, reason: str | None) -> None:
        with _Keeping(self):
            was_open, self._is_open = self._is_open, False
            if was_open:
                cause = self._cause or ("stopped" if self._closing else None)
                cause = cause or f"connection lost: {reason or 'closed by Kite'}"
                log.info("disconnected from Kite: %s", cause)
                self._sink.disconnected(cause)
        if self._closing:
            self._closed.set()

    def _on_reconnect(self, ticker: Any, attempts: int) -> None:
        log.warning("no connection to Kite after %d attempts: %s", attempts, self._last_error)

    def _on_noreconnect(self, ticker: Any) -> None:
        with _Keeping(self):
            message = f"gave up after {MAX_RETRIES} attempts to connect: {self._last_error}"
            self._fail(BrokerUnavailable(message))

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._stop_retries()
        if self._is_open:
            self._drop(f"{type(error).__name__}: {error}")

    def _close(self) -> None:
        with _Keeping(self):
            self._closing = True
            self._stop_retries()
            if self._is_open:
                self._ticker.ws.sendClose(_NORMAL_CLOSURE)
            else:
                # An attempt in flight ends by itself: it is dropped in _on_open, or times out.
                self._closed.set()

    def _stop_retries(self) -> None:
        if hasattr(self._ticker, "factory"):  # made by its connect()
            self._ticker.stop_retry()

    def _abandon(self) -> None:
        self._drop("stopped")
        self._on_close(self._ticker, None, None)


class _Keeping:
    """Keeps an exception for the listening thread, and from the SDK."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._line._fail(error)
        return True


def _verify_certificates(host: str) -> None:
    """Make KiteTicker verify certificates, which it does not do by itself.

    It takes its TLS settings from this name at the next connect(), on this same thread.
    """
    kiteconnect.ticker.ssl = SimpleNamespace(ClientContextFactory=lambda: optionsForClientTLS(host))
