"""Fyers' candles, errors and tokens, read without a network."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from market_pipeline.brokers import fyers_rest
from market_pipeline.brokers.fyers_rest import error_of, parse_history
from market_pipeline.errors import (
    BrokerError,
    BrokerUnavailable,
    RateLimited,
    RequestRefused,
    TokenExpired,
    UnexpectedReply,
)
from market_pipeline.market import CANDLE_SCHEMA

OPEN = 1795491900  # 2026-11-24 09:15 in India
FIRST = [OPEN, 100.5, 101, 99.5, 100, 1000]
SECOND = [OPEN + 60, 100, 102, 100, 101.25, 2_500_000_000]


def reply(*candles: Any) -> dict[str, Any]:
    return {"s": "ok", "code": 200, "message": "", "candles": list(candles)}


def jwt(**claims: Any) -> str:
    parts = [{"alg": "HS256"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return ".".join([*(part.rstrip(b"=").decode() for part in encoded), "c2lnbmF0dXJl"])


def test_candles_have_times_prices_and_volumes() -> None:
    candles = parse_history(reply(FIRST, SECOND))
    assert dict(candles.schema) == CANDLE_SCHEMA
    assert candles.rows() == [
        (datetime(2026, 11, 24, 3, 45, tzinfo=UTC), 100.5, 101.0, 99.5, 100.0, 1000, None),
        (
            datetime(2026, 11, 24, 3, 46, tzinfo=UTC),
            100.0,
            102.0,
            100.0,
            101.25,
            2_500_000_000,
            None,
        ),
    ]


def test_open_interest_is_the_seventh_element_where_there_is_one() -> None:
    assert parse_history(reply([*FIRST, 7500], SECOND))["open_interest"].to_list() == [7500, None]


def test_an_index_has_no_volume() -> None:
    candles = parse_history(reply(FIRST), has_volume=False)
    assert candles["volume"].to_list() == [None]
    assert dict(candles.schema) == CANDLE_SCHEMA


def test_candles_are_sorted_and_of_one_time_the_last_is_taken() -> None:
    candles = parse_history(reply(SECOND, FIRST, [OPEN, 1, 1, 1, 1, 1]))
    assert candles["open"].to_list() == [1, 100]


@pytest.mark.parametrize("payload", [reply(), {"s": "no_data", "code": 200, "message": ""}])
def test_no_data_is_no_error(payload: dict[str, Any]) -> None:
    candles = parse_history(payload)
    assert candles.is_empty()
    assert dict(candles.schema) == CANDLE_SCHEMA


@pytest.mark.parametrize("hours", [-9.25, -3.75, 0])
def test_a_daily_candle_begins_at_midnight_in_india_whatever_fyers_says(hours: float) -> None:
    candles = parse_history(reply([OPEN + int(hours * 3600), *FIRST[1:]]), is_daily=True)
    assert candles["time"].to_list() == [datetime(2026, 11, 23, 18, 30, tzinfo=UTC)]


@pytest.mark.parametrize(
    "candle",
    [
        FIRST[:5],
        [*FIRST, 1, 2],
        [None, *FIRST[1:]],
        ["2026-11-24", *FIRST[1:]],
        [OPEN, None, *FIRST[2:]],
        [OPEN, float("nan"), *FIRST[2:]],
        [OPEN, "100", *FIRST[2:]],
        [*FIRST[:5], None],
        [*FIRST[:5], 10.5],
        [OPEN + 0.5, *FIRST[1:]],
        [10**30, *FIRST[1:]],
        7,
    ],
)
def test_what_is_no_candle_is_refused(candle: Any) -> None:
    with pytest.raises(UnexpectedReply, match="a candle is not in the expected form"):
        parse_history(reply(FIRST, candle))


@pytest.mark.parametrize("payload", [{"s": "ok"}, {"s": "ok", "candles": None}, [], None, {}])
def test_what_is_no_history_is_refused(payload: Any) -> None:
    with pytest.raises(UnexpectedReply):
        parse_history(payload)


def test_a_reply_that_says_error_is_raised_as_such() -> None:
    with pytest.raises(RequestRefused, match="code -300: Invalid symbol provided"):
        parse_history({"s": "error", "code": -300, "message": "Invalid symbol provided"})


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        *((code, status, TokenExpired) for code in (-8, -15, -16, -17) for status in (None, 401)),
        (None, 401, TokenExpired),
        (-429, None, RateLimited),
        (429, None, RateLimited),
        (None, 429, RateLimited),
        (-50, 400, RequestRefused),
        (-300, None, RequestRefused),
        (-352, 400, RequestRefused),
        (None, 404, RequestRefused),
        (-99, None, BrokerUnavailable),  # the SDK's, where there was no answer
        (-99, 400, RequestRefused),  # Fyers' own
        (-99, 200, RequestRefused),
        (502, None, BrokerUnavailable),
        (None, 502, BrokerUnavailable),
        (-99, 503, BrokerUnavailable),
        (None, 200, UnexpectedReply),
        ("x", None, UnexpectedReply),
    ],
)
def test_codes_and_statuses_say_what_went_wrong(
    code: Any, status: int | None, kind: type[BrokerError]
) -> None:
    error = error_of({"s": "error", "code": code, "message": "Bad request"}, status)
    assert type(error) is kind


def test_how_long_to_wait_is_kept() -> None:
    error = error_of({"code": 429, "message": "request limit reached"}, 429, "30")
    assert isinstance(error, RateLimited)
    assert error.retry_after == 30.0
    assert str(error) == "Fyers answered HTTP 429 code 429: request limit reached"


def test_a_date_to_wait_for_is_passed_over() -> None:
    error = error_of({"code": 429}, 429, "Wed, 25 Nov 2026 07:28:00 GMT")
    assert isinstance(error, RateLimited)
    assert error.retry_after is None


def test_an_error_does_not_change_with_the_sdks_one_dict() -> None:
    shared: dict[str, Any] = {"s": "error", "code": -300, "message": "Invalid symbol provided"}
    error = error_of(shared)
    shared.update(code=-99, message="Bad request")
    assert "Invalid symbol provided" in str(error)


def test_an_expired_token_says_how_to_get_another() -> None:
    error = error_of({"code": -8, "message": "Your token has expired"})
    assert str(error).endswith("Your token has expired; run `market-pipeline login fyers`")


def test_a_token_is_never_quoted() -> None:
    token = jwt(exp=1, hsm_key="secret")
    error = error_of({"code": -16, "message": f"could not authenticate APP-100:{token}"})
    assert token.split(".")[1] not in str(error)


def test_a_reply_that_is_no_dict_is_judged_by_its_status() -> None:
    assert isinstance(error_of("<html>", 502), BrokerUnavailable)
    assert isinstance(error_of(None), UnexpectedReply)


@pytest.mark.parametrize("prefix", ["", "APPID-100:"])
def test_a_token_says_when_it_expires_and_what_the_key_is(prefix: str) -> None:
    token = prefix + jwt(exp=OPEN, hsm_key="abc")
    assert fyers_rest.expires_at(token) == datetime(2026, 11, 24, 3, 45, tzinfo=UTC)
    assert fyers_rest.hsm_key(token) == "abc"
    assert fyers_rest.bare_jwt(token) == token.removeprefix(prefix)


@pytest.mark.parametrize(
    "token", ["", "no-token", "a.b.c", "a.!!!.c", jwt(), jwt(exp="soon", hsm_key=""), jwt(exp=1e30)]
)
def test_what_is_no_token_says_to_log_in(token: str) -> None:
    for read in (fyers_rest.expires_at, fyers_rest.hsm_key):
        with pytest.raises(TokenExpired, match="market-pipeline login fyers"):
            read(token)


def test_every_candle_length_has_a_name_and_a_span() -> None:
    assert fyers_rest.RESOLUTIONS.keys() == fyers_rest.MAX_DAYS.keys()
    assert fyers_rest.BUDGET.rate == pytest.approx(200 / 60)
