"""How fast Fyers' frames are decoded, beside its own SDK where that is installed.

Run with python -m market_pipeline_tests.bench_fyers.
"""

import importlib
import logging
import random
import statistics
import struct
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import numpy as np
from rich.console import Console
from rich.table import Table

from market_pipeline.brokers import fyers_wire
from market_pipeline.brokers.fyers_wire import Decoder, data_frame, snapshot_item, update_item

TOPICS = 1_000
ITEMS_A_FRAME = 100


def opening(topics: int = TOPICS) -> list[bytes]:
    """Make frames of the snapshots of so many contracts."""
    values = list(range(10_000, 10_000 + len(fyers_wire.SF_FIELDS)))
    items = [
        snapshot_item(n, f"sf|nse_cm|{n}", values, 1, 2, "nse_cm", str(n), f"S{n}-EQ")
        for n in range(topics)
    ]
    return _frames(items)


def updates(count: int, topics: int = TOPICS, seed: int = 1) -> list[bytes]:
    """Make frames of updates in each of which about half of the values change."""
    chance = np.random.default_rng(seed)
    width = len(fyers_wire.SF_FIELDS)
    changes = chance.integers(9_000, 11_000, (count, width))
    is_changed = chance.random((count, width)) < 0.5
    is_changed[:, 0] = True
    ids = chance.integers(0, topics, count)
    rows = zip(ids.tolist(), changes.tolist(), is_changed.tolist(), strict=True)
    return _frames(
        [
            update_item(topic, [v if c else None for v, c in zip(values, changed, strict=True)])
            for topic, values, changed in rows
        ]
    )


def _frames(items: list[bytes]) -> list[bytes]:
    return [
        data_frame(items[start : start + ITEMS_A_FRAME], number)
        for number, start in enumerate(range(0, len(items), ITEMS_A_FRAME))
    ]


def methods(count: int) -> dict[str, Callable[[], int]]:
    """Return what is compared: each reads frames and says how many updates those held."""
    made = updates(count)
    decoder = Decoder()
    decoder.decode(opening())

    def one_by_one() -> int:
        for frame in made:
            decoder.decode([frame])
        return count

    def joined() -> int:
        decoder.decode(made)
        return count

    found: dict[str, Callable[[], int]] = {"ours, frame by frame": one_by_one, "ours": joined}
    if (read := sdk_reader(lambda _: None)) is not None:
        for frame in opening():
            read(frame)
        few = made[: max(len(made) // 20, 1)]

        def theirs() -> int:
            for frame in few:
                read(frame)
            return sum(struct.unpack_from(">H", frame, 7)[0] for frame in few)

        found["fyers-apiv3"] = theirs
    return found


def sdk_reader(
    on_message: Callable[[dict[str, Any]], None],
) -> Callable[[bytes], None] | None:
    """Return what the SDK does with each frame, None where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the packages it needs
            sdk = importlib.import_module("fyers_apiv3.FyersWebsocket.data_ws")
    except ModuleNotFoundError:
        return None
    own = type("Socket", (sdk.FyersDataSocket,), {"_instance": None})  # else one for all
    with mock.patch.object(logging, "FileHandler", lambda *_: logging.NullHandler()):
        socket = own("token", on_message=on_message)  # logs into files that it never closes
    socket.symbol_token = _AnyName()
    read: Callable[[bytes], None] = socket._FyersDataSocket__response_msg
    return read


class _AnyName(dict[str, str]):
    def __missing__(self, topic: str) -> str:
        return topic


def rates(compared: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    """Return updates a second, the median of rounds in each of which all take their turn."""
    found: dict[str, list[float]] = {name: [] for name in compared}
    shuffled = random.Random(1)
    for _ in range(rounds):
        for name in shuffled.sample(list(compared), len(compared)):
            start = time.perf_counter()
            count = compared[name]()
            found[name].append(count / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in found.items()}


def run(console: Console, count: int = 100_000, rounds: int = 7) -> None:
    """Compare, and show how many updates a second each reads."""
    found = rates(methods(count), rounds)
    theirs = found.get("fyers-apiv3")
    table = Table("Fyers", "updates a second", "x fyers-apiv3 (10)", title="Decoding Fyers' frames")
    for name, rate in found.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / theirs:.1f}" if theirs else "not installed")
    console.print(table)


if __name__ == "__main__":
    run(Console())
