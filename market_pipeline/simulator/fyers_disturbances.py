"""What can happen to a frame of Fyers' data socket where it differs from Kite's."""

import numpy as np

from market_pipeline.simulator.connection import Connection, Disturbance, Frame

MALFORMED_FRAME = bytes.fromhex("000d 06 00000000 0003 55 0100 15 0000")
"""Declares three items and ends within the first."""

_LITE = ord("L")
_COUNT_AT = 3  # after its kind and topic id an item says how many bytes or values follow
_MOST = 0xFF
_LONGEST_CLAIM = _COUNT_AT + 1 + 4 * _MOST


async def _send_with_garbage_length(connection: Connection, frame: Frame) -> None:
    await connection.send_frame(with_garbage_length(frame))


GARBAGE_LENGTH = Disturbance(_send_with_garbage_length)


def with_garbage_length(frame: Frame) -> Frame:
    """Let the item in the middle claim more values than there are.

    In a frame so large that the claim would be met it is a later one. An item of one price has no
    length: its kind becomes one that does not exist.
    """
    edges = np.array(frame.edges)
    unmet = np.searchsorted(edges, edges[-1] - _LONGEST_CLAIM, side="right")
    chosen = max(frame.size // 2, int(unmet))
    spoilt = bytearray(frame.payload)
    start = frame.edges[chosen]
    spoilt[start + (0 if spoilt[start] == _LITE else _COUNT_AT)] = _MOST
    return frame._replace(payload=bytes(spoilt), whole=chosen)
