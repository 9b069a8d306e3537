"""A decoder that remembers: what it says does not depend on batches, restarts or rebuilds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from market_pipeline.brokers import kite_wire
from market_pipeline.brokers.decoding import Stateless
from market_pipeline.market import Decoded
from market_pipeline.streaming import checkpoints, writer
from market_pipeline.streaming.meaning import Source
from market_pipeline.streaming.rebuild import rebuild
from market_pipeline.streaming.records import Record, RecordKind, scan
from market_pipeline.streaming.segments import segments
from market_pipeline_tests import journals, rebuilds
from market_pipeline_tests.builders import OPEN, Known, Packet, fetch, frame
from market_pipeline_tests.journals import Line, drain

plain = journals.line


@pytest.fixture
def line(plain: Line) -> Line:
    """A line whose decoder remembers."""
    plain.decoder = Counting()
    return plain


PRICES = "SELECT seq, last_price FROM ticks ORDER BY seq"


class Counting:
    """Says of each frame which one of its connection it is: in the fraction of the price."""

    remembers = True

    def __init__(self, frames: int = 0) -> None:
        self.frames = frames

    def decode(self, frames: Sequence[bytes]) -> Decoded:
        decoded = kite_wire.decode(frames)
        numbers = self.frames + 1 + decoded.frame
        decoded.packets["last_price"] = np.floor(decoded.packets["last_price"]) + numbers / 1000
        self.frames += len(frames)
        return decoded

    def tells(self, frame: bytes) -> bool:
        return True

    def reset(self) -> None:
        self.frames = 0

    def copy(self) -> "Counting":
        return Counting(self.frames)

    def state(self) -> bytes:
        return str(self.frames).encode()

    def load(self, state: bytes) -> None:
        self.frames = int(state)


def receive(line: Line, frames: int, first: int = 0) -> None:
    line.say(RecordKind.CONNECTED, at=first)
    for at in range(first, first + frames):
        line.frames(frame(Packet(price=100, volume=10 + at, at=at)), at=at)


def numbers(line: Line) -> list[int]:
    """Return which frame of its connection each tick came in."""
    return [round(price % 1 * 1000) for _, price in fetch(line.database, PRICES)]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a checkpoint with every batch."""
    monkeypatch.setattr(writer, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)


def test_a_new_connection_begins_anew_within_one_batch(line: Line) -> None:
    receive(line, 5)
    receive(line, 3, first=10)
    drain(line.writer())
    assert numbers(line) == [1, 2, 3, 4, 5, 1, 2, 3]


@pytest.mark.parametrize("batch_bytes", [100, 1000, 100_000])
def test_batches_of_any_size_make_the_same(line: Line, batch_bytes: int) -> None:
    receive(line, 30)
    receive(line, 10, first=40)
    drain(line.writer(batch_bytes=batch_bytes))
    assert numbers(line) == [*range(1, 31), *range(1, 11)]


def test_a_restart_in_the_middle_of_a_connection_goes_on_from_there(line: Line) -> None:
    receive(line, 5)
    drain(line.writer("first"))  # its checkpoint is of the beginning
    receive_more(line, 5, first=5)
    drain(line.writer("second"))
    assert numbers(line) == list(range(1, 11))


def receive_more(line: Line, frames: int, first: int) -> None:
    for at in range(first, first + frames):
        line.frames(frame(Packet(price=100, volume=10 + at, at=at)), at=at)


def test_a_restart_goes_on_from_a_checkpoint(line: Line, often: None) -> None:
    receive(line, 5)
    opened = line.writer("first")
    drain(opened)
    opened.checkpoint()
    assert fetch(line.database, "SELECT checkpoint_position = position FROM journal_positions") == [
        (True,)
    ]
    receive_more(line, 5, first=5)
    drain(line.writer("second"))
    assert numbers(line) == list(range(1, 11))


def flip(line: Line, frame_number: int) -> None:
    """Spoil one of the frames in the journal."""
    base, file = segments(line.folder)[-1]
    data = bytearray(file.read_bytes())
    frames = [
        item
        for item in scan(bytes(data), base)
        if isinstance(item, Record) and item.kind is RecordKind.FRAME
    ]
    data[(frames[frame_number].position + frames[frame_number].end) // 2 - base] ^= 1
    file.write_bytes(data)


GAPS = "SELECT cause, extract(epoch FROM ended_at)::bigint FROM gaps ORDER BY started_at"


def test_after_damage_the_gap_lasts_until_a_connection_begins_anew(line: Line) -> None:
    receive(line, 6)
    receive(line, 3, first=10)
    flip(line, 2)
    opened = line.writer()
    opened.step()
    assert opened.progress.blind_since == [None]  # the new connection has been reached
    assert fetch(line.database, GAPS) == [("damaged journal", OPEN + 10)]


def test_a_decoder_that_remembers_begins_anew_after_damage(line: Line) -> None:
    receive(line, 6)
    flip(line, 2)
    opened = line.writer()
    drain(opened)
    assert numbers(line) == [1, 2, 1, 2, 3]
    assert opened.progress.blind_since != [None]
    assert fetch(line.database, GAPS) == [("damaged journal", None)]


def test_a_restart_after_damage_does_not_end_its_gap(line: Line, often: None) -> None:
    receive(line, 4)
    flip(line, 3)  # the last: nothing of the connection is known after it
    drain(line.writer("first"))
    receive_more(line, 2, first=5)
    drain(line.writer("second"))
    assert fetch(line.database, GAPS) == [("damaged journal", None)]
    receive(line, 2, first=10)
    drain(line.writer("third"))
    assert fetch(line.database, GAPS) == [("damaged journal", OPEN + 10)]


def test_a_checkpoint_of_before_there_were_decoders_is_read(plain: Line, often: None) -> None:
    line = plain
    receive(line, 5)
    drain(line.writer("first"))
    (state,) = fetch(line.database, "SELECT checkpoint FROM journal_positions")[0]
    assert bytes(state).startswith(b"ARROW1")
    receive_more(line, 5, first=5)
    drain(line.writer("second"))
    volumes = fetch(line.database, "SELECT volume FROM ticks ORDER BY seq")
    assert [volume for (volume,) in volumes[1:]] == [1] * 9


def test_a_rebuild_begins_with_what_was_remembered(line: Line, often: None) -> None:
    receive(line, 20)
    opened = line.writer(batch_bytes=500)
    drain(opened)
    opened.close()
    before: Any = fetch(line.database, PRICES)
    order = replace(rebuilds.ordered(line, since=12), brokers=line.brokers)
    outcome = rebuild(line.database.url, order, [Source(Counting(), Known())])
    assert outcome.start > 0
    assert outcome.difference.inserted == outcome.difference.deleted == 0
    assert fetch(line.database, PRICES) == before


def test_a_decoder_that_remembers_nothing_refuses_a_state() -> None:
    with pytest.raises(ValueError, match="3 bytes of state"):
        Stateless(kite_wire.decode).load(b"abc")
