"""Kite's REST half through the real SDK, against a peer with prepared replies."""

import datetime as dt
import json
import sys
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from market_pipeline.brokers import kite as kite_module
from market_pipeline.brokers.kite import Kite
from market_pipeline.errors import (
    BrokerError,
    BrokerUnavailable,
    ConfigurationError,
    RateLimited,
    RequestRefused,
    TokenExpired,
    UnexpectedReply,
)
from market_pipeline.market import Interval
from market_pipeline_tests.rest_cases import HTML, JSON, Peer
from market_pipeline_tests.rest_cases import peer as peer

SECRET = "s3cret-access-token"
INFY, NIFTY, GOLD = 408065, 256265, 13000707
START = datetime(2026, 10, 5, 3, 45, tzinfo=UTC)  # 09:15 in India


@pytest.fixture
def kite(peer: Peer) -> Kite:
    return Kite("key", lambda: SecretStr(SECRET), rest_root=peer.root)


def error_json(kind: str | None, message: str = "no") -> str:
    reply = {"status": "error", "message": message, "data": None, "error_type": kind}
    return json.dumps({name: value for name, value in reply.items() if value is not None})


@pytest.mark.parametrize(
    ("status", "content_type", "body", "expected"),
    [
        pytest.param(403, JSON, error_json("TokenException"), TokenExpired, id="dead token"),
        pytest.param(403, JSON, error_json("PermissionException"), RequestRefused, id="no right"),
        pytest.param(403, JSON, error_json("UserException"), RequestRefused, id="unknown type"),
        pytest.param(429, JSON, error_json("NetworkException"), RateLimited, id="too many"),
        pytest.param(429, HTML, "<html>slow down</html>", RateLimited, id="too many, as a page"),
        pytest.param(400, JSON, error_json("InputException"), RequestRefused, id="bad request"),
        pytest.param(503, JSON, error_json("NetworkException"), BrokerUnavailable, id="down"),
        pytest.param(502, HTML, "<html>502</html>", BrokerUnavailable, id="gateway page"),
        pytest.param(500, JSON, error_json(None), BrokerUnavailable, id="no error_type"),
        pytest.param(400, JSON, error_json(None), RequestRefused, id="no error_type, 400"),
        pytest.param(200, None, "x", UnexpectedReply, id="no content type"),
        pytest.param(200, HTML, "<html>maintenance</html>", UnexpectedReply, id="a page, 200"),
        pytest.param(200, JSON, "{", UnexpectedReply, id="cut JSON"),
        pytest.param(200, JSON, "[]", UnexpectedReply, id="a list"),
        pytest.param(200, JSON, '{"data": {}}', UnexpectedReply, id="without the field asked for"),
    ],
)
def test_whatever_the_broker_answers_becomes_one_of_our_errors(
    peer: Peer, kite: Kite, status: int, content_type: str | None, body: str, expected: type
) -> None:
    peer.prepare(status, content_type, body)
    with pytest.raises(BrokerError) as caught:
        kite.profile()
    assert type(caught.value) is expected
    assert SECRET not in str(caught.value)


def test_a_broker_that_does_not_answer_is_not_waited_for_for_ever(
    peer: Peer, kite: Kite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kite_module, "_TIMEOUT", (0.2, 0.2))
    peer.answer.clear()
    with pytest.raises(BrokerUnavailable, match="ReadTimeout"):
        kite.profile()


def test_a_broker_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(BrokerUnavailable, match="ConnectionError"):
        Kite("key", lambda: SecretStr(SECRET), rest_root="http://127.0.0.1:9").profile()


def test_a_valid_token_gives_the_account(peer: Peer, kite: Kite) -> None:
    peer.ok({"user_id": "AB1234"})
    assert kite.profile() == "AB1234"
    assert peer.seen[0][1]["Authorization"] == f"token key:{SECRET}"


def test_without_a_token_nothing_is_asked(peer: Peer) -> None:
    with pytest.raises(TokenExpired, match="market-pipeline login"):
        Kite("key", lambda: None, rest_root=peer.root).profile()
    assert not peer.seen


def test_the_fingerprint_changes_with_a_login_that_gives_the_same_token() -> None:
    logins = iter([1, 2])
    kite = Kite("key", lambda: SecretStr(SECRET), logins=lambda: next(logins))
    assert kite.token_fingerprint() != kite.token_fingerprint()


def test_the_fingerprint_changes_with_the_token_and_does_not_show_it() -> None:
    token: list[SecretStr | None] = [None]
    kite = Kite("key", lambda: token[0])
    before = kite.token_fingerprint()
    token[0] = SecretStr(SECRET)
    assert kite.token_fingerprint() not in (before, SECRET)
    assert SECRET not in kite.token_fingerprint()


def test_candle_times_are_sent_as_india_reads_its_clock(peer: Peer, kite: Kite) -> None:
    peer.ok({"candles": []})
    kite.candles(INFY, Interval("1m", 1), START, START + dt.timedelta(minutes=5))
    assert urlsplit(peer.seen[0][0]).path == f"/instruments/historical/{INFY}/minute"
    assert peer.query["from"] == "2026-10-05 09:15:00"
    assert peer.query["to"] == "2026-10-05 09:20:00"


def test_the_last_candle_is_asked_for_to_its_end(peer: Peer, kite: Kite) -> None:
    peer.ok({"candles": []})
    kite.candles(INFY, Interval("5m", 5), START, START)
    assert peer.query["to"] == "2026-10-05 09:19:00"


def test_candles_outside_the_two_instants_are_left_out(peer: Peer, kite: Kite) -> None:
    rows = [[f"2026-10-05T09:{minute}:00+0530", 1, 1, 1, 1, 5] for minute in (14, 15, 16, 17)]
    peer.ok({"candles": rows})
    candles = kite.candles(INFY, Interval("1m", 1), START, START + dt.timedelta(minutes=1))
    assert candles["time"].dt.minute().to_list() == [45, 46]


@pytest.mark.parametrize(("token", "oi"), [(INFY, "0"), (NIFTY, "0"), (GOLD, "1")])
def test_open_interest_is_asked_for_where_it_exists(
    peer: Peer, kite: Kite, token: int, oi: str
) -> None:
    peer.ok({"candles": []})
    kite.candles(token, Interval("1m", 1), START, START)
    assert peer.query["oi"] == oi


def test_an_interval_kite_does_not_have_is_refused(kite: Kite) -> None:
    with pytest.raises(RequestRefused, match="7 minutes"):
        kite.candles(INFY, Interval("7m", 7), START, START)


def test_quotes_are_asked_for_by_token_and_their_times_are_those_of_india(
    peer: Peer, kite: Kite
) -> None:
    quote = {"instrument_token": INFY, "last_price": 1, "timestamp": "2026-10-05 09:15:00"}
    peer.ok({str(INFY): quote | {"ohlc": {}}})
    quotes = kite.quotes([INFY, NIFTY])
    asked = urlsplit(peer.seen[0][0])
    assert (asked.path, asked.query) == ("/quote", f"i={INFY}&i={NIFTY}")
    assert quotes["exchange_time"].to_list() == [START]


def test_a_request_token_becomes_an_access_token(peer: Peer, kite: Kite) -> None:
    peer.ok({"access_token": "new", "login_time": "2026-11-23 08:00:00"})
    assert kite.exchange_request_token("once", SecretStr("api secret")) == SecretStr("new")


def test_the_login_page_is_that_of_the_broker_or_of_its_stand_in(kite: Kite, peer: Peer) -> None:
    assert Kite("key", lambda: None).login_url() == (
        "https://kite.zerodha.com/connect/login?api_key=key&v=3"
    )
    assert kite.login_url() == f"{peer.root}/connect/login?api_key=key&v=3"


def test_a_root_with_a_path_is_refused_because_the_sdk_would_lose_it() -> None:
    with pytest.raises(ConfigurationError):
        Kite("key", lambda: None, rest_root="http://127.0.0.1:1/kite")


def test_without_the_sdk_the_message_says_what_to_install(
    kite: Kite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kiteconnect", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'market-pipeline\[kite\]'"):
        kite.instruments()
