"""What we say on the data socket is what the vendor's own library says."""

import json
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from market_pipeline.brokers import fyers_files, fyers_requests
from market_pipeline_tests.fyers_line_cases import GOLD, INFY, NIFTY, TOPICS, Bench
from market_pipeline_tests.fyers_line_cases import bench as bench

KEY = "0123456789abcdef"
LENGTH = 2  # bytes in front, which the SDK gets wrong


@pytest.fixture(scope="module")
def sdk() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it still uses pkg_resources
        return pytest.importorskip(
            "fyers_apiv3.FyersWebsocket.data_ws",
            reason="fyers-apiv3, websocket-client or setuptools<81 is not installed",
            exc_type=ImportError,
        )


class Socket:
    """The SDK's socket without its constructor, which opens a log file."""

    def __init__(self, sdk: Any) -> None:
        self._made = object.__new__(sdk.FyersDataSocket)
        self._made.__dict__ |= {
            "_FyersDataSocket__hsm_token": KEY,
            "_FyersDataSocket__access_token": "header.claims.signature",
            "source": "PythonSDK-3.2.0",
            "mode": "P",
            "channel_num": 11,
            "scrips_per_channel": {11: []},
        }

    def say(self, name: str, *arguments: Any) -> bytes:
        return bytes(getattr(self._made, f"_FyersDataSocket__{name}_msg")(*arguments))


@pytest.fixture
def socket(sdk: Any) -> Socket:
    return Socket(sdk)


def test_requests_are_the_sdks(socket: Socket) -> None:
    topics = sorted(TOPICS.values())
    pairs = [
        (fyers_requests.login(KEY), socket.say("access_token")),
        (fyers_requests.full_mode(), socket.say("full_mode")),
        (fyers_requests.subscription(topics)[0], socket.say("subscription", topics)),
        (fyers_requests.unsubscription(topics)[0], socket.say("unsubscription", topics)),
        (fyers_requests.acknowledgement(77), socket.say("ackowledgement", 77)),
    ]
    for ours, theirs in pairs:
        assert ours[LENGTH:] == theirs[LENGTH:]


def test_topics_are_the_sdks(sdk: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = {
        "NSE:INFY-EQ": "10100000001594",
        "NSE:NIFTY50-INDEX": "101000000026000",
        "MCX:GOLD26DECFUT": "1120261204257681",
    }
    reply = {"s": "ok", "validSymbol": symbols, "invalidSymbol": []}
    monkeypatch.setattr(
        sdk.requests,
        "post",
        lambda **_: SimpleNamespace(json=lambda: json.loads(json.dumps(reply))),
    )
    conversion = object.__new__(sdk.SymbolConversion)
    conversion.__dict__ |= {
        "access_token": "",
        "symbols_token_api": "",
        "data_type": "SymbolUpdate",
        "data_logger": SimpleNamespace(info=print, error=print, exception=print),
    }
    monkeypatch.setattr(sdk.SymbolConversion, "_index_hsm_mapping_cache", {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = conversion.symbol_to_hsmtoken(list(symbols))[0]
    ours = fyers_files.PublicFiles(bench.root).topics([INFY, NIFTY, GOLD])
    assert ours == set(theirs)
