"""What holds for every frame: packets survive both ways, and no bytes mislead the decoder."""

import struct
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_pipeline.brokers import kite_wire
from market_pipeline.brokers.kite_wire import decode, encode
from market_pipeline.market import MISSING, Columns, Decoded, Mode, empty_packets
from market_pipeline_tests import fuzz

# How many wire units make one rupee, by the low byte of the token.
DIVISORS = {1: 100, 2: 100, 3: 10**7, 4: 100, 5: 100, 6: 10**4, 7: 100, 8: 100, 9: 100, 12: 10**4}
SEGMENTS = sorted(DIVISORS)
INDICES = 9

LTP = ("last_price",)
DAY = ("day_open", "day_high", "day_low", "previous_close")
TOTALS = ("last_quantity", "average_price", "day_volume", "buy_quantity", "sell_quantity")
STAMPS = ("last_trade_time", "open_interest", "exchange_time")
BEST = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
CARRIED = {
    (Mode.LTP, False): LTP,
    (Mode.LTP, True): LTP,
    (Mode.QUOTE, False): LTP + TOTALS + DAY,
    (Mode.QUOTE, True): LTP + DAY,
    (Mode.FULL, False): LTP + TOTALS + DAY + STAMPS + BEST,
    (Mode.FULL, True): (*LTP, *DAY, "exchange_time"),
}
LARGEST = len(CARRIED[Mode.FULL, False])

EDGES = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]
WORDS = st.lists(
    st.one_of(st.sampled_from(EDGES), st.integers(0, 2**32 - 1)),
    min_size=LARGEST,
    max_size=LARGEST,
)
ROWS = st.lists(
    st.tuples(st.sampled_from(SEGMENTS), st.integers(0, 2**24 - 1), WORDS), min_size=1, max_size=4
)
Rows = list[tuple[int, int, list[int]]]

KNOWN = st.sampled_from([8, 28, 32, 44, 184])
LENGTHS = st.lists(st.one_of(KNOWN, KNOWN, st.integers(0, 60)), min_size=1, max_size=5)
EDITS = st.lists(
    st.tuples(st.sampled_from(["cut", "flip", "insert"]), st.integers(0, 10**6), st.binary()),
    min_size=1,
    max_size=3,
)


@st.composite
def valid(draw: st.DrawFn, lengths: st.SearchStrategy[list[int]] = LENGTHS) -> bytes:
    """A frame of packets, known and unknown, with anything in them."""
    noise = draw(st.randoms(use_true_random=False))
    packets = []
    for length in draw(lengths):
        packet = bytearray(noise.randbytes(length))
        packet[3:4] = bytes([noise.choice(SEGMENTS)])  # few in 256 are known otherwise
        packets.append(bytes(packet[:length]))
    body = b"".join(struct.pack(">H", len(packet)) + packet for packet in packets)
    return struct.pack(">H", len(packets)) + body


@st.composite
def alike(draw: st.DrawFn) -> list[bytes]:
    """Frames whose packets all have one layout, as nearly always."""
    lengths = st.lists(st.just(draw(KNOWN)), max_size=5)
    return draw(st.lists(valid(lengths), min_size=1, max_size=6))


def edited(frame: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    for what, where, inserted in edits:
        at = where % (len(frame) + 1)
        if what == "cut":
            frame = frame[:at]
        elif what == "insert":
            frame = frame[:at] + inserted + frame[at:]
        elif at < len(frame):
            frame = frame[:at] + bytes([frame[at] ^ (where % 255 + 1)]) + frame[at + 1 :]
    return frame


FRAME = st.one_of(valid(), st.builds(edited, valid(), EDITS), st.binary(max_size=60))
FRAMES = st.one_of(st.lists(FRAME, max_size=5), alike())
quickly = settings(max_examples=150, deadline=None, derandomize=True)


def columns(mode: Mode, rows: Rows) -> Columns:
    """Lay wire integers out as what a packet of this mode says, the rest missing."""
    made = empty_packets(len(rows))
    for row, (segment, number, words) in enumerate(rows):
        made["token"][row] = number << 8 | segment
        for name, word in zip(CARRIED[mode, segment == INDICES], words, strict=False):
            if made[name].dtype.kind == "f":  # a price, and signed
                made[name][row] = (word - 2**32 if word >= 2**31 else word) / DIVISORS[segment]
            else:
                made[name][row] = word
    return made


def joined(*frames: bytes) -> bytes:
    """Make one frame of the packets of several."""
    count = sum(int.from_bytes(frame[:2], "big") for frame in frames)
    return struct.pack(">H", count) + b"".join(frame[2:] for frame in frames)


def together(*parts: Columns) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def assert_equal(found: Columns, expected: Columns) -> None:
    """Compare all columns exactly; NaN equals NaN."""
    assert list(found) == list(expected)
    for name, column in found.items():
        np.testing.assert_array_equal(column, expected[name], err_msg=name, strict=True)


def assert_same(found: Decoded, expected: Decoded) -> None:
    assert_equal(found.packets, expected.packets)
    assert found.frame.tolist() == expected.frame.tolist()
    assert found.faults == expected.faults


@pytest.mark.parametrize("mode", list(Mode))
@quickly
@given(rows=ROWS)
def test_packets_of_every_kind_survive_both_ways(mode: Mode, rows: Rows) -> None:
    expected = columns(mode, rows)
    decoded = decode([encode(expected, mode)])
    assert_equal(decoded.packets, expected)
    assert not decoded.faults


@pytest.mark.parametrize("segment", SEGMENTS)
@settings(quickly, max_examples=60)
@given(words=WORDS)
def test_prices_survive_in_every_fraction_of_a_rupee(segment: int, words: list[int]) -> None:
    expected = columns(Mode.FULL, [(segment, 1000, words)])
    assert_equal(decode([encode(expected, Mode.FULL)]).packets, expected)


@quickly
@given(st.lists(st.tuples(st.sampled_from(list(Mode)), ROWS), min_size=2, max_size=4))
def test_packets_of_several_kinds_in_one_frame_survive_in_order(
    runs: list[tuple[Mode, Rows]],
) -> None:
    parts = [columns(mode, rows) for mode, rows in runs]
    frame = joined(*[encode(part, mode) for part, (mode, _) in zip(parts, runs, strict=True)])
    decoded = decode([frame])
    assert_equal(decoded.packets, together(*parts))
    assert not decoded.faults


@quickly
@given(st.sampled_from(list(Mode)), ROWS)
def test_columns_that_a_kind_does_not_carry_are_missing(mode: Mode, rows: Rows) -> None:
    packets = decode([encode(columns(mode, rows), mode)]).packets
    for row, (segment, _, _) in enumerate(rows):
        absent = packets.keys() - {"token", *CARRIED[mode, segment == INDICES]}
        assert all(packets[name][row] == MISSING or np.isnan(packets[name][row]) for name in absent)


@settings(quickly, max_examples=400)
@given(FRAMES)
def test_any_bytes_decode_to_the_whole_packets_they_hold(frames: list[bytes]) -> None:
    fuzz.check_decoded(frames, decode(frames))


@quickly
@given(FRAMES)
def test_frames_decode_together_as_each_does_alone(frames: list[bytes]) -> None:
    decoded = decode(frames)
    for index, frame in enumerate(frames):
        alone = decode([frame])
        rows = decoded.frame == index
        assert_equal({n: column[rows] for n, column in decoded.packets.items()}, alone.packets)
        faults = [fault._replace(frame=0) for fault in decoded.faults if fault.frame == index]
        assert faults == alone.faults


@quickly
@given(alike(), st.integers(1, 400))
def test_packets_do_not_depend_on_how_many_are_read_in_one_go(
    frames: list[bytes], part_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kite_wire, "_PART_BYTES", part_bytes)
        in_parts = decode(frames)
    assert_same(in_parts, decode(frames))


@quickly
@given(valid(), st.binary(min_size=1))
def test_bytes_after_the_last_declared_packet_change_no_packet(frame: bytes, extra: bytes) -> None:
    longer = decode([frame + extra])
    assert_equal(longer.packets, decode([frame]).packets)
    count = int.from_bytes(frame[:2], "big")
    reason = f"{len(extra)} bytes after the last of {count} packets"
    assert [fault.reason for fault in longer.faults if fault.payload == frame + extra] == [reason]


@quickly
@given(valid(), st.data())
def test_a_cut_frame_gives_the_first_packets_of_the_whole_one(
    frame: bytes, data: st.DataObject
) -> None:
    cut = frame[: data.draw(st.integers(0, len(frame) - 1), "length")]
    found = decode([cut])
    whole, count = decode([frame]).packets, len(found.frame)
    assert_equal(found.packets, {name: column[:count] for name, column in whole.items()})
    assert len(cut) == 1 or cut in [fault.payload for fault in found.faults]


@quickly
@given(FRAME, st.binary(max_size=300), st.binary(max_size=300))
def test_nothing_around_a_frame_is_read(frame: bytes, before: bytes, after: bytes) -> None:
    expected = decode([frame])
    for around in ((before, after), (b"\xff" * 300, b"\0" * 300)):
        buffer = frame.join(around)
        place = slice(len(around[0]), len(around[0]) + len(frame))
        assert_same(decode([cast(bytes, memoryview(buffer)[place])]), expected)
        assert_same(decode([buffer[place]]), expected)
