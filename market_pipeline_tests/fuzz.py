"""Looks for bytes that mislead what reads them: `make fuzz`. What must hold is checked here."""

import argparse
import multiprocessing
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from enum import IntEnum
from importlib.util import find_spec
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from types import FunctionType, ModuleType
from typing import NamedTuple

from rich.console import Console

from market_pipeline.brokers import fyers_topics, fyers_wire, kite_wire
from market_pipeline.market import Decoded, Mode
from market_pipeline.streaming import records, segments
from market_pipeline.streaming.records import HEADER_BYTES, Damage, Record, RecordKind
from market_pipeline_tests import fuzz_fyers
from market_pipeline_tests.builders import INFY, NIFTY, TCS, Packet, frame

CRASHES = Path("fuzz-crashes")
_LENGTH = struct.Struct(">H")
_BASE = 1000  # where the segment begins that is read

# Which bytes of a packet the decoder keeps, and in which mode they can be written again.
_INDEX_HEAD, _FULL_HEAD = slice(0, 24), slice(0, 52)
_STAMP_AND_BID, _ASK = slice(60, 72), slice(124, 132)
_KEPT: dict[tuple[int, bool], tuple[Mode, list[slice]]] = {
    (8, False): (Mode.LTP, [slice(0, 8)]),
    (8, True): (Mode.LTP, [slice(0, 8)]),
    (44, False): (Mode.QUOTE, [slice(0, 44)]),
    (184, False): (Mode.FULL, [_FULL_HEAD, _STAMP_AND_BID, _ASK]),
    (28, True): (Mode.QUOTE, [_INDEX_HEAD]),
    (32, True): (Mode.FULL, [_INDEX_HEAD, slice(28, 32)]),
}
_KNOWN_LENGTHS = {length for length, _ in _KEPT}


def whole_packets(frame: bytes) -> list[bytes]:
    """Return the whole packets of a frame, up to the number that it declares."""
    found: list[bytes] = []
    declared, at = int.from_bytes(frame[:2], "big"), 2
    while len(frame) >= 4 and len(found) < declared and at + 2 <= len(frame):
        end = at + 2 + _LENGTH.unpack_from(frame, at)[0]
        if end > len(frame):
            break
        found.append(frame[at + 2 : end])
        at = end
    return found


def check_decoded(frames: Sequence[bytes], decoded: Decoded) -> None:
    """Check that exactly the packets were found that the frames hold, and the right faults."""
    packets = [(n, packet) for n, frame in enumerate(frames) for packet in whole_packets(frame)]
    known = [(n, packet) for n, packet in packets if len(packet) in _KNOWN_LENGTHS]
    assert decoded.frame.tolist() == [n for n, _ in known]
    tokens = [int.from_bytes(packet[:4], "big") for _, packet in known]
    assert decoded.packets["token"].tolist() == tokens
    assert {len(column) for column in decoded.packets.values()} == {len(known)}
    strange = [(n, packet) for n, packet in packets if len(packet) not in _KNOWN_LENGTHS]
    assert sorted((f.frame, f.payload) for f in decoded.faults) == sorted(
        strange + [(n, frame) for n, frame in enumerate(frames) if _is_damaged(frame)]
    )
    for row, (_, packet) in enumerate(known):
        _check_bytes(decoded, row, packet)


def _is_damaged(frame: bytes) -> bool:
    if len(frame) < 4:
        return len(frame) != 1
    found = whole_packets(frame)
    used = 2 + sum(2 + len(packet) for packet in found)
    return len(found) < int.from_bytes(frame[:2], "big") or used < len(frame)


def _check_bytes(decoded: Decoded, row: int, packet: bytes) -> None:
    """Check that a packet is written again as it came, but for what the decoder ignores."""
    mode, kept = _KEPT.get((len(packet), packet[3] == kite_wire.INDICES), (None, []))
    if mode is None:  # a layout of indices with another token, or the other way round
        return
    expected = bytearray(len(packet))
    for part in kept:
        expected[part] = packet[part]
    one = {name: column[row : row + 1] for name, column in decoded.packets.items()}
    assert kite_wire.encode(one, mode)[4:] == expected


def fuzz_decoder(data: bytes) -> None:
    """Decode the input as a frame, and as several that are each preceded by their length."""
    for frames in ([data], list(fuzz_fyers.divided(data))):
        check_decoded(frames, kite_wire.decode(frames))


def check_items(data: bytes, items: Sequence[Record | Damage], base: int) -> int:
    """Check that items follow each other without a hole and are what the bytes say."""
    position = base
    for item in items:
        assert item.position == position < item.end <= base + len(data)
        found = data[item.position - base : item.end - base]
        if isinstance(item, Record):
            written = records.encode(item.kind, item.received_at, item.payload, item.position)
            assert written == found
        else:
            assert item.payload == found
        position = item.end
    return position


class Sums(IntEnum):
    """Which checksums are put right in what looks like a record. No chance finds any."""

    NONE = 0
    OF_HEADERS = 1
    ALL = 2


_MAGIC = records.encode(RecordKind.TEXT, 0, b"", 0)[:4]
_SUMS_AT = HEADER_BYTES - 8
_SUM = struct.Struct(">I")


def with_sums(data: bytes, sums: Sums, base: int) -> bytes:
    """Turn all that looks like a record into one of its place: also inside of payloads."""
    made = bytearray(data)
    at = data.rfind(_MAGIC) if sums else -1
    while at >= 0:  # from the last, for a payload is summed after what is in it
        head, body = bytes(made[at : at + _SUMS_AT]), at + HEADER_BYTES
        if body <= len(data):
            _SUM.pack_into(made, body - 8, zlib.crc32(head, (base + at) % 2**32))
            if sums == Sums.ALL:
                end = body + int.from_bytes(head[-4:], "big")
                _SUM.pack_into(made, body - 4, zlib.crc32(made[body:end]))
        at = data.rfind(_MAGIC, 0, at)
    return bytes(made)


class SegmentCheck:
    """Takes bytes for a segment of a journal in `folder`, the last one and then another's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, data: bytes) -> None:
        """Read what follows the first two bytes, which say how much is read at a time."""
        portion = int.from_bytes(data[:2], "big")
        self.check(data[2:], Sums(portion % 3), portion % 2000 + 1)

    def check(self, data: bytes, sums: Sums, portion: int, base: int = _BASE) -> None:
        data = with_sums(data, sums, base)
        (self._folder / f"{base:020d}.journal").write_bytes(data)
        scanned = list(records.scan(data, base))
        check_items(data, scanned, base)
        assert self._read(base, portion) == scanned
        following = self._folder / f"{base + len(data):020d}.journal"
        if data:
            record = records.encode(RecordKind.TEXT, 1, b"the next segment", base + len(data))
            following.write_bytes(record)
            *items, last = self._read(base, portion)
            following.unlink()
            assert last.payload == b"the next segment"
            assert check_items(data, items, base) == last.position == base + len(data)

    def _read(self, position: int, portion: int) -> list[Record | Damage]:
        items: list[Record | Damage] = []
        while found := list(segments.read(self._folder, position, portion)):
            items += found
            position = found[-1].end
        return items


def _frames() -> list[bytes]:
    quote = [Packet(volume=n, mode=Mode.QUOTE, token=TCS) for n in range(3)]
    mixed = [Packet(volume=9), Packet(token=NIFTY), Packet(volume=10, at=1, token=TCS)]
    ltp = Packet(mode=Mode.LTP, token=INFY)
    return [frame(Packet(volume=5)), frame(*quote), frame(*mixed), frame(ltp), b"\0"]


def _decoder_seeds() -> list[bytes]:
    frames = _frames()
    several = b"".join(_LENGTH.pack(len(frame)) + frame for frame in frames)
    return [*frames, several]


def _journal_seeds() -> list[bytes]:
    whole = [records.encode(RecordKind.FRAME, 10**18, frame, 0) for frame in _frames()]
    nested = records.encode(RecordKind.TEXT, 1, b"before" + whole[0] + b"after", 0)
    data = b"".join(whole)
    torn, damaged = data[:-5], whole[0][:30] + whole[1]
    made = [data, nested + data, torn, damaged, nested[:-3]]
    right = [with_sums(seed, Sums.ALL, _BASE) for seed in made]
    return [bytes([0, 60 + sums]) + seed for sums in Sums for seed in right]


class Target(NamedTuple):
    seeds: Callable[[], list[bytes]]
    modules: list[ModuleType]  # what libFuzzer is to see the branches of
    check: Callable[[Path], Callable[[bytes], None]]  # given a folder to write in


TARGETS = {
    "decoder": Target(_decoder_seeds, [kite_wire], lambda _: fuzz_decoder),
    "fyers": Target(fuzz_fyers.seeds, [fyers_wire, fyers_topics], lambda _: fuzz_fyers.fuzz_fyers),
    "journal": Target(_journal_seeds, [records, segments], SegmentCheck),
}


def _run(name: str, seconds: int, scratch: Path, runs: "Synchronized[int]") -> None:
    """Fuzz until a crash or the time is over; ends the process."""
    import atheris

    target = TARGETS[name]
    check = target.check(scratch)
    for module in target.modules:
        for function in list(vars(module).values()):
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                atheris.instrument_func(function)

    def once(data: bytes) -> None:
        runs.value += 1
        check(data)

    flags = [f"-max_total_time={seconds}", "-max_len=2048", "-verbosity=0"]
    flags += [f"-artifact_prefix={CRASHES}/{name}-", "-timeout=10"]
    atheris.Setup([name, *flags, str(scratch / "corpus")], once)
    atheris.Fuzz()


def fuzz(name: str, seconds: int, console: Console) -> int:
    """Fuzz a target in a process of its own, say what came of it and return the exit code."""
    CRASHES.mkdir(exist_ok=True)
    before = set(CRASHES.iterdir())
    context = multiprocessing.get_context("spawn")
    runs = context.Value("Q", 0, lock=False)
    with tempfile.TemporaryDirectory(prefix="market_pipeline_fuzz_") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(TARGETS[name].seeds()):
            (corpus / str(number)).write_bytes(seed)
        start = time.monotonic()
        process = context.Process(target=_run, args=(name, seconds, Path(folder), runs))
        process.start()
        process.join()
    took = time.monotonic() - start
    crashes = sorted(set(CRASHES.iterdir()) - before)
    found = f"crash on {', '.join(map(str, crashes))}" if crashes else "no crash"
    if process.exitcode and not crashes:
        found = f"ended with exit code {process.exitcode}"
    console.print(f"{name}: {runs.value:,} runs in {took:.0f} s, {found}", soft_wrap=True)
    return 1 if process.exitcode or crashes else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=90)
    options = parser.parse_args()
    if find_spec("atheris") is None:
        parser.error("atheris is not installed: it comes with .[fuzz], for Linux on x86-64 only")
    return fuzz(options.target, options.seconds, Console())


if __name__ == "__main__":
    sys.exit(main())
