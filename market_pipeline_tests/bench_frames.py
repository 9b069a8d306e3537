"""What the bench sends: frames of full packets as a busy exchange would."""

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market_pipeline.brokers import kite_wire
from market_pipeline.market import Columns, Mode, empty_packets

INSTRUMENTS = 1_000
PACKETS_PER_FRAME = 500
_SESSION_OPEN = int(datetime(2026, 11, 20, 3, 45, tzinfo=UTC).timestamp())


def tokens() -> NDArray[np.int64]:
    return (np.arange(INSTRUMENTS, dtype=np.int64) + 1000) << 8 | 1


def frames(rows: int, seed: int = 1) -> list[tuple[int, bytes]]:
    """Make full frames: every instrument once a second in random order, prices walking."""
    random_numbers = np.random.default_rng(seed)
    price = random_numbers.uniform(50, 5000, INSTRUMENTS).round(1)
    volume = np.zeros(INSTRUMENTS, np.int64)
    made = []
    for second in range(rows // INSTRUMENTS):
        stamp = _SESSION_OPEN + second
        price = (price + random_numbers.integers(-2, 3, INSTRUMENTS) * 0.05).round(2)
        quantity = random_numbers.integers(1, 500, INSTRUMENTS)
        volume += quantity
        packets = _packets(price, quantity, volume, stamp)
        order = random_numbers.permutation(INSTRUMENTS)
        for start in range(0, INSTRUMENTS, PACKETS_PER_FRAME):
            chosen = order[start : start + PACKETS_PER_FRAME]
            frame = kite_wire.encode({k: v[chosen] for k, v in packets.items()}, Mode.FULL)
            made.append((stamp * 1_000_000_000 + 40_000_000 + start, frame))
    return made


def _packets(
    price: NDArray[np.float64],
    quantity: NDArray[np.int64],
    volume: NDArray[np.int64],
    stamp: int,
) -> Columns:
    packets = empty_packets(INSTRUMENTS)
    for name, column in packets.items():
        column[:] = price if column.dtype.kind == "f" else 1
        if name in ("last_trade_time", "exchange_time"):
            column[:] = stamp
    packets["token"], packets["day_volume"] = tokens(), volume.copy()
    packets["last_quantity"] = quantity
    return packets


class BenchTokens:
    """Stands for the catalogue: token n is instrument n >> 8."""

    def __init__(self) -> None:
        instruments = tokens() >> 8
        nothing = [False] * INSTRUMENTS
        self._known = pl.DataFrame(
            {"token": tokens(), "instrument_id": instruments, "is_index": nothing}
        )

    def on(self, day: date) -> pl.DataFrame:
        return self._known
