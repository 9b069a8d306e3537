"""One client of a broker's WebSocket: what it subscribed to, and everything sent to it."""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from market_pipeline.market import Columns, Mode
from market_pipeline.simulator.dispatch import Dispatch
from market_pipeline.simulator.noise import Int

_BINARY_MESSAGE = 0x82  # whole, unmasked: the first byte of its WebSocket header


class Frame(NamedTuple):
    """A message of packets; a client cannot read those from `whole` on."""

    payload: bytes
    packets: Columns
    mode: Mode
    whole: int
    edges: tuple[int, ...] = ()  # where packets begin and the last ends, if they do not say so

    @property
    def size(self) -> int:
        return len(self.packets["token"])


class Disturbance(NamedTuple):
    """What happens to a frame on its way instead of being sent, if it has enough packets."""

    act: Callable[[Any, Frame], Awaitable[None]]  # of the connection that was to send it
    fewest_packets: int = 1


class Connection(ABC):
    """One client, and what it subscribed to.

    All that is sent leaves in the order of the calls, and packets are recorded in that order.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        request: web.Request,
        muted: NDArray[np.bool_],
        dispatch: Dispatch | None = None,
    ) -> None:
        self.socket = socket
        self.request = request
        self.modes = np.zeros(len(muted), np.int8)
        self._muted = muted  # shared: changes while the connection lasts
        self.packets_sent = 0
        self.last_sent = time.monotonic()
        self.disturbances: list[Disturbance] = []
        # Packets of an instrument leave in the order of its trades: one sender at a time.
        self.lock = asyncio.Lock()
        self._dispatch = dispatch
        self._id = 0 if dispatch is None else dispatch.opened()
        self._cause = "closed by the client"
        self._late: set[asyncio.Task[None]] = set()

    @property
    def subscribed(self) -> int:
        return int(np.count_nonzero(self.modes))

    @property
    def is_open(self) -> bool:
        """Tell whether bytes that are sent now are handed to the line."""
        transport = self.request.transport
        return transport is not None and not (transport.is_closing() or self.socket.closed)

    async def send(self, payload: bytes | str) -> None:
        """Send a frame; waits while the client reads too slowly. A closed connection is no error.

        Whoever closes a connection removes it; the frames for it are lost, as on a real line.
        """
        self.last_sent = time.monotonic()
        with contextlib.suppress(ConnectionError):
            if isinstance(payload, str):
                await self.socket.send_str(payload)
            else:
                await self.socket.send_bytes(payload)

    async def send_raw(self, payload: bytes) -> None:
        """Send any bytes as a frame, and record the packets that can be read in them."""
        if self.is_open:
            packets = self._read(payload)
            self.packets_sent += len(packets["token"])
            if self._dispatch is not None:
                self._dispatch.sent(self._id, packets)
            await self.send(payload)

    @abstractmethod
    async def send_packets(self, rows: Int, packets: Columns) -> None:
        """Send those packets that are subscribed to; `rows` are those of the listing."""

    @abstractmethod
    def _read(self, payload: bytes) -> Columns:
        """Return what the client understands of bytes that were not made of packets."""

    @abstractmethod
    def _record_of(self, frame: Frame) -> tuple[Columns, NDArray[np.bool_]]:
        """Return what the ledger says of a frame: packets as the client reads them, and damage."""

    async def _disturb_or_send(self, frame: Frame) -> None:
        for disturbance in self.disturbances:
            if frame.size >= disturbance.fewest_packets:
                self.disturbances.remove(disturbance)
                await disturbance.act(self, frame)
                return
        await self.send_frame(frame)

    async def send_frame(self, frame: Frame) -> None:
        """Record a frame and send it, unless the connection has ended."""
        if self.is_open:
            self._record(frame)
            # Runs up to the write to the transport without giving way: the order is the record's.
            await self.send(frame.payload)

    def send_later(self, frame: Frame, seconds: float) -> None:
        """Send a frame after `seconds`, whatever is sent until then."""
        task = asyncio.create_task(self._sleep_and_send(frame, seconds))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _sleep_and_send(self, frame: Frame, seconds: float) -> None:
        await asyncio.sleep(seconds)
        async with self.lock:
            await self.send_frame(frame)

    def send_half(self, frame: Frame, cause: str) -> None:
        """Write the first half of a frame's bytes, and cut the line."""
        transport = self.request.transport
        if transport is not None and self.is_open:
            self._record(frame._replace(whole=0))
            message = _websocket_message(frame.payload)
            transport.write(message[: len(message) // 2])
            self.abort(cause)

    def abort(self, cause: str) -> None:
        """Cut the line without a closing handshake."""
        if self.is_open:
            self._cause = cause
        if self.request.transport is not None:
            self.request.transport.abort()

    async def end(self) -> None:
        """Record that the connection has ended; what was held back is never sent."""
        if self._dispatch is not None:
            self._dispatch.closed(self._id, self._cause)
            self._dispatch = None
        held_back = list(self._late)
        for task in held_back:
            task.cancel()
        await asyncio.gather(*held_back, return_exceptions=True)

    def _record(self, frame: Frame) -> None:
        self.packets_sent += frame.size
        if self._dispatch is not None:
            self._dispatch.sent(self._id, *self._record_of(frame))


def _websocket_message(payload: bytes) -> bytes:
    """Put a WebSocket header in front: the length takes 1, 3 or 9 bytes."""
    size = len(payload)
    if size < 126:
        return bytes([_BINARY_MESSAGE, size]) + payload
    if size < 1 << 16:
        return bytes([_BINARY_MESSAGE, 126]) + size.to_bytes(2, "big") + payload
    return bytes([_BINARY_MESSAGE, 127]) + size.to_bytes(8, "big") + payload
