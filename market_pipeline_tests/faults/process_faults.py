"""What can happen to a stream's process, clock and disk. Each function causes one fault."""

import random
import time
from pathlib import Path

from market_pipeline.market import DAMAGED_JOURNAL
from market_pipeline.streaming import journal
from market_pipeline.streaming.records import HEADER_BYTES, Record, RecordKind, scan
from market_pipeline_tests.faults import run
from market_pipeline_tests.faults.disk import SmallDisk
from market_pipeline_tests.faults.proxy import Proxy
from market_pipeline_tests.faults.world import World

RESTARTED = 10.0  # seconds: this test restarts it a second after its end


def killed_at_random(world: World) -> None:
    chance = random.Random(1)
    for _ in range(20 if world.full else 3):
        time.sleep(chance.uniform(0, 3))
        run.kill([world.stream])
        world.recover()
    assert "the process ended without notice" in world.causes()


def torn_tail(world: World) -> None:
    """The last record is cut by a power failure: in its header, and anywhere in its payload."""
    chance = random.Random(2)
    for number in range(2 * HEADER_BYTES if world.full else 4):
        time.sleep(chance.uniform(0, 0.5))
        run.kill([world.stream])
        size, newest = _last_record(world.journal)
        in_header, anywhere = number // 2, chance.randrange(size)
        with journal.segments(world.journal)[-1][1].open("r+b") as opened:
            opened.truncate(newest + (in_header if number % 2 else anywhere))
        world.recover()


def _last_record(folder: Path) -> tuple[int, int]:
    """Return how long the last record of a journal is and where in its file it begins."""
    base, file = journal.segments(folder)[-1]
    last = [item for item in scan(file.read_bytes(), base) if isinstance(item, Record)][-1]
    return last.end - last.position, last.position - base


def byte_flipped(world: World, proxy: Proxy) -> None:
    """The disk spoils a record that no database has yet: all the others are stored."""
    for _ in range(10 if world.full else 2):
        proxy.cut()
        begin = _size(world.journal)
        world.let_pass(500)
        run.kill([world.stream])
        _flip(world.journal, begin)
        proxy.mend()
        world.recover()
    assert DAMAGED_JOURNAL in world.causes()
    kept = world.value("SELECT count(*) FROM rejected WHERE reason = %s", DAMAGED_JOURNAL)
    assert kept == (10 if world.full else 2)


def _size(folder: Path) -> int:
    return journal.segments(folder)[-1][1].stat().st_size


def _flip(folder: Path, begin: int) -> None:
    """Flip a bit of the first frame of packets after a place in the newest segment."""
    base, file = journal.segments(folder)[-1]
    data = bytearray(file.read_bytes())
    frames = [
        item
        for item in scan(bytes(data), base)
        if isinstance(item, Record)
        and item.position - base > begin
        and item.kind is RecordKind.FRAME
        and len(item.payload) > 1
    ]
    data[(frames[0].position + frames[0].end) // 2 - base] ^= 1
    file.write_bytes(data)


def clock_set_back(world: World) -> None:
    """An hour, in the stream's process alone, and later forward again."""
    world.clock_file.write_text("-3600")
    world.let_pass(300)
    world.recover()
    world.clock_file.write_text("+0")
    world.let_pass(300)
    world.recover()
    assert "was set back by 3600" in world.log.read_text("utf-8", "replace")
    early = world.value("SELECT count(*) FROM ticks WHERE received_at < now() - interval '30 min'")
    assert early == 0, f"{early} ticks were stamped by the wrong clock"


def journal_disk_full(world: World, disk: SmallDisk) -> None:
    world.let_pass(300)
    disk.fill()
    world.await_state("journal_full", 60)
    starts = world.starts
    time.sleep(10 if world.full else 2)
    disk.empty()
    world.recover()
    assert world.starts == starts, "the process was restarted"
    assert any("cannot grow" in cause for cause in world.causes()), world.causes()


def started_twice_by_hand(world: World) -> None:
    for _ in range(5 if world.full else 2):
        second = world.stream_command()
        assert second.wait(30) == 1
        world.recover()
    assert "is run by another process already" in world.say()
    assert world.starts == 1, "the first stream was ended by the second"
    assert world.causes() == [], world.causes()
