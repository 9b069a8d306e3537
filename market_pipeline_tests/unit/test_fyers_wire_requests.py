"""What a client asks of Fyers' socket, and the answers: bytes as the SDK writes and reads them."""

import struct

import pytest

from market_pipeline.brokers import fyers_wire
from market_pipeline.brokers.fyers_wire import ClientRequest, read_request


def field(number: int, value: bytes) -> bytes:
    return struct.pack(">BH", number, len(value)) + value


def request(kind: int, *values: bytes, length: int = 0) -> bytes:
    """Write a frame as a client; the SDK's have lengths that are too large, or none."""
    fields = b"".join(field(number, value) for number, value in enumerate(values, 1))
    return struct.pack(">HBB", length, kind, len(values)) + fields


TOPICS = b"\x00\x02\x0esf|nse_cm|3045\x12if|nse_cm|Nifty 50"
SUBSCRIPTION = request(4, TOPICS, b"\x0b", length=999)
CHANNEL_11 = struct.pack(">Q", 1 << 11)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (request(1, b"secret", b"P", b"\x01", b"PythonSDK-3.2.0"), ClientRequest(1, key="secret")),
        (
            SUBSCRIPTION,
            ClientRequest(4, topics=("sf|nse_cm|3045", "if|nse_cm|Nifty 50"), channel=11),
        ),
        (request(5, b"\x00\x00", b"\x0b"), ClientRequest(5, channel=11)),
        (request(12, CHANNEL_11, b"F"), ClientRequest(12, channel=11, mode="F")),
        (request(12, CHANNEL_11, b"L"), ClientRequest(12, channel=11, mode="L")),
        (request(7, CHANNEL_11), ClientRequest(7, channel=11)),
        (request(8, CHANNEL_11), ClientRequest(8, channel=11)),
        (request(3, b"\x00\x00\x01\x00"), ClientRequest(3, number=256)),
        (b"\x00\x01\x0b", ClientRequest(11)),
    ],
)
def test_a_request_is_read(frame: bytes, expected: ClientRequest) -> None:
    assert read_request(frame) == expected


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00\x01",
        request(99),
        request(1),
        request(12, CHANNEL_11),
        request(12, CHANNEL_11, b"\xff"),
        request(4, b"\x00\x03" + TOPICS[2:], b"\x0b"),
        request(4, b"\x00\x01\x0esf|nse", b"\x0b"),
    ],
)
def test_what_is_no_request_is_refused(frame: bytes) -> None:
    with pytest.raises(ValueError, match="not a request"):
        read_request(frame)


def test_a_request_cut_anywhere_is_refused() -> None:
    for size in range(len(SUBSCRIPTION)):
        with pytest.raises(ValueError, match="not a request"):
            read_request(SUBSCRIPTION[:size])


def test_answers_are_written_as_the_sdk_reads_them() -> None:
    assert fyers_wire.reply(4, True) == bytes.fromhex("0006 04 01 01 0001") + b"K"
    assert fyers_wire.reply(1, False, 300) == (
        bytes.fromhex("000d 01 02 01 0001") + b"E" + bytes.fromhex("02 0004 0000012c")
    )


def test_a_message_has_a_code_a_text_and_what_it_is_about() -> None:
    expected = bytes.fromhex("0012 33 03 01 0004 0000c739 02 0002") + b"No" + b"\x03\x00\x01\x04"
    assert fyers_wire.custom_message(51001, "No") == expected


def test_a_frame_carries_as_many_items_as_are_whole() -> None:
    whole = fyers_wire.data_frame([fyers_wire.lite_item(1, 5)] * 2, 1)
    assert fyers_wire.carried(whole) == 2
    assert fyers_wire.carried(whole[:-1]) == 1
    assert fyers_wire.carried(fyers_wire.reply(4, True)) == 0


def test_items_that_make_too_long_a_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="send several"):
        fyers_wire.data_frame([bytes(88)] * 745, 1)


def test_a_token_is_the_fytoken_without_its_date() -> None:
    assert fyers_wire.token_of(10, 10, "3045") == int("1010" + "3045")


@pytest.mark.parametrize("exchange_token", ["", "Nifty 50", "1_000", "\u0663", "1" * 15])
def test_what_is_no_number_of_an_exchange_makes_no_token(exchange_token: str) -> None:
    with pytest.raises(ValueError, match="no token of an exchange"):
        fyers_wire.token_of(10, 10, exchange_token)
