"""What Fyers' REST API answers, read: candles, errors and tokens. No I/O, no clock.

Where no other source is named, facts are from https://myapi.fyers.in/docsv3 as others report them.
For symbol masters see fyers_master.py.
"""

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from market_pipeline.brokers.limits import Budget, Window
from market_pipeline.errors import (
    BrokerError,
    BrokerUnavailable,
    RateLimited,
    RequestRefused,
    TokenExpired,
    UnexpectedReply,
)
from market_pipeline.market import CANDLE_SCHEMA
from market_pipeline.sessions import EXCHANGE_TZ

MAX_DAYS = dict.fromkeys((1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 240), 100) | {1440: 366}
"""Days of candles one request may span, by candle minutes."""

RESOLUTIONS = {minutes: str(minutes) for minutes in MAX_DAYS} | {1440: "1D"}
"""Fyers' names of candle lengths, by minutes."""

BUDGET = Budget("all", (Window(10, 1.0), Window(200, 60.0)), per_day=100_000)
"""What all requests of an account draw from. Who exceeds what a minute allows more than three times
in a day gets nothing for the rest of it."""

_CODES: dict[int, type[BrokerError]] = {
    -8: TokenExpired,  # expired
    -15: TokenExpired,  # invalid
    -16: TokenExpired,  # not authenticated
    -17: TokenExpired,  # invalid or expired
    401: TokenExpired,
    -429: RateLimited,
    429: RateLimited,
    -50: RequestRefused,  # invalid parameters
    -300: RequestRefused,  # invalid symbol
    -352: RequestRefused,  # invalid app id
}
_TRANSPORT = -99  # the SDK's for whatever kept it from an answer; Fyers' own for a rejection
_LONGEST_QUOTE = 200  # characters of the broker's own words in our messages
_JWT = re.compile(r"[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
_NUMBERS = ("time", "open", "high", "low", "close", "volume", "open_interest")
_WHOLE = ("time", "volume", "open_interest")


def parse_history(payload: Any, has_volume: bool = True, is_daily: bool = False) -> pl.DataFrame:
    """Read a reply of /data/history into the columns of CANDLE_SCHEMA.

    Sorted by time; of candles with the same time the last is taken. The time of a daily candle is
    made the midnight of its day in India, as it is at Kite: what Fyers says is not documented.

    Raises:
        BrokerError: the reply says that the request failed, see error_of.
        UnexpectedReply: it is not a list of candles of six or seven numbers.
    """
    if not isinstance(payload, Mapping) or payload.get("s") not in ("ok", "no_data"):
        raise error_of(payload)
    try:
        rows = [] if payload["s"] == "no_data" else payload["candles"]
        numbers = _numbers(rows)
    except (KeyError, TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        reason = str(error).split("\n")[0][:_LONGEST_QUOTE]
        raise UnexpectedReply(f"a candle is not in the expected form: {reason}") from None
    time = pl.from_epoch(pl.col("time"), "s").dt.cast_time_unit("us").dt.replace_time_zone("UTC")
    if is_daily:
        day = time.dt.convert_time_zone(EXCHANGE_TZ.key).dt.truncate("1d")
        time = day.dt.convert_time_zone("UTC")
    volume = pl.col("volume") if has_volume else pl.lit(None, pl.Int64).alias("volume")
    candles = numbers.with_columns(time, volume).select(list(CANDLE_SCHEMA))
    return candles.unique("time", keep="last", maintain_order=True).sort("time")


def _numbers(rows: Any) -> pl.DataFrame:
    """Put candles into columns, whose numbers are integers and decimals mixed."""
    if not isinstance(rows, list):
        raise TypeError(f"candles are no list but {type(rows).__name__}")
    if wrong := {len(row) for row in rows} - {6, 7}:
        raise ValueError(f"{min(wrong)} elements instead of 6 or 7")
    values = list(zip(*(row if len(row) == 7 else [*row, None] for row in rows), strict=True))
    columns = zip(_NUMBERS, values or [()] * len(_NUMBERS), strict=True)
    numbers = pl.DataFrame([pl.Series(name, column, pl.Float64) for name, column in columns])
    for name in _NUMBERS:
        _require_numbers(numbers[name], is_whole=name in _WHOLE)
    return numbers.cast(dict.fromkeys(_WHOLE, pl.Int64))


def _require_numbers(numbers: pl.Series, is_whole: bool) -> None:
    is_right = numbers.is_finite().fill_null(numbers.name == "open_interest")
    if is_whole:
        is_right &= (numbers.floor() == numbers).fill_null(True)
    if not is_right.all():
        row = is_right.arg_min() or 0
        raise ValueError(f"{numbers.name} of candle {row + 1} is {numbers[row]}")


def error_of(reply: Any, status: int | None = None, retry_after: str | None = None) -> BrokerError:
    """Say in our terms what a failed request was answered.

    `status` is the HTTP status of the reply, None where it is not known, and `retry_after` a header
    of it. The SDK never raises: it returns a dict, one object for all failures, which the next
    failure changes. Nothing of it is kept here. It says -99 where there was no answer.
    """
    answer = dict(reply) if isinstance(reply, Mapping) else {}
    code = answer.get("code")
    said = {"HTTP": status, "code": code if isinstance(code, int) else None}
    numbers = {name: number for name, number in said.items() if number is not None}
    where = (
        " ".join(f"{name} {number}" for name, number in numbers.items()) or "in an unexpected form"
    )
    kind = _kind(*said.values())
    words = _JWT.sub("***", str(answer.get("message") or "no reason given"))[:_LONGEST_QUOTE]
    if kind is RateLimited:
        return RateLimited(f"Fyers answered {where}: {words}", _seconds(retry_after))
    next_step = "; run `market-pipeline login fyers`" if kind is TokenExpired else ""
    return kind(f"Fyers answered {where}: {words}{next_step}")


def _kind(status: int | None, code: int | None) -> type[BrokerError]:
    numbers = [number for number in (code, status) if number is not None]
    for number in numbers:
        if number in _CODES:
            return _CODES[number]
    if numbers == [_TRANSPORT] or any(number >= 500 for number in numbers):
        return BrokerUnavailable
    if any(number >= 400 or number < 0 for number in numbers):
        return RequestRefused
    return UnexpectedReply


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After header; the other form it may have, a date, is passed over."""
    return float(retry_after) if retry_after and retry_after.strip().isdecimal() else None


def bare_jwt(token: str) -> str:
    """Leave out the app id, which some show in front of a token, as APPID:token."""
    return token.rpartition(":")[2]


def expires_at(token: str) -> datetime:
    """Return when an access token dies, from what it says of itself; nothing is verified.

    Raises:
        TokenExpired: it is no token of Fyers.
    """
    try:
        return datetime.fromtimestamp(_claims(token)["exp"], UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        raise _useless("when it expires") from None


def hsm_key(token: str) -> str:
    """Return the key for market data that an access token holds.

    Raises:
        TokenExpired: it is no token of Fyers.
    """
    key = _claims(token).get("hsm_key")
    if not isinstance(key, str) or not key:
        raise _useless("its key for market data")
    return key


def _claims(token: str) -> dict[str, Any]:
    try:
        body = bare_jwt(token).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError):
        claims = None
    if not isinstance(claims, dict):
        raise _useless("anything")
    return claims


def _useless(what: str) -> TokenExpired:
    return TokenExpired(
        f"the access token does not say {what}, as Fyers' do: run `market-pipeline login fyers`"
    )
