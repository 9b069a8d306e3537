"""What can happen to a frame of packets on its way to a client."""

import numpy as np

from market_pipeline.simulator.connection import Connection, Disturbance, Frame
from market_pipeline.simulator.noise import Int

_COUNT_BYTES = 2
_LENGTH_BYTES = 2
_NO_LENGTH = 0xFFFF  # of no layout


def late(seconds: float) -> Disturbance:
    """Hold a frame back, while newer ones go ahead."""

    async def send_later(connection: Connection, frame: Frame) -> None:
        connection.send_later(frame, seconds)

    return Disturbance(send_later)


async def _send_twice(connection: Connection, frame: Frame) -> None:
    await connection.send_frame(frame)
    await connection.send_frame(frame)


async def _send_cut(connection: Connection, frame: Frame) -> None:
    await connection.send_frame(cut(frame))


async def _send_with_garbage_length(connection: Connection, frame: Frame) -> None:
    await connection.send_frame(with_garbage_length(frame))


async def _send_half(connection: Connection, frame: Frame) -> None:
    connection.send_half(frame, "fault: half_frame")


DUPLICATE = Disturbance(_send_twice)
CUT = Disturbance(_send_cut, fewest_packets=2)
GARBAGE_LENGTH = Disturbance(_send_with_garbage_length)
HALF_FRAME = Disturbance(_send_half)


def cut(frame: Frame) -> Frame:
    """End a frame about half way, within a packet."""
    edges = _edges(frame)
    middle = len(frame.payload) // 2
    if middle in edges:
        middle += _LENGTH_BYTES + 1
    whole = int(np.searchsorted(edges, middle)) - 1
    return frame._replace(payload=frame.payload[:middle], whole=whole)


def with_garbage_length(frame: Frame) -> Frame:
    """Let the packet in the middle claim more bytes than there are.

    In a frame so large that the claim would be met it is a later one.
    """
    edges = _edges(frame)
    unmet = np.searchsorted(edges, edges[-1] - _LENGTH_BYTES - _NO_LENGTH, side="right")
    chosen = max(frame.size // 2, int(unmet))
    spoilt = bytearray(frame.payload)
    start = int(edges[chosen])
    spoilt[start : start + _LENGTH_BYTES] = _NO_LENGTH.to_bytes(_LENGTH_BYTES, "big")
    return frame._replace(payload=bytes(spoilt), whole=chosen)


def _edges(frame: Frame) -> Int:
    """Return where each packet begins, and where the last ends."""
    if frame.edges:
        return np.array(frame.edges)
    edges = [_COUNT_BYTES]
    for _ in range(frame.size):
        length = int.from_bytes(frame.payload[edges[-1] : edges[-1] + _LENGTH_BYTES], "big")
        edges.append(edges[-1] + _LENGTH_BYTES + length)
    return np.array(edges)
