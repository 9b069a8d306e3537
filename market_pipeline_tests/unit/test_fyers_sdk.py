"""Our reading of Fyers' frames beside its SDK's, the only description of them there is."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from market_pipeline.brokers import fyers_wire
from market_pipeline.brokers.fyers_wire import Decoder, data_frame, snapshot_item, update_item
from market_pipeline_tests.bench_fyers import sdk_reader

PRICES = {
    "last_price": "ltp",
    "bid_price": "bid_price",
    "ask_price": "ask_price",
    "average_price": "avg_trade_price",
    "day_low": "low_price",
    "day_high": "high_price",
    "day_open": "open_price",
    "previous_close": "prev_close_price",
}
NUMBERS = {
    "day_volume": "vol_traded_today",
    "last_trade_time": "last_traded_time",
    "exchange_time": "exch_feed_time",
    "bid_quantity": "bid_size",
    "ask_quantity": "ask_size",
    "last_quantity": "last_traded_qty",
    "buy_quantity": "tot_buy_qty",
    "sell_quantity": "tot_sell_qty",
}
MARKETS = [("sf|nse_cm|{}", 1, 2), ("sf|cde_fo|{}", 1, 4), ("sf|mcx_fo|{}", 100, 2)]

Messages = list[dict[str, Any]]


@pytest.fixture
def sdk() -> tuple[Callable[[bytes], None], Messages]:
    messages: Messages = []
    read = sdk_reader(lambda message: messages.append(dict(message)))
    if read is None:
        pytest.skip("fyers-apiv3 is not installed: pip install 'market-pipeline[fyers]'")
    return read, messages


def feed(seed: int) -> list[bytes]:
    """Make snapshots of contracts and indices, and updates whose last price always changes."""
    chance = random.Random(seed)
    items = []
    for topic_id in range(12):
        topic, multiplier, precision = MARKETS[topic_id % 3]
        values = [chance.randrange(1, 2**32 - 1) if n == 1 else 9_000 + n for n in range(21)]
        name, number = topic.format(topic_id), str(topic_id)
        items.append(snapshot_item(topic_id, name, values, multiplier, precision, "x", number, "y"))
    for topic_id in (12, 13):
        index = [9_000 + n for n in range(6)]
        topic = f"if|nse_cm|{topic_id}"
        items.append(snapshot_item(topic_id, topic, index, 1, 2, "nse_cm", str(topic_id), "y"))
    for rise in range(400):
        topic_id = chance.randrange(14)
        count = 6 if topic_id >= 12 else 21
        changes = [chance.choice([None, chance.randrange(1, 2**31)]) for _ in range(count)]
        items.append(update_item(topic_id, [20_000 + rise, *changes[1:]]))
    return [data_frame(items[n : n + 7], n) for n in range(0, len(items), 7)]


@pytest.mark.parametrize("seed", range(3))
def test_every_packet_says_what_the_sdk_says(
    sdk: tuple[Callable[[bytes], None], Messages], seed: int
) -> None:
    read, messages = sdk
    made = feed(seed)
    for frame in made:
        read(frame)
    packets = Decoder().decode(made).packets
    assert len(messages) == len(packets["token"]) == 414
    for row, message in enumerate(messages):
        assert {
            ours: packets[ours][row] for ours, theirs in PRICES.items() if theirs in message
        } == {ours: message[theirs] for ours, theirs in PRICES.items() if theirs in message}
        assert {
            ours: packets[ours][row] for ours, theirs in NUMBERS.items() if theirs in message
        } == {
            ours: message[theirs] & 0xFFFFFFFF
            for ours, theirs in NUMBERS.items()
            if theirs in message
        }


def test_the_sdks_requests_are_read(sdk: tuple[Callable[[bytes], None], Messages]) -> None:
    read, _ = sdk
    socket: Any = read.__self__  # type: ignore[attr-defined]
    socket._FyersDataSocket__hsm_token = "secret"
    own = "_FyersDataSocket__{}"
    requests = {
        "access_token_msg": (),
        "full_mode_msg": (),
        "lite_mode_msg": (),
        "subscription_msg": (["sf|nse_cm|3045", "if|nse_cm|Nifty 50"],),
        "unsubscription_msg": (["sf|nse_cm|3045"],),
        "ackowledgement_msg": (7,),
        "channel_pause_msg": (3,),
    }
    found = [
        fyers_wire.read_request(bytes(getattr(socket, own.format(name))(*arguments)))
        for name, arguments in requests.items()
    ]
    assert found == [
        fyers_wire.ClientRequest(fyers_wire.AUTH, key="secret"),
        fyers_wire.ClientRequest(fyers_wire.MODE, channel=11, mode="F"),
        fyers_wire.ClientRequest(fyers_wire.MODE, channel=11, mode="L"),
        fyers_wire.ClientRequest(
            fyers_wire.SUBSCRIBE, topics=("sf|nse_cm|3045", "if|nse_cm|Nifty 50"), channel=11
        ),
        fyers_wire.ClientRequest(fyers_wire.UNSUBSCRIBE, topics=("sf|nse_cm|3045",), channel=11),
        fyers_wire.ClientRequest(fyers_wire.ACK, number=7),
        fyers_wire.ClientRequest(fyers_wire.PAUSE, channel=3),
    ]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (fyers_wire.reply(fyers_wire.AUTH, True, 0), {"type": "cn", "code": 200, "s": "ok"}),
        (fyers_wire.reply(fyers_wire.SUBSCRIBE, True), {"type": "sub", "code": 200, "s": "ok"}),
        (fyers_wire.reply(fyers_wire.UNSUBSCRIBE, True), {"type": "unsub", "code": 200, "s": "ok"}),
        (fyers_wire.reply(fyers_wire.MODE, True), {"type": "ful", "code": 200, "s": "ok"}),
        (
            fyers_wire.reply(fyers_wire.SUBSCRIBE, False),
            {"type": "sub", "code": 11011, "s": "error"},
        ),
        (fyers_wire.custom_message(51001, "No"), {"type": "sub", "code": 51001, "s": "error"}),
    ],
)
def test_the_sdk_understands_our_answers(
    sdk: tuple[Callable[[bytes], None], Messages], frame: bytes, expected: dict[str, Any]
) -> None:
    read, messages = sdk
    read.__self__.OnError = messages.append  # type: ignore[attr-defined]
    read(frame)
    assert [{name: message[name] for name in expected} for message in messages] == [expected]
