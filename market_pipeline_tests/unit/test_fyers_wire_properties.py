"""What holds for all of Fyers' frames, however they are divided and wherever one begins to read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_pipeline.brokers import fyers_wire
from market_pipeline.brokers.fyers_wire import IF_FIELDS, SF_FIELDS, Decoder
from market_pipeline.market import MISSING, PACKET_COLUMNS, Decoded

TOPIC_IDS = st.sampled_from([0, 1, 255, 256, 65535])
WORDS = st.one_of(
    st.none(), st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31) + 1]), st.integers(0, 2**31 - 1)
)
NAMES = {"sf|nse_cm|3045": 10103045, "sf|mcx_fo|42": 112042, "if|nse_cm|26000": 101026000}
DEPTH = "dp|nse_cm|3045"

Step = tuple[str, int, list[int | None], str, int]
STEPS = st.tuples(
    st.sampled_from("SUUUL"),
    TOPIC_IDS,
    st.lists(WORDS, min_size=1, max_size=23),
    st.sampled_from([*NAMES, DEPTH]),
    st.integers(0, 4),
)
FRAMES = st.lists(st.lists(STEPS, max_size=6), max_size=6)
quickly = settings(max_examples=120, deadline=None, derandomize=True)


def item(step: Step) -> bytes:
    kind, topic_id, values, topic, precision = step
    if kind == "U":
        return fyers_wire.update_item(topic_id, values)
    if kind == "L":
        return fyers_wire.lite_item(topic_id, values[0] or 0)
    number = topic.rpartition("|")[2]
    return fyers_wire.snapshot_item(topic_id, topic, values, 3, precision, "x", number, "y")


def frames(steps: Sequence[Sequence[Step]]) -> list[bytes]:
    return [
        fyers_wire.data_frame([item(step) for step in part], number)
        for number, part in enumerate(steps)
    ]


def plainly(steps: Sequence[Sequence[Step]]) -> list[dict[str, Any]]:
    """Say what steps mean, one after the other, with a dict for each topic."""
    known: dict[int, dict[str, Any]] = {}
    packets = []
    for kind, topic_id, values, topic, precision in (step for part in steps for step in part):
        if kind == "S":
            known[topic_id] = {"topic": topic, "divisor": 10**precision * 3, "values": {}}
        if topic_id not in known:
            continue
        found = [values[0] or 0] if kind == "L" else values
        known[topic_id]["values"] |= {n: v for n, v in enumerate(found) if v is not None}
        if known[topic_id]["topic"] != DEPTH:
            packets.append(packet(known[topic_id], is_lite=kind == "L"))
    return packets


def packet(known: dict[str, Any], is_lite: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"token": NAMES[known["topic"]]}
    fields = SF_FIELDS if known["topic"].startswith("sf") else IF_FIELDS
    for place, value in known["values"].items():
        name = fields[place] if place < len(fields) else "_"
        if name in PACKET_COLUMNS and (not is_lite or name == "last_price"):
            is_price = PACKET_COLUMNS[name] == "f8"
            made[name] = value / known["divisor"] if is_price else value & 0xFFFFFFFF
    return made


def listed(*parts: Decoded) -> list[dict[str, Any]]:
    return [
        {
            n: c[row].item()
            for n, c in part.packets.items()
            if c[row] == c[row] and c[row] != MISSING
        }
        for part in parts
        for row in range(len(part.frame))
    ]


def assert_alike(one: Decoded, parts: Sequence[Decoded], starts: Sequence[int]) -> None:
    for name, column in one.packets.items():
        joined = np.concatenate([part.packets[name] for part in parts])
        np.testing.assert_array_equal(column, joined, err_msg=name, strict=True)
    pairs = list(zip(parts, starts, strict=True))
    assert list(one.frame) == [start + at for part, start in pairs for at in part.frame]
    shifted = [f._replace(frame=f.frame + at) for part, at in pairs for f in part.faults]
    assert one.faults == shifted


@quickly
@given(FRAMES)
def test_items_mean_what_a_dict_for_each_topic_says(steps: list[list[Step]]) -> None:
    assert listed(Decoder().decode(frames(steps))) == plainly(steps)


@quickly
@given(FRAMES, st.lists(st.integers(0, 6), max_size=4))
def test_however_frames_are_divided_they_mean_the_same(
    steps: list[list[Step]], cuts: list[int]
) -> None:
    made = [*frames(steps), b"\x00"]
    edges = sorted({0, len(made), *(cut for cut in cuts if cut <= len(made))})
    decoder, parts = Decoder(), []
    for start, end in zip(edges, edges[1:], strict=False):
        parts.append(decoder.decode(made[start:end]))
    assert_alike(Decoder().decode(made), parts, edges[:-1])


@quickly
@given(FRAMES, FRAMES)
def test_a_decoder_goes_on_from_a_state_or_as_a_copy(
    before: list[list[Step]], after: list[list[Step]]
) -> None:
    first = Decoder()
    first.decode(frames(before))
    restored, copy = Decoder(), first.copy()
    restored.load(first.state())
    expected = first.decode(frames(after))
    assert_alike(expected, [restored.decode(frames(after))], [0])
    assert_alike(expected, [copy.decode(frames(after))], [0])
    assert restored.state() == copy.state() == first.state()


@quickly
@given(FRAMES, st.binary(max_size=80), st.data())
def test_damage_never_raises_nor_reaches_the_frames_after_it(
    steps: list[list[Step]], noise: bytes, data: st.DataObject
) -> None:
    made = frames(steps)
    for number, frame in enumerate(made):
        made[number] = frame[: data.draw(st.integers(0, len(frame)))] + noise
    named = fyers_wire.snapshot_item(9, "sf|nse_cm|3045", [100], 1, 2, "x", "3045", "y")
    decoded = Decoder().decode([*made, fyers_wire.data_frame([named], 1)])
    assert decoded.frame[-1] == len(made)
    assert listed(decoded)[-1] == {"token": 10103045, "last_price": 1.0}


def known() -> Decoder:
    decoder = Decoder()
    step: Step = ("S", 1, [1, 2, 3], "sf|nse_cm|3045", 2)
    decoder.decode(frames([[step]]))
    return decoder


def test_a_copy_does_not_change_what_it_was_made_of() -> None:
    decoder = known()
    before = decoder.state()
    decoder.copy().decode(frames([[("U", 1, [5], "", 0)]]))
    assert decoder.state() == before


def test_nothing_is_known_on_a_new_connection() -> None:
    decoder = known()
    decoder.reset()
    assert decoder.state() == b""
    assert len(decoder.decode(frames([[("U", 1, [5], "", 0)]])).frame) == 0


def test_loading_an_empty_state_forgets_everything() -> None:
    decoder = known()
    decoder.load(b"")
    assert decoder.state() == b""


@pytest.mark.parametrize("damage", [lambda s: s[:-1], lambda s: s[1:], lambda s: b"FYT0" + s[4:]])
def test_a_damaged_state_is_refused_and_changes_nothing(damage: Any) -> None:
    decoder = known()
    before = decoder.state()
    with pytest.raises(ValueError, match="state of Fyers' topics is unreadable"):
        decoder.load(damage(before))
    assert decoder.state() == before


def test_a_state_is_small() -> None:
    decoder = Decoder()
    steps: list[Step] = [("S", n, [100_000 + n] * 21, "sf|nse_cm|3045", 2) for n in range(300)]
    decoder.decode(frames([steps]))
    assert len(decoder.state()) < 300 * 60
