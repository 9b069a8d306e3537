"""Kite's frames, byte by byte. The bytes here are written by hand from the protocol's tables."""

import base64
import json
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market_pipeline.brokers.kite_wire import HEARTBEAT, decode, encode, subscription_messages
from market_pipeline.market import MISSING, Decoded, Mode, empty_packets

MOCKS = Path(__file__).parents[2] / "../shared/data/kiteconnect-mocks"

INFY, NIFTY = 408065, 256265  # tokens of NSE (low byte 1) and of an index (low byte 9)

LTP = bytes.fromhex("00063a01 000249f5")
QUOTE = bytes.fromhex(
    "00063a01 000249f5 00000003 000249be 000f4240 000001f4 00000258"
    "00024608 00024dd8 00024220 000247fc"  # open, high, low, close
)
BIDS = bytes.fromhex(
    "0000000a 000249f0 0001 0000 00000014 000249eb 0002 0000 0000001e 000249e6 0003 0000"
    "00000028 000249e1 0004 0000 00000032 000249dc 0005 0000"
)
ASKS = bytes.fromhex(
    "0000000b 000249fa 0006 0000 00000015 000249ff 0007 0000 0000001f 00024a04 0008 0000"
    "00000029 00024a09 0009 0000 00000033 00024a0e 000a 0000"
)
FULL = QUOTE + bytes.fromhex("6553f100 00000064 000000c8 00000032 6553f101") + BIDS + ASKS
INDEX_QUOTE = bytes.fromhex(
    "0003e909 001dc149 001de840 001d9a20 001dada8 001db76c 00000000"  # high, low, open, close
)
INDEX_FULL = INDEX_QUOTE + bytes.fromhex("6553f101")

LTP_VALUES: dict[str, float] = {"token": INFY, "last_price": 1500.05}
QUOTE_VALUES = LTP_VALUES | {
    "last_quantity": 3,
    "average_price": 1499.5,
    "day_volume": 1_000_000,
    "buy_quantity": 500,
    "sell_quantity": 600,
    "day_open": 1490.0,
    "day_high": 1510.0,
    "day_low": 1480.0,
    "previous_close": 1495.0,
}
FULL_VALUES = QUOTE_VALUES | {
    "last_trade_time": 1_700_000_000,
    "open_interest": 100,
    "exchange_time": 1_700_000_001,
    "bid_price": 1500.0,
    "bid_quantity": 10,
    "ask_price": 1500.1,
    "ask_quantity": 11,
}
INDEX_QUOTE_VALUES: dict[str, float] = {
    "token": NIFTY,
    "last_price": 19500.25,
    "day_high": 19600.0,
    "day_low": 19400.0,
    "day_open": 19450.0,
    "previous_close": 19475.0,
}
INDEX_FULL_VALUES = INDEX_QUOTE_VALUES | {"exchange_time": 1_700_000_001}

EVERY_KIND = pytest.mark.parametrize(
    ("packet", "values"),
    [
        pytest.param(LTP, LTP_VALUES, id="ltp"),
        pytest.param(QUOTE, QUOTE_VALUES, id="quote"),
        pytest.param(FULL, FULL_VALUES, id="full"),
        pytest.param(INDEX_QUOTE, INDEX_QUOTE_VALUES, id="index quote"),
        pytest.param(INDEX_FULL, INDEX_FULL_VALUES, id="index full"),
    ],
)


def frame(*packets: bytes) -> bytes:
    body = b"".join(struct.pack(">H", len(packet)) + packet for packet in packets)
    return struct.pack(">H", len(packets)) + body


def carried(decoded: Decoded, row: int = 0) -> dict[str, float]:
    """Return what a packet carries, without the columns it does not."""
    values = {name: column[row].item() for name, column in decoded.packets.items()}
    return {name: v for name, v in values.items() if v != MISSING and v == v}


def tokens(decoded: Decoded) -> list[int]:
    return list(decoded.packets["token"])


@EVERY_KIND
def test_a_packet_decodes_to_exactly_what_it_carries(
    packet: bytes, values: dict[str, float]
) -> None:
    decoded = decode([frame(packet)])
    assert carried(decoded) == values
    assert not decoded.faults


@pytest.mark.parametrize(
    ("mode", "packet", "values"),
    [
        pytest.param(Mode.LTP, LTP, LTP_VALUES, id="ltp"),
        pytest.param(Mode.QUOTE, QUOTE, QUOTE_VALUES, id="quote"),
        pytest.param(Mode.QUOTE, INDEX_QUOTE, INDEX_QUOTE_VALUES, id="index quote"),
        pytest.param(Mode.FULL, INDEX_FULL, INDEX_FULL_VALUES, id="index full"),
    ],
)
def test_values_encode_to_exactly_these_bytes(
    mode: Mode, packet: bytes, values: dict[str, float]
) -> None:
    columns = {name: np.array([value]) for name, value in values.items()}
    assert encode(empty_packets(1) | columns, mode) == frame(packet)


def test_a_full_packet_encodes_with_all_its_depth() -> None:
    columns: dict[str, Any] = {name: np.array([value]) for name, value in FULL_VALUES.items()}
    columns["depth_price"] = np.array(
        [[1500.0, 1499.95, 1499.9, 1499.85, 1499.8, 1500.1, 1500.15, 1500.2, 1500.25, 1500.3]]
    )
    columns["depth_quantity"] = np.array([[10, 20, 30, 40, 50, 11, 21, 31, 41, 51]])
    columns["depth_orders"] = np.array([range(1, 11)])
    encoded = encode(empty_packets(1) | columns, Mode.FULL)
    day_open_interest = slice(2 + 2 + 52, 2 + 2 + 60)  # not among our columns, so written as zero
    expected = bytearray(frame(FULL))
    expected[day_open_interest] = bytes(8)
    assert encoded == bytes(expected)


def test_encoding_keeps_the_order_of_indices_among_others() -> None:
    columns = empty_packets(3)
    columns["token"] = np.array([INFY, NIFTY, INFY + 256])
    columns["last_price"] = np.array([1.0, 2.0, 3.0])
    assert tokens(decode([encode(columns, Mode.LTP)])) == [INFY, NIFTY, INFY + 256]


@pytest.mark.parametrize(
    ("exchange_code", "price"),
    [(1, 2500.0), (2, 2500.0), (3, 0.025), (4, 2500.0), (5, 2500.0), (6, 25.0), (7, 2500.0)]
    + [(9, 2500.0), (12, 25.0)],
)
def test_the_exchange_in_the_token_says_what_fraction_of_a_rupee_prices_are(
    exchange_code: int, price: float
) -> None:
    packet = struct.pack(">II", 1000 * 256 + exchange_code, 250_000)
    assert decode([frame(packet)]).packets["last_price"][0] == price


def test_a_currency_price_survives_both_ways() -> None:
    columns = empty_packets(1)
    columns["token"], columns["last_price"] = np.array([256_003]), np.array([83.2475])
    encoded = encode(columns, Mode.LTP)
    assert encoded == frame(struct.pack(">II", 256_003, 832_475_000))
    assert decode([encoded]).packets["last_price"][0] == 83.2475


def test_a_price_below_zero_stays_below_zero() -> None:
    assert decode([frame(struct.pack(">Ii", INFY, -1250))]).packets["last_price"][0] == -12.5


def test_a_volume_beyond_two_billion_stays_positive() -> None:
    packet = QUOTE[:16] + struct.pack(">I", 4_000_000_000) + QUOTE[20:]
    assert decode([frame(packet)]).packets["day_volume"][0] == 4_000_000_000


def test_a_mixed_frame_keeps_the_order_of_its_packets() -> None:
    decoded = decode([frame(FULL, INDEX_FULL, LTP, INDEX_QUOTE, QUOTE)])
    assert tokens(decoded) == [INFY, NIFTY, INFY, NIFTY, INFY]
    assert carried(decoded, 4) == QUOTE_VALUES


def test_packets_know_the_frame_they_came_in() -> None:
    decoded = decode([frame(LTP), HEARTBEAT, frame(INDEX_FULL, LTP)])
    assert list(decoded.frame) == [0, 2, 2]


def test_a_frame_cut_short_gives_its_whole_packets_and_a_fault() -> None:
    cut = frame(INDEX_FULL, FULL)[:-1]
    decoded = decode([cut])
    assert tokens(decoded) == [NIFTY]
    assert [(f.frame, f.payload) for f in decoded.faults] == [(0, cut)]
    assert decoded.faults[0].reason == "cut short: 1 of 2 packets are whole"


def test_bytes_after_the_last_packet_are_a_fault_and_the_packets_are_kept() -> None:
    decoded = decode([frame(LTP) + b"\x01\x02"])
    assert tokens(decoded) == [INFY]
    assert decoded.faults[0].reason == "2 bytes after the last of 1 packets"


def test_a_packet_of_unknown_length_is_a_fault_and_its_neighbours_are_kept() -> None:
    decoded = decode([frame(LTP, b"\x00" * 9, INDEX_FULL)])
    assert tokens(decoded) == [INFY, NIFTY]
    assert decoded.faults == [(0, "a packet of 9 bytes", b"\x00" * 9)]


def test_a_heartbeat_holds_nothing_and_is_no_fault() -> None:
    decoded = decode([HEARTBEAT])
    assert tokens(decoded) == []
    assert not decoded.faults


def test_no_frames_decode_to_no_packets() -> None:
    decoded = decode([])
    assert tokens(decoded) == []
    assert not decoded.faults


def test_a_frame_too_short_for_a_packet_is_a_fault() -> None:
    assert [fault.reason for fault in decode([b"", b"\x00\x01"]).faults] == [
        "a frame of 0 bytes",
        "a frame of 2 bytes",
    ]


@pytest.mark.parametrize(
    ("current", "wanted", "messages"),
    [
        ({}, {}, []),
        ({INFY: Mode.FULL}, {INFY: Mode.FULL}, []),
        (
            {},
            {INFY: Mode.LTP},
            [b'{"a": "subscribe", "v": [408065]}', b'{"a": "mode", "v": ["ltp", [408065]]}'],
        ),
        ({INFY: Mode.FULL}, {INFY: Mode.LTP}, [b'{"a": "mode", "v": ["ltp", [408065]]}']),
        ({INFY: Mode.FULL}, {}, [b'{"a": "unsubscribe", "v": [408065]}']),
    ],
)
def test_only_what_changed_is_asked_for(
    current: dict[int, Mode], wanted: dict[int, Mode], messages: list[bytes]
) -> None:
    assert subscription_messages(current, wanted) == messages


def test_random_bytes_never_raise() -> None:
    chance = random.Random(20261123)
    for _ in range(300):
        noise = [chance.randbytes(chance.randrange(40)) for _ in range(3)]
        damaged = bytearray(frame(FULL, LTP, INDEX_QUOTE))
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        decode([*noise, bytes(damaged)])


@pytest.mark.parametrize("mode", ["full", "quote"])
def test_zerodhas_own_sample_packets_decode_to_their_json(mode: str) -> None:
    if not MOCKS.exists():
        pytest.skip(f"{MOCKS.resolve()} is not there")
    packet = base64.b64decode((MOCKS / f"ticker_{mode}.packet").read_text())
    sample = json.loads((MOCKS / f"ticker_{mode}.json").read_text())
    values = carried(decode([frame(packet)]))
    assert values["token"] == sample["instrument_token"]
    assert values["last_price"] == sample["last_price"]
    assert values["average_price"] == sample["average_price"]
    assert values["day_volume"] == sample["volume"]
    assert [values[f"day_{name}"] for name in ("open", "high", "low")] == [
        sample["ohlc"][name] for name in ("open", "high", "low")
    ]
    assert values["previous_close"] == sample["ohlc"]["close"]


def test_zerodhas_full_sample_has_its_stamps_and_best_prices() -> None:
    if not MOCKS.exists():
        pytest.skip(f"{MOCKS.resolve()} is not there")
    packet = base64.b64decode((MOCKS / "ticker_full.packet").read_text())
    depth = json.loads((MOCKS / "ticker_full.json").read_text())["depth"]
    values = carried(decode([frame(packet)]))
    assert values["exchange_time"] == values["last_trade_time"] == 1_625_461_887
    assert (values["bid_price"], values["ask_price"]) == (
        depth["buy"][0]["price"],
        depth["sell"][0]["price"],
    )
