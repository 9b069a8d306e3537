"""One connection to Fyers' data socket, kept up. Where its frames go is the sink's business.

The vendor's socket class is not used. It throws a subscription away when connecting took longer
than two seconds, notices no dead peer, sleeps 7.5 seconds before it connects again and gives up
without a word after a few attempts, reports all this on stdout and in a file that grows for ever,
asks for tokens without a timeout, runs three threads that outlive it by ten seconds, and decodes
everything in Python before it hands anything over. What it sends is in fyers_requests.py.

Everything runs in the thread that calls Line.run, on an event loop of its own: connecting can be
broken off at any moment, and when run() returns no thread, task or socket is left.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

import aiohttp
import httpx

from market_pipeline.brokers.base import Sink
from market_pipeline.brokers.fyers_connection import Connection, Lost
from market_pipeline.errors import BrokerUnavailable, RateLimited
from market_pipeline.market import Mode

log = logging.getLogger(__name__)

MAX_RETRIES = 100  # some eight minutes
RETRY_DELAYS = (0.5, 1.0, 2.0, 5.0)  # seconds; the last one again and again
MAX_REFUSALS = 6  # HTTP errors on connecting, in a row
REFUSED_DELAY = 10.0

_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
_POLL_SECONDS = 1.0
_STOP_SECONDS = 0.1
_STEADY_SECONDS = 10.0  # a connection that stood for so long is no failed attempt


@dataclass(frozen=True)
class Peer:
    """Where to connect, and what is said there."""

    url: str
    hsm_key: Callable[[], str]
    """Is asked before each attempt. Raises TokenExpired where there is no token that is good."""
    topics: Callable[[Collection[int]], Collection[str]]
    """Says what tokens are called there. May take as long as a download."""


class Line:
    """A connection that is made again when it is lost, with everything that is wanted then.

    `sink` hears connected() once for each connection on which Fyers has accepted the login and the
    subscription, then every frame of it in order, and disconnected() once when it is lost.
    """

    def __init__(
        self,
        peer: Peer,
        sink: Sink,
        wanted: Callable[[], Mapping[int, Mode]],
        patience: Callable[[], float],
    ) -> None:
        self._peer, self._sink, self._wanted, self._patience = peer, sink, wanted, patience
        self._tokens: frozenset[int] | None = None  # those that are named
        self._topics: frozenset[str] = frozenset()
        self._refusals = 0

    def run(self, stop: Event) -> None:
        """Keep the connection up until `stop` is set.

        Raises:
            TokenExpired: there is no access token, or Fyers refused it.
            RequestRefused: more is wanted than the account's plan allows.
            RateLimited: Fyers refused to be connected to, again and again.
            BrokerUnavailable: no connection could be established for long.
        """
        asyncio.run(self._run(stop))

    async def _run(self, stop: Event) -> None:
        context = httpx.create_ssl_context() if self._peer.url.startswith("wss:") else True
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session:
            await _first_of(self._keep_up(session), _until(stop))

    async def _keep_up(self, session: aiohttp.ClientSession) -> None:
        attempts = 0
        while True:
            began = time.monotonic()
            try:
                await self._connect(session)
            except (Lost, aiohttp.ClientError, OSError) as error:
                refused_by = self._count_refusals(error)
                reason = str(error) or type(error).__name__
            attempts = 0 if time.monotonic() - began > _STEADY_SECONDS else attempts + 1
            if attempts > MAX_RETRIES:
                message = f"gave up after {MAX_RETRIES} attempts to connect: {reason}"
                raise BrokerUnavailable(message)
            delay = RETRY_DELAYS[min(attempts, len(RETRY_DELAYS)) - 1] if attempts else 0.0
            log.warning("no connection to Fyers (%s): next attempt in %g s", reason, delay)
            await asyncio.sleep(REFUSED_DELAY if refused_by else delay)

    def _count_refusals(self, error: Exception) -> int | None:
        """Return the HTTP status with which Fyers refused to be connected to, if it did.

        Raises:
            BrokerError: that was once too often.
        """
        status = error.status if isinstance(error, aiohttp.WSServerHandshakeError) else None
        if status is None or status >= 500:
            self._refusals = 0
            return None
        self._refusals += 1
        if self._refusals >= MAX_REFUSALS:
            kind = RateLimited if status == 429 else BrokerUnavailable
            raise kind(f"Fyers refused the connection with HTTP {status}: wait and try again")
        return status

    async def _connect(self, session: aiohttp.ClientSession) -> None:
        key = self._peer.hsm_key()
        self._tokens = None  # names that could not be had last time perhaps can
        await self._name_topics()
        async with asyncio.timeout(_CONNECT_SECONDS):
            # No Authorization header: with one Fyers never answers the login. Pings are ours.
            socket = await session.ws_connect(
                self._peer.url,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
                autoping=False,
                max_msg_size=0,
            )
        async with socket:
            with Connection(socket, self._sink, self._topics) as connection:
                await _first_of(connection.read(key), self._look_after(connection))

    async def _look_after(self, connection: Connection) -> None:
        while True:
            patience = self._patience()
            await asyncio.sleep(min(_POLL_SECONDS, patience / 4))
            await self._name_topics()
            await connection.want(self._topics)
            await connection.stay_alive(patience)

    async def _name_topics(self) -> None:
        tokens = frozenset(self._wanted())
        if tokens != self._tokens:
            self._topics = frozenset(await asyncio.to_thread(self._peer.topics, tokens))
            self._tokens = tokens


async def _until(stop: Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(_STOP_SECONDS)


async def _first_of(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run jobs until the first ends, and end the others; raise what ended one of them."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
