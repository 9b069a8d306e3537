"""One connection to Fyers' data socket from the login to its end.

How a quiet connection is told from a dead one: Fyers sends nothing but data, and does not answer
its own kind of ping. It answers pings of the WebSocket protocol, so these show that somebody is
there; and it answers a request for full mode, repeated while no data comes, which shows that the
feed behind is alive. https://github.com/marketcalls/openalgo/issues/810 is about stalls without.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import aiohttp

from market_pipeline.brokers import fyers_requests as requests
from market_pipeline.brokers.base import Sink
from market_pipeline.brokers.fyers_wire import AUTH, CUSTOM, DATA, SUBSCRIBE
from market_pipeline.errors import RequestRefused, TokenExpired

log = logging.getLogger(__name__)

STALL_SECONDS = 60.0
"""How long there may be no frame though pings are answered."""
LOGIN_SECONDS = 10.0

_PING_SECONDS = 10.0
_SEND_SECONDS = 10.0
_RECHECK_SECONDS = 0.1


class Lost(Exception):
    """The connection is of no more use; the message is the cause."""


class Connection:
    """One connection from the login to its end. `sink` hears of it from the subscription on."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, sink: Sink, topics: frozenset[str]
    ) -> None:
        self._socket, self._sink, self._topics = socket, sink, topics
        self._is_logged_in = self._is_open = False
        self._began = self._frame_at = self._pong_at = time.monotonic()
        self._pinged_at = self._called_at = self._asked_at = self._began
        self._ack_count = self._unacknowledged = 0
        self._actions: dict[int, Callable[[bytes], Awaitable[None]]] = {
            AUTH: self._on_login,
            SUBSCRIBE: self._on_subscribed,
            CUSTOM: self._on_message,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_open:
            self._is_open = False
            cause = _cause(error)
            log.info("disconnected from Fyers: %s", cause)
            self._sink.disconnected(cause)

    async def read(self, hsm_key: str) -> None:
        """Log in, subscribe and hand on what comes, until the connection ends.

        Raises:
            BrokerError: Fyers refused the login or the subscription.
        """
        await self._send(requests.login(hsm_key))
        async for message in self._socket:
            await self._take(message)
            # While frames are waiting nothing else would get its turn, not even the end.
            await asyncio.sleep(0)
        raise Lost(f"connection lost: closed by Fyers ({self._socket.close_code})")

    async def want(self, topics: frozenset[str]) -> None:
        """Subscribe to these and to nothing else."""
        if not self._is_logged_in:  # they go with the subscription then
            self._topics = topics
            return
        gone, new = self._topics - topics, topics - self._topics
        self._topics = topics
        for frame in (*requests.unsubscription(gone), *requests.subscription(new)):
            await self._send(frame)

    async def stay_alive(self, patience: float) -> None:
        """Send what keeps the connection up, and give it up when nothing has come for too long."""
        now = time.monotonic()
        if not self._is_open and now - self._began > LOGIN_SECONDS:
            raise Lost(f"the login was not answered for {LOGIN_SECONDS:g} s")
        silence = self._silence(patience)
        if silence:
            # Whatever held this loop up held the frames up too: read them first.
            await asyncio.sleep(_RECHECK_SECONDS)
            if silence := self._silence(patience):
                raise Lost(f"no frame for {silence:g} s")
        if now - self._called_at >= _PING_SECONDS:
            self._called_at = now
            await self._send(requests.PING)
        if now - self._pinged_at >= min(_PING_SECONDS, patience / 3):
            self._pinged_at = now
            await self._in_time(self._socket.ping())
        if now - max(self._frame_at, self._asked_at) >= STALL_SECONDS / 3:
            self._asked_at = now
            await self._send(requests.full_mode())

    def _silence(self, patience: float) -> float:
        """Return how many seconds of silence were too long, 0 if it has not been."""
        now, longest = time.monotonic(), max(patience, STALL_SECONDS)
        if now - max(self._frame_at, self._pong_at) > patience:
            return patience
        return longest if now - self._frame_at > longest else 0.0

    async def _take(self, message: aiohttp.WSMessage) -> None:
        if message.type is aiohttp.WSMsgType.BINARY:
            await self._take_frame(bytes(message.data))
            # Stamped last: the time the sink took is not silence of the peer.
            self._frame_at = time.monotonic()
        elif message.type is aiohttp.WSMsgType.PONG:
            self._pong_at = time.monotonic()
        elif message.type is aiohttp.WSMsgType.PING:
            await self._in_time(self._socket.pong(message.data))
        elif message.type is aiohttp.WSMsgType.TEXT and self._is_open:
            self._sink.text(message.data)
        elif message.type is aiohttp.WSMsgType.ERROR:
            raise Lost(f"connection lost: {message.data}")

    async def _take_frame(self, frame: bytes) -> None:
        kind = frame[2] if len(frame) > 2 else None
        if kind == DATA:
            self._open()
        elif kind in self._actions:
            try:
                await self._actions[kind](frame)
            except ValueError as error:
                log.warning("passed over: %s", error)
        if self._is_open:
            self._sink.frame(frame)
        if kind == DATA:
            await self._acknowledge(frame)

    async def _on_login(self, frame: bytes) -> None:
        reply = requests.read_reply(frame)
        if not reply.is_yes:
            raise TokenExpired("Fyers refused the access token for streaming")
        self._is_logged_in, self._ack_count = True, reply.ack_count
        for request in (requests.full_mode(), *requests.subscription(self._topics)):
            await self._send(request)
        if not self._topics:
            self._open()

    async def _on_subscribed(self, frame: bytes) -> None:
        if not requests.read_reply(frame).is_yes:
            raise RequestRefused(f"Fyers refused to subscribe {len(self._topics)} instruments")
        self._open()

    async def _on_message(self, frame: bytes) -> None:
        message = requests.read_message(frame)
        if message.code == requests.TOO_MANY_SYMBOLS:
            raise RequestRefused(
                f"Fyers' plan for this account does not allow {len(self._topics)} instruments "
                f"({message.text}): unsubscribe some"
            )
        log.warning("Fyers says: %s (%d)", message.text, message.code)

    async def _acknowledge(self, frame: bytes) -> None:
        self._unacknowledged += 1
        if self._ack_count and self._unacknowledged >= self._ack_count:
            self._unacknowledged = 0
            await self._send(requests.acknowledgement(int.from_bytes(frame[3:7], "big")))

    def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            log.info("connected to Fyers")
            self._sink.connected()

    async def _send(self, frame: bytes) -> None:
        await self._in_time(self._socket.send_bytes(frame))

    async def _in_time(self, sending: Awaitable[None]) -> None:
        async with asyncio.timeout(_SEND_SECONDS):
            await sending


def _cause(error: BaseException | None) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "stopped"
    if isinstance(error, Lost):
        return str(error)
    if isinstance(error, aiohttp.ClientError | OSError):
        return f"connection lost: {error or type(error).__name__}"
    return f"{type(error).__name__}: {error}"
