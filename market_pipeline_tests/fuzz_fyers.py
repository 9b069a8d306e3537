"""What must hold of Fyers' decoder whatever it reads, and frames to begin with: for `make fuzz`."""

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from market_pipeline.brokers import fyers_wire
from market_pipeline.brokers.fyers_wire import Decoder
from market_pipeline.market import PACKET_COLUMNS, Decoded

_LENGTH = struct.Struct(">H")


def fuzz_fyers(data: bytes) -> None:
    """Decode frames, all at once and one by one with the state written down in between."""
    frames = list(divided(data))
    together = Decoder().decode(frames)
    _check(together, len(frames))
    one_by_one = list(_one_by_one(frames))
    for name in PACKET_COLUMNS:
        parts = [part.packets[name] for part in one_by_one]
        joined = np.concatenate(parts) if parts else together.packets[name]
        assert np.array_equal(joined, together.packets[name], equal_nan=joined.dtype.kind == "f")
    assert sum(len(part.faults) for part in one_by_one) == len(together.faults)


def _check(decoded: Decoded, frames: int) -> None:
    assert {len(column) for column in decoded.packets.values()} == {len(decoded.frame)}
    assert all(0 <= number < frames for number in decoded.frame.tolist())
    assert sorted(decoded.frame.tolist()) == decoded.frame.tolist()
    assert all(0 <= fault.frame < frames for fault in decoded.faults)


def _one_by_one(frames: Sequence[bytes]) -> Iterator[Decoded]:
    state = Decoder().state()
    for frame in frames:
        decoder = Decoder()
        decoder.load(state)
        yield decoder.decode([frame])
        state = decoder.state()


def divided(data: bytes) -> Iterator[bytes]:
    """Cut bytes into frames, each preceded by its length."""
    at = 0
    while at + 2 <= len(data):
        end = at + 2 + _LENGTH.unpack_from(data, at)[0]
        yield data[at + 2 : end]
        at = end


def seeds() -> list[bytes]:
    """Return streams of frames, each preceded by its length."""
    values = list(range(100, 100 + len(fyers_wire.SF_FIELDS)))
    index = list(range(100, 100 + len(fyers_wire.IF_FIELDS)))
    snapshot = fyers_wire.snapshot_item(7, "sf|nse_cm|3045", values, 1, 2, "nse_cm", "3045", "SBIN")
    nifty = fyers_wire.snapshot_item(8, "if|nse_cm|Nifty 50", index, 1, 2, "nse_cm", "26000", "N")
    update = fyers_wire.update_item(7, [101, None, 103, *[None] * (len(values) - 3)])
    frames = [
        fyers_wire.data_frame([snapshot, nifty], 1),
        fyers_wire.data_frame([update, fyers_wire.lite_item(8, 4242), update], 2),
        fyers_wire.reply(1, True, 0),
    ]
    return [b"".join(_LENGTH.pack(len(each)) + each for each in frames[:end]) for end in (1, 2, 3)]
