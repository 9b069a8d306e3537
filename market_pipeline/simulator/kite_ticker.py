"""Kite's WebSocket: subscriptions, cached packets, live packets and heartbeats."""

import asyncio
import json
import logging
import time

import numpy as np
from aiohttp import WSMsgType, web

from market_pipeline.brokers import kite_wire
from market_pipeline.market import Mode
from market_pipeline.simulator.accounts import Accounts
from market_pipeline.simulator.book import Prints
from market_pipeline.simulator.clock import RealClock, ReplayClock
from market_pipeline.simulator.connection import MODES, Connection, Disturbance
from market_pipeline.simulator.dispatch import Dispatch
from market_pipeline.simulator.exchange import Exchange
from market_pipeline.simulator.feed import Feed
from market_pipeline.simulator.noise import Int

logger = logging.getLogger(__name__)

MOST_TOKENS = 3_000
MOST_CONNECTIONS = 3
_HEARTBEAT_SECONDS = 1.0
_SETTLING_SECONDS = 0.5
_PATIENCE_SECONDS = 10.0
_CODES: dict[str | None, int] = {mode.value: code for code, mode in enumerate(MODES) if mode}


class Ticker:
    """All connections, and the loop that moves the clock and feeds them."""

    def __init__(
        self,
        exchange: Exchange,
        clock: RealClock | ReplayClock,
        accounts: Accounts,
        start_when_subscribed: int | None = None,
        dispatch: Dispatch | None = None,
    ) -> None:
        self.exchange = exchange
        self.clock = clock
        self.connections: list[Connection] = []
        self.silent = False
        self._muted = np.zeros(len(exchange.listing), bool)
        self.refuse_with: int | None = None
        self.handshake_seconds = 0.0
        self._accounts = accounts
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
        connection = Connection(socket, request, self._muted, self._dispatch)
        self.connections.append(connection)
        try:
            await connection.send(_greeting(len(self.exchange.listing)))
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._receive(connection, message.data)
        finally:
            self.connections.remove(connection)
            self._sent_before += connection.packets_sent
            self._feed = None
            await connection.end()
        return socket

    def _refusal(self, request: web.Request) -> int | None:
        query = request.query
        if self.refuse_with is not None:
            return self.refuse_with
        if not self._accounts.is_valid(query.get("api_key", ""), query.get("access_token", "")):
            return 403
        return 429 if len(self.connections) >= MOST_CONNECTIONS else None

    async def _receive(self, connection: Connection, text: str) -> None:
        try:
            message = json.loads(text)
            action, value = message["a"], message["v"]
            mode, tokens = value if action == "mode" else (None, value)
            rows = self.exchange.rows(np.array(tokens, np.int64).reshape(-1))
            code = _CODES[mode] if action == "mode" else _CODES[Mode.QUOTE]
        except (ValueError, TypeError, KeyError, OverflowError):
            await connection.send(_error(f"Invalid message: {text[:100]}"))
            return
        if action == "unsubscribe":
            self._set_modes(connection, rows, 0)
        elif action in ("subscribe", "mode"):
            await self._subscribe(connection, rows, code, is_new=action == "subscribe")

    async def _subscribe(self, connection: Connection, rows: Int, code: int, is_new: bool) -> None:
        if not is_new:
            rows = rows[connection.modes[rows] > 0]
        elif not _fits(connection, rows):
            text = f"Can't subscribe to more than {MOST_TOKENS} instruments"
            await connection.send(_error(text))
            return
        async with connection.lock:
            self._set_modes(connection, rows, code)
            if rows.size and not self.silent:
                prints = self.exchange.prints(rows, self.clock.now())
                await connection.send_packets(rows, self.exchange.packets(prints))
        self._start_if_complete()

    def _set_modes(self, connection: Connection, rows: Int, code: int) -> None:
        connection.modes[rows] = code
        self._feed = None

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
        packets = self.exchange.packets(prints)

        async def send(connection: Connection) -> None:
            try:
                async with asyncio.timeout(self._patience), connection.lock:
                    await connection.send_packets(prints.row, packets)
            except TimeoutError:
                logger.warning("a client did not read for %s s: dropped", self._patience)
                connection.abort("client too slow")

        await asyncio.gather(*(send(connection) for connection in list(self.connections)))

    async def heartbeats(self) -> None:
        """Send a byte on connections that were idle."""
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS / 4)
            idle_since = time.monotonic() - _HEARTBEAT_SECONDS
            for connection in list(self.connections):
                busy = connection.lock.locked() or connection.last_sent >= idle_since
                if not busy and not self.silent:
                    await connection.send(kite_wire.HEARTBEAT)

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
        self._muted[self.exchange.rows(np.array(tokens, np.int64))] = True

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


def _fits(connection: Connection, rows: Int) -> bool:
    new = np.unique(rows[connection.modes[rows] == 0])
    return connection.subscribed + len(new) <= MOST_TOKENS


def _greeting(count: int) -> str:
    return json.dumps({"type": "instruments_meta", "data": {"count": count, "etag": "simulator"}})


def _error(text: str) -> str:
    return json.dumps({"type": "error", "data": text})
