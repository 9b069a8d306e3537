"""Fyers' data socket ("HSM"): logins, subscriptions, snapshots, changes and pings.

The frames are those that the vendor's library writes and reads; no capture of the real server was
at hand. See brokers/fyers_wire.py.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from aiohttp import WSMessage, WSMsgType, web

from market_pipeline.brokers import fyers_wire
from market_pipeline.brokers.fyers_wire import ClientRequest
from market_pipeline.simulator.dispatch import Dispatch
from market_pipeline.simulator.fyers_accounts import Accounts
from market_pipeline.simulator.fyers_connection import FyersConnection
from market_pipeline.simulator.fyers_symbols import World
from market_pipeline.simulator.lines import Lines
from market_pipeline.simulator.noise import Int

logger = logging.getLogger(__name__)

_TOO_MANY = 51001
_LITE = "L"


class Habits(NamedTuple):
    """How the data socket treats its clients."""

    ping_seconds: float = 120.0  # a client that has not pinged for so long is cut off
    most_topics: int = 5_000
    ack_count: int = 0  # the client is to acknowledge each so manieth frame; 0 for none


class DataSocket(Lines[FyersConnection]):
    """Fyers' side of all connections."""

    def __init__(
        self,
        world: World,
        accounts: Accounts,
        habits: Habits,
        start_when_subscribed: int | None = None,
        dispatch: Dispatch | None = None,
    ) -> None:
        super().__init__(world.exchange, world.clock, start_when_subscribed, dispatch)
        self.refuses_login = False
        self._symbols = world.symbols
        self._accounts = accounts
        self._habits = habits

    def _connection(self, socket: web.WebSocketResponse, request: web.Request) -> FyersConnection:
        return FyersConnection(socket, request, self._muted, self._dispatch, self._symbols)

    async def _receive(self, connection: FyersConnection, message: WSMessage) -> None:
        if message.type is not WSMsgType.BINARY or connection.is_deaf:
            return
        try:
            request = fyers_wire.read_request(message.data)
        except ValueError:
            logger.warning("a client sent what is no request: %s", message.data[:100].hex())
            return
        if request.kind == fyers_wire.PING:
            connection.last_ping = time.monotonic()
        elif request.kind == fyers_wire.ACK:
            connection.acknowledged = request.number
        elif request.kind == fyers_wire.AUTH:
            await self._log_in(connection, request)
        elif not connection.is_logged_in:
            await self._reply(connection, fyers_wire.reply(request.kind, False))
        else:
            await self._obey(connection, request)

    async def _log_in(self, connection: FyersConnection, request: ClientRequest) -> None:
        is_valid = request.key == self._accounts.hsm_key and not self.refuses_login
        connection.is_logged_in = is_valid
        reply = fyers_wire.reply(fyers_wire.AUTH, is_valid, self._habits.ack_count)
        await self._reply(connection, reply)

    async def _obey(self, connection: FyersConnection, request: ClientRequest) -> None:
        async with connection.lock:
            if request.kind == fyers_wire.SUBSCRIBE:
                await self._subscribe(connection, request)
                return
            is_known = True
            if request.kind == fyers_wire.UNSUBSCRIBE:
                connection.unsubscribe(self._known(request.topics))
                self._feed = None
            elif request.kind == fyers_wire.MODE:
                connection.is_lite = request.mode == _LITE
            elif request.kind in (fyers_wire.PAUSE, fyers_wire.RESUME):
                connection.pause(request.channel, request.kind == fyers_wire.PAUSE)
            else:
                is_known = False
            await self._reply(connection, fyers_wire.reply(request.kind, is_known))

    async def _subscribe(self, connection: FyersConnection, request: ClientRequest) -> None:
        """Add topics, and send what is known of them at once; unknown ones are passed over."""
        topics = self._known(request.topics)
        if not connection.fits(topics, self._habits.most_topics):
            text = f"Symbol limit of {self._habits.most_topics} exceeded"
            await self._reply(connection, fyers_wire.custom_message(_TOO_MANY, text))
            return
        connection.subscribe(topics, request.channel)
        self._feed = None
        await self._reply(connection, fyers_wire.reply(fyers_wire.SUBSCRIBE, True))
        rows = np.array(sorted({row for row, _ in topics}), np.int64)
        if rows.size and not self.silent:
            prints = self.exchange.prints(rows, self.clock.now())
            await connection.send_packets(rows, self._packets(prints))
        self._start_if_complete()

    def _known(self, topics: Iterable[str]) -> dict[tuple[int, int], str]:
        known = self._symbols.topics
        return {known[topic]: topic for topic in topics if topic in known}

    async def _reply(self, connection: FyersConnection, payload: bytes) -> None:
        if not self.silent:
            await connection.send(payload)

    async def upkeep(self) -> None:
        """Cut off clients that do not ping."""
        patience = self._habits.ping_seconds
        while True:
            await asyncio.sleep(min(patience / 4, 1.0))
            for connection in list(self.connections):
                if time.monotonic() - connection.last_ping > patience:
                    connection.abort("no ping")

    def _rows(self, tokens: list[int]) -> Int:
        known = self._symbols.row_by_token
        return np.array([known[t] for t in tokens if t in known], np.int64)
