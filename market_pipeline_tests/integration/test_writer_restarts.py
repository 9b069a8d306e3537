"""Restarts and the size of batches leave no trace in the ticks."""

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from market_pipeline.storage.database import Database
from market_pipeline.streaming import writer
from market_pipeline.streaming.records import RecordKind
from market_pipeline_tests.builders import INFY, NIFTY, TCS, Packet, frame
from market_pipeline_tests.journals import Line, drain, ticks
from market_pipeline_tests.journals import line as line


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store a checkpoint with every batch."""
    monkeypatch.setattr(writer, "_CHECKPOINT_SECONDS", 0.0)


def trading(seed: int, seconds: int = 200) -> list[Packet]:
    """An hour of three instruments with repeats, late packets and volumes that fall."""
    generator = random.Random(seed)
    packets: list[Packet] = []
    volume = 1000
    for second in range(seconds):
        volume += generator.choice([0, 0, 5, 10, -3])
        price = 100 + generator.randrange(-20, 20) / 10
        late = generator.choice([0, 0, 0, 0, 7])
        packets.append(
            Packet(
                price=price,
                volume=volume,
                at=max(second - late, 0),
                high=price + generator.choice([0, 1]),
                token=generator.choice([INFY, TCS, NIFTY]),
                received_at=second,
            )
        )
    return packets


def receive(line: Line, packets: list[Packet]) -> None:
    """Receive packets on a line that is lost and found again now and then."""
    line.say(RecordKind.STARTED, b"run")
    for number, packet in enumerate(packets):
        if number % 50 == 0:
            line.say(RecordKind.DISCONNECTED, b"lost", number)
            line.say(RecordKind.CONNECTED, at=number)
        line.frames(frame(packet), at=number)


def uninterrupted(packets: list[Packet], database: Database, folder: Path) -> list[tuple[Any, ...]]:
    with closing(Line(database, folder)) as line:
        receive(line, packets)
        line.store()
        return ticks(line)


@pytest.mark.parametrize("interval", [1, 7, 60])
@pytest.mark.parametrize("checkpointed", [True, False])
def test_restarts_leave_no_trace_in_the_ticks(
    line: Line,
    new_database: Callable[..., str],
    template: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interval: int,
    checkpointed: bool,
) -> None:
    packets = trading(seed=interval)[: 40 * interval]
    expected = uninterrupted(packets, Database(new_database(template)), tmp_path / "other")
    receive(line, packets)
    for restart in range(100):
        monkeypatch.setattr(writer, "_CHECKPOINT_SECONDS", 0.0 if checkpointed else 1e9)
        opened = line.writer(f"run-{restart}", batch_bytes=interval * 150)
        if not (opened.step() and opened.step()):
            break
        monkeypatch.setattr(writer, "_CHECKPOINT_SECONDS", 1e9)
    drain(opened)
    assert ticks(line) == expected


@pytest.mark.usefixtures("checkpoints")
def test_small_batches_make_the_ticks_of_a_large_one(
    line: Line, new_database: Callable[..., str], template: str, tmp_path: Path
) -> None:
    packets = trading(seed=9)
    expected = uninterrupted(packets, Database(new_database(template)), tmp_path / "other")
    receive(line, packets)
    drain(line.writer(batch_bytes=300))
    assert ticks(line) == expected
