"""Fyers' frames, byte by byte. These bytes are written by hand from the tables of its layouts."""

import random
import struct
from typing import Any

import pytest

from market_pipeline.brokers import decoding, fyers_wire
from market_pipeline.brokers.fyers_wire import Decoder, data_frame, snapshot_item, update_item
from market_pipeline.market import MISSING, Decoded

SBIN = 10_10_3045
NIFTY = 10_10_26000

VALUES = bytes.fromhex(
    "00016d5e 000f4240 6553f100 6553f101 0000000a 0000000b"  # price, volume, stamps, bid, ask size
    "00016d5d 00016d5f 00000003 000001f4 00000258 00016d00"  # bid, ask, last and total quantities
    "00000064 00016c00 00016e00 00020000 00010000"  # open interest, low, high, of the year
    "00000000 00000000 00016c80 00016c40"  # circuit limits, open, previous close
)
SNAPSHOT = b"".join(
    (
        b"S\x07\x00",  # topic 7, the low byte first
        b"\x0esf|nse_cm|3045",
        b"\x15" + VALUES,
        b"\x00\x00" + bytes.fromhex("0001 02"),  # multiplier 1, precision 2
        b"\x06nse_cm\x043045\x07SBIN-EQ",
    )
)
INDEX_SNAPSHOT = b"".join(
    (
        b"S\x01\x02",  # topic 513
        b"\x12if|nse_cm|Nifty 50",
        b"\x06" + bytes.fromhex("001dc149 001db76c 6553f101 001de840 001d9a20 001dada8"),
        b"\x00\x00" + bytes.fromhex("0001 02"),
        b"\x06nse_cm\x0526000\x05NIFTY",
    )
)
SBIN_VALUES: dict[str, float] = {
    "token": SBIN,
    "last_price": 935.34,
    "day_volume": 1_000_000,
    "last_trade_time": 1_700_000_000,
    "exchange_time": 1_700_000_001,
    "bid_quantity": 10,
    "ask_quantity": 11,
    "bid_price": 935.33,
    "ask_price": 935.35,
    "last_quantity": 3,
    "buy_quantity": 500,
    "sell_quantity": 600,
    "average_price": 934.4,
    "open_interest": 100,
    "day_low": 931.84,
    "day_high": 936.96,
    "day_open": 933.12,
    "previous_close": 932.48,
}
NIFTY_VALUES: dict[str, float] = {
    "token": NIFTY,
    "last_price": 19500.25,
    "previous_close": 19475.0,
    "exchange_time": 1_700_000_001,
    "day_high": 19600.0,
    "day_low": 19400.0,
    "day_open": 19450.0,
}
UNCHANGED = bytes.fromhex("80000000")
DEPTH = b"S\x09\x00\x0edp|nse_cm|3045\x1e" + bytes(120) + bytes.fromhex("0000 0001 02") + bytes(3)


def frame(*items: bytes) -> bytes:
    body = struct.pack(">BIH", 6, 1, len(items)) + b"".join(items)
    return struct.pack(">H", len(body)) + body


def update(*values: bytes, topic: bytes = b"\x07\x00") -> bytes:
    return b"U" + topic + bytes([len(values)]) + b"".join(values)


def decode(*frames: bytes) -> Decoded:
    return Decoder().decode(frames)


def carried(decoded: Decoded, row: int = -1) -> dict[str, float]:
    """Return what a packet carries, without the columns it does not."""
    values = {name: column[row].item() for name, column in decoded.packets.items()}
    return {name: v for name, v in values.items() if v != MISSING and v == v}


def tokens(decoded: Decoded) -> list[int]:
    return list(decoded.packets["token"])


def reasons(decoded: Decoded) -> list[str]:
    return [fault.reason for fault in decoded.faults]


def test_the_decoder_is_what_a_stream_needs() -> None:
    decoder: decoding.Decoder = Decoder()
    assert decoder.state() == b""


@pytest.mark.parametrize(
    ("item", "values"), [(SNAPSHOT, SBIN_VALUES), (INDEX_SNAPSHOT, NIFTY_VALUES)]
)
def test_a_snapshot_decodes_to_exactly_what_it_carries(
    item: bytes, values: dict[str, float]
) -> None:
    decoded = decode(frame(item))
    assert carried(decoded) == values
    assert not decoded.faults


def test_values_encode_to_exactly_these_bytes() -> None:
    values = list(struct.unpack(">21i", VALUES))
    item = snapshot_item(7, "sf|nse_cm|3045", values, 1, 2, "nse_cm", "3045", "SBIN-EQ")
    assert item == SNAPSHOT
    assert update_item(7, [5, None]) == update(b"\x00\x00\x00\x05", UNCHANGED)
    assert fyers_wire.lite_item(7, -5) == b"L\x07\x00\xff\xff\xff\xfb"
    assert data_frame([SNAPSHOT, INDEX_SNAPSHOT], 1) == frame(SNAPSHOT, INDEX_SNAPSHOT)


def test_an_update_leaves_what_is_unchanged_as_it_was() -> None:
    decoded = decode(frame(SNAPSHOT), frame(update(b"\x00\x01\x6d\x60", UNCHANGED)))
    assert carried(decoded) == SBIN_VALUES | {"last_price": 935.36}


def test_an_update_of_an_index_is_read_in_the_order_of_an_index() -> None:
    change = update(UNCHANGED, UNCHANGED, b"\x65\x53\xf1\x09", topic=b"\x01\x02")
    decoded = decode(frame(SNAPSHOT, INDEX_SNAPSHOT, change))
    assert carried(decoded) == NIFTY_VALUES | {"exchange_time": 1_700_000_009}


def test_updates_of_several_topics_in_one_frame_stay_apart_and_in_order() -> None:
    low, high = update(b"\x00\x00\x00\x01"), update(b"\x00\x00\x00\x02")
    index = update(b"\x00\x00\x00\x03", topic=b"\x01\x02")
    decoded = decode(frame(SNAPSHOT, INDEX_SNAPSHOT), frame(low, index, high, index))
    assert tokens(decoded) == [SBIN, NIFTY, SBIN, NIFTY, SBIN, NIFTY]
    assert list(decoded.packets["last_price"][2:]) == [0.01, 0.03, 0.02, 0.03]
    assert list(decoded.frame) == [0, 0, 1, 1, 1, 1]


def test_an_update_in_which_nothing_changed_is_a_packet_all_the_same() -> None:
    decoded = decode(frame(SNAPSHOT, update(UNCHANGED)))
    assert carried(decoded) == SBIN_VALUES
    assert tokens(decoded) == [SBIN, SBIN]


def test_a_lite_item_carries_nothing_but_the_last_price() -> None:
    decoded = decode(frame(SNAPSHOT, b"L\x07\x00\x00\x00\x00\x64"))
    assert carried(decoded) == {"token": SBIN, "last_price": 1.0}


def test_the_price_of_a_lite_item_is_what_a_later_update_leaves_unchanged() -> None:
    decoded = decode(frame(SNAPSHOT, b"L\x07\x00\x00\x00\x00\x64", update(UNCHANGED)))
    assert carried(decoded) == SBIN_VALUES | {"last_price": 1.0}


def test_a_second_snapshot_of_a_topic_replaces_all_its_values() -> None:
    bare = snapshot_item(7, "sf|nse_cm|3045", [100, None], 1, 2, "nse_cm", "3045", "SBIN-EQ")
    decoded = decode(frame(SNAPSHOT, bare, update(UNCHANGED)))
    assert carried(decoded) == {"token": SBIN, "last_price": 1.0}


def test_a_topic_id_given_to_another_topic_means_that_one_from_then_on() -> None:
    other = snapshot_item(7, "sf|cde_fo|1482", [885_000_000], 100, 5, "cde_fo", "1482", "USDINR")
    decoded = decode(frame(SNAPSHOT, update(UNCHANGED), other, update(UNCHANGED)))
    assert tokens(decoded) == [SBIN, SBIN, 10_12_1482, 10_12_1482]
    assert decoded.packets["last_price"][3] == 88.5


def test_volumes_and_quantities_beyond_two_billion_stay_positive() -> None:
    decoded = decode(frame(SNAPSHOT, update_item(7, [None, 3_000_000_005, *[None] * 7, 2**32 - 1])))
    assert carried(decoded)["day_volume"] == 3_000_000_005
    assert carried(decoded)["buy_quantity"] == 2**32 - 1


def test_a_price_below_zero_stays_below_zero() -> None:
    assert carried(decode(frame(SNAPSHOT, update_item(7, [-1250]))))["last_price"] == -12.5


@pytest.mark.parametrize(
    ("exchange_token", "token"), [("26000", NIFTY), ("Nifty 50", NIFTY), ("NIFTY 50", NIFTY)]
)
def test_an_index_is_known_by_its_number_or_its_name(exchange_token: str, token: int) -> None:
    item = snapshot_item(1, "if|nse_cm|Nifty 50", [1], 1, 2, "nse_cm", exchange_token, "NIFTY")
    assert tokens(decode(frame(item))) == [token]


def test_depth_is_counted_and_is_neither_packet_nor_fault() -> None:
    decoder = Decoder()
    decoded = decoder.decode([frame(DEPTH, update(UNCHANGED, topic=b"\x09\x00"), SNAPSHOT)])
    assert tokens(decoded) == [SBIN]
    assert not decoded.faults
    assert decoder.depth_items == 2


def test_a_topic_that_no_snapshot_has_named_is_a_fault_and_its_neighbours_are_kept() -> None:
    strange = update(b"\x00\x00\x00\x01", topic=b"\x05\x00")
    whole = frame(strange, SNAPSHOT, b"L\x06\x00\x00\x00\x00\x01", strange)
    decoded = decode(whole)
    assert tokens(decoded) == [SBIN]
    reason = "values of topics that no snapshot has named: 5, 6"
    assert decoded.faults == [(0, reason, whole)]


@pytest.mark.parametrize(
    "change",
    [
        {"topic": "sf|nse_cm"},
        {"topic": "sf|lse_cm|3045"},
        {"topic": "xx|nse_cm|3045"},
        {"topic": "sf|nse_cm|SBIN"},
        {"topic": "sf|nse_cm|" + "9" * 15},
        {"topic": "if|nse_cm|Nifty 51", "exchange_token": "Nifty 51"},
        {"multiplier": 0},
    ],
)
def test_a_snapshot_that_cannot_be_understood_names_no_topic(change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"topic": "sf|nse_cm|3045", "multiplier": 1, "exchange_token": "3045"}
    fields |= change
    item = snapshot_item(7, values=[1], precision=2, exchange="nse_cm", symbol="SBIN-EQ", **fields)
    decoded = decode(frame(SNAPSHOT, item, update(UNCHANGED)))
    assert tokens(decoded) == [SBIN]
    assert len(decoded.faults) == 2
    assert decoded.faults[0].reason.startswith("a snapshot that cannot be understood")


def test_an_index_without_a_previous_close_is_read_as_ever() -> None:
    item = INDEX_SNAPSHOT.replace(bytes.fromhex("001db76c"), bytes(4))  # the SDK divides by it
    assert carried(decode(frame(item))) == NIFTY_VALUES | {"previous_close": 0.0}


def test_more_values_than_are_known_are_passed_over() -> None:
    decoded = decode(frame(SNAPSHOT, update(*[UNCHANGED] * 21, b"\x00\x00\x00\x01"), SNAPSHOT))
    assert tokens(decoded) == [SBIN] * 3
    assert carried(decoded, 1) == SBIN_VALUES


def test_a_frame_cut_short_gives_its_whole_items_and_a_fault() -> None:
    cut = frame(SNAPSHOT, INDEX_SNAPSHOT)[:-1]
    decoded = decode(cut)
    assert tokens(decoded) == [SBIN]
    assert decoded.faults == [(0, "cut short: 1 of 2 items are whole", cut)]


def test_a_frame_can_be_cut_anywhere() -> None:
    whole = frame(SNAPSHOT, update(UNCHANGED), b"L\x07\x00\x00\x00\x00\x64")
    for size in range(9, len(whole)):
        assert reasons(decode(whole[:size]))[0].startswith("cut short")


def test_after_a_damaged_frame_the_next_is_read_as_ever() -> None:
    decoded = decode(frame(SNAPSHOT), frame(SNAPSHOT)[:50], frame(update(UNCHANGED)))
    assert list(decoded.frame) == [0, 2]
    assert carried(decoded) == SBIN_VALUES


def test_an_item_of_unknown_kind_ends_its_frame() -> None:
    decoded = decode(frame(SNAPSHOT, b"Z12", SNAPSHOT))
    assert tokens(decoded) == [SBIN]
    assert reasons(decoded) == ["item 2 of 3 is of kind 90"]


def test_bytes_after_the_last_item_are_a_fault_and_the_items_are_kept() -> None:
    decoded = decode(frame(SNAPSHOT) + b"\x01\x02")
    assert tokens(decoded) == [SBIN]
    assert reasons(decoded) == ["2 bytes after the last of 1 items"]


@pytest.mark.parametrize("kind", [1, 4, 5, 7, 8, 11, 12, 13, 51])
def test_frames_that_answer_requests_hold_no_packet_and_are_no_fault(kind: int) -> None:
    decoded = decode(struct.pack(">HB", 1, kind))
    assert tokens(decoded) == []
    assert not decoded.faults


def test_frames_too_short_and_of_unknown_types_are_faults() -> None:
    assert reasons(decode(b"", b"\x00\x01", b"\x00\x01\x63", b"\x00\x02\x06\x00")) == [
        "a frame of 0 bytes",
        "a frame of 2 bytes",
        "a frame of type 99",
        "a frame of market data of 4 bytes",
    ]


def test_no_frames_decode_to_no_packets() -> None:
    assert tokens(decode()) == []


def test_random_bytes_never_raise() -> None:
    chance = random.Random(20261125)
    for _ in range(300):
        noise = [chance.randbytes(chance.randrange(40)) for _ in range(3)]
        damaged = bytearray(frame(SNAPSHOT, update(UNCHANGED), INDEX_SNAPSHOT, DEPTH))
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        decode(frame(SNAPSHOT), *noise, bytes(damaged))
