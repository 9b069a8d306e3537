"""All clients of a broker's WebSocket, whichever broker it is, and the loop that feeds them."""

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import numpy as np
from aiohttp import WSMessage, web

from market_pipeline.market import Columns
from market_pipeline.simulator.book import Prints
from market_pipeline.simulator.clock import RealClock, ReplayClock
from market_pipeline.simulator.connection import Connection, Disturbance
from market_pipeline.simulator.dispatch import Dispatch
from market_pipeline.simulator.exchange import Exchange
from market_pipeline.simulator.feed import Feed
from market_pipeline.simulator.noise import Int

logger = logging.getLogger(__name__)

_SETTLING_SECONDS = 0.5
_PATIENCE_SECONDS = 10.0

Client = TypeVar("Client", bound=Connection)


class Lines(ABC, Generic[Client]):
    """All connections, and the loop that moves the clock and feeds them."""

    def __init__(
        self,
        exchange: Exchange,
        clock: RealClock | ReplayClock,
        start_when_subscribed: int | None = None,
        dispatch: Dispatch | None = None,
    ) -> None:
        self.exchange = exchange
        self.clock = clock
        self.connections: list[Client] = []
        self.silent = False
        self.bias = 0.0  # rupees by which all last prices are told wrong
        self._muted = np.zeros(len(exchange.listing), bool)
        self.refuse_with: int | None = None
        self.handshake_seconds = 0.0
        self._dispatch = dispatch
        self._sent_before = 0  # packets, on connections that have ended
        self._start_when = start_when_subscribed
        self._starting: asyncio.TimerHandle | None = None
        self._feed: Feed | None = None
        # Real time waits for nobody; a replay waits for its slowest client.
        self._patience = _PATIENCE_SECONDS if isinstance(clock, RealClock) else None

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Take a WebSocket upgrade, and serve the connection until it ends."""
        await asyncio.sleep(self.handshake_seconds)
        refusal = self._refusal(request)
        if refusal is not None:
            return web.Response(status=refusal, text="Forbidden" if refusal == 403 else "")
        # Pongs that no ping asked for make KiteTicker hang up, so there are no pings from here.
        socket = web.WebSocketResponse(compress=False, heartbeat=None, max_msg_size=0)
        await socket.prepare(request)
        connection = self._connection(socket, request)
        self.connections.append(connection)
        try:
            await self._greet(connection)
            async for message in socket:
                await self._receive(connection, message)
        finally:
            self.connections.remove(connection)
            self._sent_before += connection.packets_sent
            self._feed = None
            await connection.end()
        return socket

    def _refusal(self, request: web.Request) -> int | None:
        """Return the HTTP status that an upgrade is refused with, None to take it."""
        return self.refuse_with

    @abstractmethod
    def _connection(self, socket: web.WebSocketResponse, request: web.Request) -> Client:
        """Make the connection of a client whose upgrade was taken."""

    async def _greet(self, connection: Client) -> None:
        """Send what a client gets before it has asked for anything."""

    @abstractmethod
    async def _receive(self, connection: Client, message: WSMessage) -> None:
        """Do what a client asks for."""

    @abstractmethod
    async def upkeep(self) -> None:
        """Do for ever what is due whatever clients ask for."""

    @abstractmethod
    def _rows(self, tokens: list[int]) -> Int:
        """Return the rows of those of the broker's tokens that are listed."""

    def _start_if_complete(self) -> None:
        """Start a paused clock soon after the last of the wanted subscriptions.

        A client subscribes first and chooses the mode in its next message: packets sent between
        the two would lack their stamps.
        """
        if self._start_when is None:
            return
        if sum(c.subscribed for c in self.connections) >= self._start_when:
            if self._starting is not None:
                self._starting.cancel()
            loop = asyncio.get_running_loop()
            self._starting = loop.call_later(_SETTLING_SECONDS, self.clock.start)

    async def run(self) -> None:
        """Feed the connections, second by second, until the clock ends."""
        while (second := await self.clock.next_second()) is not None:
            await self._emit(second)
        logger.info("the replayed day is over")

    async def _emit(self, second: int) -> None:
        if not self.connections:
            return
        if self._feed is None:
            wanted = np.max([c.modes for c in self.connections], axis=0) > 0
            self._feed = Feed(self.exchange, np.flatnonzero(wanted))
        prints = self._feed.prints(second)
        if prints.row.size and not self.silent:
            await self._send_to_all(prints)

    async def _send_to_all(self, prints: Prints) -> None:
        """Return when every client has taken its packets: time does not pass a slow client."""
        packets = self._packets(prints)

        async def send(connection: Client) -> None:
            try:
                async with asyncio.timeout(self._patience), connection.lock:
                    await connection.send_packets(prints.row, packets)
            except TimeoutError:
                logger.warning("a client did not read for %s s: dropped", self._patience)
                connection.abort("client too slow")

        await asyncio.gather(*(send(connection) for connection in list(self.connections)))

    def _packets(self, prints: Prints) -> Columns:
        packets = self.exchange.packets(prints)
        return {**packets, "last_price": packets["last_price"] + self.bias}

    async def broadcast(self, payload: bytes | str) -> None:
        """Send one frame to all connections."""
        await asyncio.gather(
            *(
                c.send(payload) if isinstance(payload, str) else c.send_raw(payload)
                for c in list(self.connections)
            )
        )

    def mute(self, tokens: list[int]) -> None:
        """Send nothing of these instruments on any connection."""
        self._muted[:] = False
        self._muted[self._rows(tokens)] = True

    def disturb(self, disturbance: Disturbance, frames: int) -> None:
        """Let something happen to the next frames of packets of each open connection."""
        for connection in self.connections:
            connection.disturbances.extend([disturbance] * frames)

    def disturb_no_more(self) -> None:
        """Forget what has not happened yet."""
        for connection in self.connections:
            connection.disturbances.clear()

    def drop_all(self, cause: str) -> None:
        """Cut all lines."""
        for connection in list(self.connections):
            connection.abort(cause)

    @property
    def packets_sent(self) -> int:
        """How many packets have been sent on all connections there ever were."""
        return self._sent_before + sum(c.packets_sent for c in self.connections)

    def status(self) -> dict[str, object]:
        """Describe the clock and the connections."""
        return {
            "now": self.clock.now(),
            "finished": self.clock.finished,
            "connections": [
                {"subscribed": c.subscribed, "packets_sent": c.packets_sent}
                for c in self.connections
            ],
            "subscribed": sum(c.subscribed for c in self.connections),
            "packets_sent": self.packets_sent,
        }
