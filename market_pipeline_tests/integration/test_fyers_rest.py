"""Fyers' REST half through the real SDK, against a peer with prepared replies."""

import contextlib
import datetime as dt
import hashlib
import importlib.util
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from market_pipeline.brokers.fyers import Fyers
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
from market_pipeline_tests.fyers_line_cases import GOLD, INFY, MASTERS, NIFTY
from market_pipeline_tests.line_cases import descriptors, until
from market_pipeline_tests.rest_cases import HTML, JSON, Peer
from market_pipeline_tests.rest_cases import peer as peer

needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("fyers_apiv3") is None, reason="fyers-apiv3 is not installed"
)
SECRET = "eyJhbGciOiJI.eyJleHAiOjE3.s3cret"
START = datetime(2026, 10, 5, 3, 45, tzinfo=UTC)  # 09:15 in India
MINUTE, FIVE, DAY = Interval("1m", 1), Interval("5m", 5), Interval("1d", 1440)


def made(peer: Peer) -> Fyers:
    peer.files = {f"/sym_details/{name}.csv": text for name, text in MASTERS.items()}
    return Fyers("XC12345-100", lambda: SecretStr(SECRET), peer.root)


def answer(peer: Peer, **content: object) -> None:
    peer.prepare(200, JSON, json.dumps({"s": "ok", "code": 200, "message": "", **content}))


def failure(code: int, message: str = "no") -> str:
    return json.dumps({"s": "error", "code": code, "message": message})


@needs_sdk
@pytest.mark.parametrize(
    ("status", "content_type", "body", "expected"),
    [
        pytest.param(401, JSON, failure(-8), TokenExpired, id="expired"),
        pytest.param(401, JSON, failure(-15), TokenExpired, id="invalid token"),
        pytest.param(200, JSON, failure(-16), TokenExpired, id="not authenticated, with 200"),
        pytest.param(429, JSON, failure(-429), RateLimited, id="too many"),
        pytest.param(429, HTML, "<html>slow down</html>", RateLimited, id="too many, as a page"),
        pytest.param(400, JSON, failure(-300), RequestRefused, id="invalid symbol"),
        pytest.param(502, HTML, "<html>502</html>", BrokerUnavailable, id="gateway page"),
        pytest.param(500, JSON, failure(-500), BrokerUnavailable, id="down"),
        pytest.param(200, None, "", UnexpectedReply, id="nothing at all"),
        pytest.param(200, HTML, "<html>maintenance</html>", UnexpectedReply, id="a page, 200"),
        pytest.param(200, JSON, '{"s": "ok"', UnexpectedReply, id="cut JSON"),
        pytest.param(200, JSON, "[]", UnexpectedReply, id="a list"),
        pytest.param(200, JSON, '{"s": "ok"}', UnexpectedReply, id="without the field asked for"),
        pytest.param(200, JSON, '{"s": "ok", "data": 1}', UnexpectedReply, id="of another form"),
    ],
)
def test_whatever_the_broker_answers_becomes_one_of_our_errors(
    peer: Peer, status: int, content_type: str | None, body: str, expected: type
) -> None:
    peer.prepare(status, content_type, body)
    with pytest.raises(BrokerError) as caught:
        made(peer).profile()
    assert type(caught.value) is expected
    assert "s3cret" not in str(caught.value)


@needs_sdk
def test_how_long_to_wait_is_not_lost_with_the_headers(peer: Peer) -> None:
    peer.prepare(429, JSON, failure(-429))
    peer.headers["Retry-After"] = "7"
    with pytest.raises(RateLimited) as caught:
        made(peer).profile()
    assert caught.value.retry_after == 7


@needs_sdk
def test_an_error_does_not_change_with_the_next_one(peer: Peer) -> None:
    fyers = made(peer)
    peer.prepare(502, HTML, "<html>502</html>")
    with pytest.raises(BrokerUnavailable) as first:
        fyers.profile()
    said = str(first.value)
    peer.prepare(418, HTML, "<html>teapot</html>")
    with pytest.raises(RequestRefused):
        fyers.profile()
    assert str(first.value) == said
    assert "502" in said


@needs_sdk
def test_a_broker_that_does_not_answer_is_not_waited_for_for_ever(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market_pipeline.brokers.fyers_client.TIMEOUT", (0.2, 0.2))
    peer.answer.clear()
    with pytest.raises(BrokerUnavailable, match="ReadTimeout"):
        made(peer).profile()


@needs_sdk
def test_a_reply_that_breaks_off_is_no_refusal(peer: Peer) -> None:
    answer(peer, data={"fy_id": "XA00001"})
    peer.missing = 100
    with pytest.raises(BrokerUnavailable):
        made(peer).profile()


@needs_sdk
def test_a_broker_that_is_not_there_is_unavailable() -> None:
    nobody = Fyers("app", lambda: SecretStr(SECRET), "http://127.0.0.1:9")
    with pytest.raises(BrokerUnavailable, match="ConnectionError"):
        nobody.profile()


@needs_sdk
@pytest.mark.parametrize("token", [SECRET, f"XC12345-100:{SECRET}"])
def test_a_valid_token_gives_the_account_with_or_without_app_id_in_front(
    peer: Peer, token: str
) -> None:
    answer(peer, data={"fy_id": "XA00001"})
    assert Fyers("XC12345-100", lambda: SecretStr(token), peer.root).profile() == "XA00001"
    assert peer.seen[0][1]["Authorization"] == f"XC12345-100:{SECRET}"


def test_without_a_token_nothing_is_asked(peer: Peer) -> None:
    with pytest.raises(TokenExpired, match="market-pipeline login fyers"):
        Fyers("app", lambda: None, peer.root).profile()
    assert not peer.seen


def test_the_fingerprint_changes_with_the_token_and_with_a_login_and_shows_neither() -> None:
    token: list[SecretStr | None] = [None]
    logins = iter([1, 2])
    fyers = Fyers("app", lambda: token[0], logins=lambda: next(logins))
    assert fyers.token_fingerprint() == ""
    token[0] = SecretStr(SECRET)
    first = fyers.token_fingerprint()
    assert fyers.token_fingerprint() not in (first, "", SECRET)


@needs_sdk
def test_minutes_are_asked_for_by_the_second_up_to_the_end_of_the_last(peer: Peer) -> None:
    answer(peer, candles=[])
    made(peer).candles(INFY, FIVE, START, START + dt.timedelta(minutes=5))
    assert urlsplit(peer.seen[0][0]).path == "/data/history"
    assert peer.query["symbol"] == "NSE:INFY-EQ"
    assert (peer.query["resolution"], peer.query["date_format"]) == ("5", "0")
    start = int(START.timestamp())
    assert (int(peer.query["range_from"]), int(peer.query["range_to"])) == (start, start + 540)


@needs_sdk
def test_days_are_asked_for_by_their_dates_in_india(peer: Peer) -> None:
    answer(peer, candles=[])
    made(peer).candles(INFY, DAY, datetime(2026, 10, 4, 18, 30, tzinfo=UTC), START)
    assert (peer.query["resolution"], peer.query["date_format"]) == ("1D", "1")
    assert (peer.query["range_from"], peer.query["range_to"]) == ("2026-10-05", "2026-10-05")


@needs_sdk
@pytest.mark.parametrize(("token", "oi"), [(INFY, "0"), (NIFTY, "0"), (GOLD, "1")])
def test_open_interest_is_asked_for_where_it_exists(peer: Peer, token: int, oi: str) -> None:
    answer(peer, candles=[])
    made(peer).candles(token, MINUTE, START, START)
    assert peer.query["oi_flag"] == oi


@needs_sdk
def test_candles_outside_the_two_instants_are_left_out(peer: Peer) -> None:
    start = int(START.timestamp())
    rows = [[start + 60 * minute, 1, 1, 1, 1, 5] for minute in (-1, 0, 1, 2)]
    answer(peer, candles=rows)
    candles = made(peer).candles(INFY, MINUTE, START, START + dt.timedelta(minutes=1))
    assert candles["time"].dt.minute().to_list() == [45, 46]


@needs_sdk
def test_no_data_is_no_error(peer: Peer) -> None:
    peer.prepare(200, JSON, '{"s": "no_data", "candles": []}')
    assert made(peer).candles(INFY, MINUTE, START, START).is_empty()


@needs_sdk
def test_an_index_has_no_volume(peer: Peer) -> None:
    answer(peer, candles=[[int(START.timestamp()), 1, 1, 1, 1, 0]])
    assert made(peer).candles(NIFTY, MINUTE, START, START)["volume"].to_list() == [None]


def test_an_interval_fyers_does_not_have_is_refused(peer: Peer) -> None:
    with pytest.raises(RequestRefused, match="7 minutes"):
        made(peer).candles(INFY, Interval("7m", 7), START, START)


def test_a_token_that_is_not_listed_is_refused_without_a_request(peer: Peer) -> None:
    with pytest.raises(RequestRefused, match="instruments sync"):
        made(peer).candles(10109999, MINUTE, START, START)
    assert not peer.seen


@needs_sdk
def test_fifty_indices_share_a_request_for_quotes(peer: Peer) -> None:
    fyers, line = made(peer), MASTERS["NSE_CM"].splitlines()[0]
    lines = [line.replace("NIFTY50", f"N{n}").replace("26000", f"{n}") for n in range(100, 151)]
    peer.files["/sym_details/NSE_CM.csv"] = "\n".join(lines)
    elements = [{"n": f"NSE:N{n}-INDEX", "s": "ok", "v": {"lp": n}} for n in range(150, 99, -1)]
    answer(peer, d=elements)
    quotes = fyers.quotes([1010_000 + n for n in range(100, 151)])
    assert quotes["last_price"].to_list() == list(range(100, 151))
    asked = [parse_qs(urlsplit(path).query)["symbols"][0].split(",") for path, _ in peer.seen]
    assert [len(symbols) for symbols in asked] == [50, 1]


@needs_sdk
def test_an_auth_code_becomes_an_access_token(peer: Peer) -> None:
    answer(peer, access_token="new", refresh_token="")
    assert made(peer).exchange_auth_code("once", SecretStr("key")) == SecretStr("new")
    proof = hashlib.sha256(b"XC12345-100:key").hexdigest()
    assert json.loads(peer.sent) == {
        "grant_type": "authorization_code",
        "appIdHash": proof,
        "code": "once",
    }


def test_the_login_page_is_that_of_the_broker_or_of_its_stand_in(peer: Peer) -> None:
    query = (
        "client_id=XC12345-100&redirect_uri=http%3A%2F%2F127.0.0.1%2F&response_type=code"
        "&state=market-pipeline"
    )
    path = f"/api/v3/generate-authcode?{query}"
    page = Fyers("XC12345-100", lambda: None).login_url("http://127.0.0.1/")
    assert page == f"https://api-t1.fyers.in{path}"
    assert made(peer).login_url("http://127.0.0.1/") == f"{peer.root}{path}"


@needs_sdk
def test_requests_leave_no_file_and_no_open_descriptor(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fyers = made(peer)
    answer(peer, data={"fy_id": "XA00001"})
    fyers.profile()
    before = descriptors()
    for _ in range(5):
        fyers.profile()
    peer.prepare(502, HTML, "<html>502</html>")
    with contextlib.suppress(BrokerUnavailable):
        fyers.profile()
    # The peer lives in this process as well, and closes its side a moment later.
    until(lambda: descriptors() <= before)
    assert not list(tmp_path.iterdir())


def test_without_the_sdk_the_message_says_what_to_install(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "market_pipeline.brokers.fyers_client", raising=False)
    monkeypatch.setitem(sys.modules, "fyers_apiv3.fyersModel", None)
    with pytest.raises(ConfigurationError) as caught:
        made(peer).profile()
    assert "pip install 'market-pipeline[fyers]'" in str(caught.value)
    assert "pip install --no-deps 'fyers-apiv3==3.2.0'" in str(caught.value)
