"""Ticks over the API's WebSocket, as an asynchronous iterator that outlives its connections.

The protocol is described in api/live/endpoint.py.
"""

import asyncio
import json
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from market_pipeline.client_answers import error_of, error_of_problem
from market_pipeline.errors import ApiError, ApiUnknownInstrument, is_transient
from market_pipeline.market import Mode

log = logging.getLogger(__name__)

_SILENCE_SECONDS = 20.0
"""Heartbeats come every five."""

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.25, 10.0
_TIMES = ("time", "received_at", "exchange_time")


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick says; None: the mode or the feed does not have it. Prices in rupees, in UTC."""

    instrument: str
    instrument_id: int
    time: datetime
    last_price: float
    is_trade: bool
    received_at: datetime
    last_quantity: int | None = None
    average_price: float | None = None
    day_volume: int | None = None
    volume: int | None = None
    buy_quantity: int | None = None
    sell_quantity: int | None = None
    high: float | None = None
    low: float | None = None
    open_interest: int | None = None
    bid_price: float | None = None
    bid_quantity: int | None = None
    ask_price: float | None = None
    ask_quantity: int | None = None
    exchange_time: datetime | None = None


@dataclass(frozen=True)
class Loss:
    """Ticks that were not delivered: either how many, or of what stretch of which stream."""

    ticks: int | None = None
    """So many: they came faster than they were taken. The newest of each instrument was kept."""

    stream: str | None = None
    until: datetime | None = None
    """Some of this stream committed before: between two connections too much time went by. Those
    after the last tick that came are in Client.ticks()."""


class TickStream:
    """`async for tick in stream`: connects, and comes back by itself behind what was delivered.

    Each tick is delivered once, in the order of its stream. What could not be is in `losses`.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        instruments: Sequence[str | int],
        mode: Mode,
        on_loss: Callable[[Loss], None] | None = None,
    ) -> None:
        self._url, self._headers = url, headers
        self._wanted = {"instruments": list(instruments), "mode": Mode(mode).value}
        self._on_loss = on_loss
        self._wait = _FIRST_WAIT_SECONDS
        self._is_begun = False
        self.seq: dict[str, int] = {}
        """Up to where each stream was delivered."""

        self.losses: list[Loss] = []
        self._rest: deque[dict[str, Any]] = deque()
        """The ticks of the newest message that were not delivered: a reader may stop between two
        and go on later."""

        self._rest_seq: dict[str, int] = {}

    async def __aiter__(self) -> AsyncIterator[Tick]:
        """Yield ticks for ever, those first that came before and were not delivered.

        Raises:
            ApiKeyRefused, ApiUnknownInstrument, ApiError: what a new connection cannot mend.
        """
        while True:
            while self._rest:
                yield self._next()
            try:
                async with connect(
                    self._url, additional_headers=self._headers, max_size=None
                ) as connection:
                    await self._begin(connection)
                    while True:
                        self._take(await self._message(connection))
                        while self._rest:
                            yield self._next()
            except InvalidStatus as error:
                answer = error.response
                refused = error_of(answer.status_code, bytes(answer.body or b""))
                await self._retry_or_raise(refused)
            except ApiError as error:
                await self._retry_or_raise(error)
            except (OSError, TimeoutError, WebSocketException) as error:
                await self._retry(error)

    def _take(self, message: dict[str, Any]) -> None:
        """Hold what a message brings until it is delivered."""
        self._rest.extend(message.get("ticks", ()))
        self._rest_seq = message.get("seq", self.seq)
        if not self._rest:
            self.seq = self._rest_seq

    def _next(self) -> Tick:
        """Return the next tick that is held: with the last all of the message is delivered."""
        values = self._rest.popleft()
        if not self._rest:
            self.seq = self._rest_seq
        return _tick(values)

    async def _begin(self, connection: ClientConnection) -> None:
        if self._is_begun:  # even where no stream has begun so far: what came since is missing
            await connection.send(json.dumps({"action": "resume", "seq": self.seq}))
        await connection.send(json.dumps({"action": "subscribe"} | self._wanted))

    async def _message(self, connection: ClientConnection) -> dict[str, Any]:
        """Return the next message, once what it says besides ticks is noted."""
        async with asyncio.timeout(_SILENCE_SECONDS):
            message: dict[str, Any] = json.loads(await connection.recv())
        match message["type"]:
            case "subscribed":
                self._wait = _FIRST_WAIT_SECONDS
                self._check(message["unknown"])
            case "error":
                raise error_of_problem(message["problem"])
            case "missed" | "resume_failed":
                for stream, missed in message["streams"].items():
                    until = datetime.fromisoformat(missed["until"])
                    self._lose(Loss(stream=stream, until=until))
            case "ticks" if message["lost"]:
                self._lose(Loss(ticks=message["lost"]))
        return message

    def _check(self, unknown: list[dict[str, Any]]) -> None:
        """Refuse names that were never known; a contract may expire while it is followed."""
        names = "; ".join(
            f"{each['asked']}{', like ' + ', '.join(each['near']) if each['near'] else ''}"
            for each in unknown
        )
        if unknown and not self._is_begun:
            raise ApiUnknownInstrument(f"The API knows no instrument {names}")
        if unknown:
            log.warning("no longer known to the API: %s", names)
        self._is_begun = True

    def _lose(self, loss: Loss) -> None:
        self.losses.append(loss)
        if self._on_loss is not None:
            self._on_loss(loss)
        else:
            log.warning("ticks were lost: %s", loss)

    async def _retry_or_raise(self, error: ApiError) -> None:
        if not is_transient(error):
            raise error
        await self._retry(error)

    async def _retry(self, error: Exception) -> None:
        wait = self._wait * random.uniform(0.5, 1.0)  # not all clients at once
        self._wait = min(2 * self._wait, _LONGEST_WAIT_SECONDS)
        log.warning("live ticks: %s; connecting again in %.1f s", error, wait)
        await asyncio.sleep(wait)


_FIELDS = {field.name for field in fields(Tick)}


def _tick(values: dict[str, Any]) -> Tick:
    for name in _TIMES:
        if values.get(name) is not None:
            values[name] = datetime.fromisoformat(values[name])
    return Tick(**{name: value for name, value in values.items() if name in _FIELDS})
