"""Kite's WebSocket: subscriptions, cached packets, live packets and heartbeats."""

import asyncio
import json
import time

import numpy as np
from aiohttp import WSMessage, WSMsgType, web

from market_pipeline.brokers import kite_wire
from market_pipeline.market import Mode
from market_pipeline.simulator.accounts import Accounts
from market_pipeline.simulator.clock import RealClock, ReplayClock
from market_pipeline.simulator.dispatch import Dispatch
from market_pipeline.simulator.exchange import Exchange
from market_pipeline.simulator.kite_connection import MODES, KiteConnection
from market_pipeline.simulator.lines import Lines
from market_pipeline.simulator.noise import Int

MOST_TOKENS = 3_000
MOST_CONNECTIONS = 3
_HEARTBEAT_SECONDS = 1.0
_CODES: dict[str | None, int] = {mode.value: code for code, mode in enumerate(MODES) if mode}


class Ticker(Lines[KiteConnection]):
    """Kite's side of all connections."""

    def __init__(
        self,
        exchange: Exchange,
        clock: RealClock | ReplayClock,
        accounts: Accounts,
        start_when_subscribed: int | None = None,
        dispatch: Dispatch | None = None,
    ) -> None:
        super().__init__(exchange, clock, start_when_subscribed, dispatch)
        self._accounts = accounts

    def _connection(self, socket: web.WebSocketResponse, request: web.Request) -> KiteConnection:
        return KiteConnection(socket, request, self._muted, self._dispatch)

    async def _greet(self, connection: KiteConnection) -> None:
        await connection.send(_greeting(len(self.exchange.listing)))

    def _refusal(self, request: web.Request) -> int | None:
        query = request.query
        if self.refuse_with is not None:
            return self.refuse_with
        if not self._accounts.is_valid(query.get("api_key", ""), query.get("access_token", "")):
            return 403
        return 429 if len(self.connections) >= MOST_CONNECTIONS else None

    async def _receive(self, connection: KiteConnection, message: WSMessage) -> None:
        if message.type is WSMsgType.TEXT:
            await self._obey(connection, message.data)

    async def _obey(self, connection: KiteConnection, text: str) -> None:
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

    async def _subscribe(
        self, connection: KiteConnection, rows: Int, code: int, is_new: bool
    ) -> None:
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
                await connection.send_packets(rows, self._packets(prints))
        self._start_if_complete()

    def _set_modes(self, connection: KiteConnection, rows: Int, code: int) -> None:
        connection.modes[rows] = code
        self._feed = None

    async def upkeep(self) -> None:
        """Send a byte on connections that were idle."""
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS / 4)
            idle_since = time.monotonic() - _HEARTBEAT_SECONDS
            for connection in list(self.connections):
                busy = connection.lock.locked() or connection.last_sent >= idle_since
                if not busy and not self.silent:
                    await connection.send(kite_wire.HEARTBEAT)

    def _rows(self, tokens: list[int]) -> Int:
        return self.exchange.rows(np.array(tokens, np.int64))


def _fits(connection: KiteConnection, rows: Int) -> bool:
    new = np.unique(rows[connection.modes[rows] == 0])
    return connection.subscribed + len(new) <= MOST_TOKENS


def _greeting(count: int) -> str:
    return json.dumps({"type": "instruments_meta", "data": {"count": count, "etag": "simulator"}})


def _error(text: str) -> str:
    return json.dumps({"type": "error", "data": text})
