"""What Kite's REST API answers, read: instruments, candles and errors. No I/O, no clock."""

import logging
import re
from collections.abc import Sequence
from typing import Any

import polars as pl

from market_pipeline.errors import (
    BrokerError,
    BrokerUnavailable,
    RateLimited,
    RequestRefused,
    TokenExpired,
    UnexpectedReply,
)
from market_pipeline.market import INSTRUMENT_SCHEMA, Exchange, Kind, Segment

log = logging.getLogger(__name__)

MAX_DAYS = {1: 60, 3: 100, 5: 100, 10: 100, 15: 200, 30: 200, 60: 400, 1440: 2000}
"""Days of candles one request may span, by candle minutes. Source: Kite's staff on its developer
forum; the API documentation does not say, and beyond it the answer is HTTP 400."""

INTERVAL_NAMES = {1: "minute", 60: "60minute", 1440: "day"} | {
    minutes: f"{minutes}minute" for minutes in (3, 5, 10, 15, 30)
}
"""Kite's names of candle lengths, by minutes."""

_SEGMENT_BY_EXCHANGE = {
    Exchange.NSE: Segment.CM,
    Exchange.BSE: Segment.CM,
    Exchange.NFO: Segment.FO,
    Exchange.BFO: Segment.FO,
    Exchange.CDS: Segment.CD,
    Exchange.BCD: Segment.CD,
    Exchange.MCX: Segment.COM,
    Exchange.NCO: Segment.COM,
}
_COLUMNS = (
    "instrument_token exchange_token tradingsymbol name expiry strike tick_size lot_size "
    "instrument_type segment exchange"
).split()
_NEVER_EMPTY = ["instrument_token", "exchange_token", "tradingsymbol", "segment", "exchange"]
_CANDLE_TIME = "%Y-%m-%dT%H:%M:%S%z"
_LONGEST_QUOTE = 200  # characters of the broker's own words in our messages
_AUTHORIZATION = re.compile(r"(?i)(access_token=|request_token=|token )[^\s&\"']+")


def parse_instruments(csv: bytes) -> pl.DataFrame:
    """Read Kite's instrument dump into the columns of INSTRUMENT_SCHEMA.

    Rows of exchanges or kinds this package does not know (GLOBAL and NSEIX indices) are left out
    and counted in the log. Of rows that repeat a token the first is kept: refusing the whole dump
    for one row would leave every other instrument without today's token.

    Raises:
        UnexpectedReply: the reply is not a dump, misses columns or holds unreadable values.
    """
    dump = _read_csv(csv)
    try:
        known = _normalised(dump).filter(
            pl.col("exchange").is_in(list(_SEGMENT_BY_EXCHANGE)), pl.col("kind").is_in(list(Kind))
        )
    except pl.exceptions.PolarsError as error:
        raise UnexpectedReply(f"a value in the instrument dump is unreadable: {error}") from None
    if not len(known):
        raise UnexpectedReply("the instrument dump holds no instrument of a known exchange")
    unique = known.unique("token", keep="first", maintain_order=True)
    _log_left_out(dump, known, unique)
    return unique


def _read_csv(csv: bytes) -> pl.DataFrame:
    if csv[:200].lstrip()[:1] == b"<":
        raise UnexpectedReply("a web page came instead of the instrument dump")
    try:
        dump = pl.read_csv(csv, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise UnexpectedReply(f"the instrument dump cannot be read as CSV: {error}") from None
    if missing := [name for name in _COLUMNS if name not in dump.columns]:
        raise UnexpectedReply(f"the instrument dump lacks the columns {', '.join(missing)}")
    dump = dump.select(_COLUMNS)
    incomplete = dump.filter(pl.any_horizontal(pl.col(_NEVER_EMPTY).is_null()))
    if len(incomplete):
        raise UnexpectedReply(f"{len(incomplete)} rows of the instrument dump are incomplete")
    return dump


def _normalised(dump: pl.DataFrame) -> pl.DataFrame:
    is_index = pl.col("segment") == "INDICES"  # their instrument_type says EQ
    is_option = pl.col("instrument_type").is_in([Kind.CE, Kind.PE])
    is_derivative = is_option | (pl.col("instrument_type") == Kind.FUT)
    segment = pl.col("exchange").replace_strict(_SEGMENT_BY_EXCHANGE, default=None)
    columns = {
        "token": pl.col("instrument_token"),
        "broker_symbol": pl.col("tradingsymbol"),
        "exchange": pl.col("exchange"),
        "segment": pl.when(is_index).then(pl.lit(Segment.INDEX.value)).otherwise(segment),
        "exchange_token": pl.col("exchange_token"),
        "symbol": pl.col("tradingsymbol"),
        "name": pl.col("name"),
        "kind": pl.when(is_index).then(pl.lit(Kind.INDEX.value)).otherwise("instrument_type"),
        "underlying": pl.when(is_derivative).then("name"),
        "expiry": pl.col("expiry").str.to_date("%Y-%m-%d"),
        "strike": pl.when(is_option).then(pl.col("strike").cast(pl.Float64)),
        "lot_size": pl.when(~is_index).then(pl.col("lot_size").cast(pl.Float64)),
        "tick_size": pl.when(~is_index).then(pl.col("tick_size").cast(pl.Float64)),
    }
    return dump.select(**columns).cast(INSTRUMENT_SCHEMA)  # type: ignore[arg-type]


def _log_left_out(dump: pl.DataFrame, known: pl.DataFrame, unique: pl.DataFrame) -> None:
    if len(known) < len(dump):
        unknown = dump.filter(~pl.col("exchange").is_in(list(_SEGMENT_BY_EXCHANGE)))
        names = ", ".join(sorted(unknown["exchange"].unique())) or "unknown instrument types"
        log.info("%d instruments left out (%s)", len(dump) - len(known), names)
    if len(unique) < len(known):
        log.warning("%d rows repeat a token; the first was kept", len(known) - len(unique))


def parse_candles(payload: Any, has_volume: bool = True) -> pl.DataFrame:
    """Read the `data` of a historical reply into the columns of CANDLE_SCHEMA.

    Sorted by time; of candles with the same time the last is taken.

    Raises:
        UnexpectedReply: the payload is not a list of candles of six or seven elements.
    """
    try:
        frame = pl.DataFrame(_candle_columns(payload["candles"], has_volume))
    except (KeyError, TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        reason = str(error).split("\n")[0][:_LONGEST_QUOTE]
        raise UnexpectedReply(f"a candle is not in the expected form: {reason}") from None
    return frame.unique("time", keep="last", maintain_order=True).sort("time")


def _candle_columns(rows: Any, has_volume: bool) -> list[pl.Series]:
    if not isinstance(rows, list):
        raise TypeError(f"candles are no list but {type(rows).__name__}")
    lengths = set(map(len, rows))
    if wrong := lengths - {6, 7}:
        raise ValueError(f"{min(wrong)} elements instead of 6 or 7")
    if len(lengths) == 2:
        rows = [row if len(row) == 7 else [*row, None] for row in rows]
    values = list(zip(*rows, strict=True)) or [()] * 7
    times = pl.Series("time", values[0], pl.String)
    if times.null_count():
        raise ValueError("there is no time")
    prices = [
        _numbers(name, values[place], times)
        for place, name in enumerate(("open", "high", "low", "close"), start=1)
    ]
    volume = _whole(_numbers("volume", values[5], times))
    interest = values[6] if len(values) == 7 else [None] * len(rows)
    return [
        times.str.to_datetime(_CANDLE_TIME, time_unit="us"),
        *prices,
        volume if has_volume else volume.clear(len(rows)),
        _whole(_numbers("open_interest", interest, times, may_be_absent=True)),
    ]


def _numbers(
    name: str, values: Sequence[Any], times: pl.Series, may_be_absent: bool = False
) -> pl.Series:
    """Put numbers, which come as integers and decimals mixed, into one column of Float64."""
    numbers = pl.Series(name, values, pl.Float64)
    wrong = ~numbers.is_finite().fill_null(may_be_absent)
    if wrong.any():
        row = wrong.arg_max() or 0
        raise ValueError(f"{name} is {values[row]} at {times[row]}")
    return numbers


def _whole(numbers: pl.Series) -> pl.Series:
    whole = numbers.cast(pl.Int64)
    if (fractions := numbers.filter(whole != numbers)).len():
        raise ValueError(f"{numbers.name} is {fractions[0]}, which is no whole number")
    return whole


def broker_error(
    error: Exception, status: int | None, retry_after: str | None = None
) -> BrokerError:
    """Say in our terms what kiteconnect or requests raised.

    `status` is the HTTP status of the reply, None without one, and `retry_after` a header of it.
    The status decides, because the SDK loses it: an HTML page of any status becomes a DataException
    "502", a JSON error without error_type a TypeError, a reply without a content type a KeyError.
    The broker's words are quoted only where they are a message, cut and without tokens; a page or a
    body never is.
    """
    name = type(error).__name__
    if status is None and (isinstance(error, ValueError) or not isinstance(error, OSError)):
        return RequestRefused(f"the request could not be made ({name})")
    if status is None or isinstance(error, OSError):  # requests' exceptions are OSErrors
        return BrokerUnavailable(f"the broker did not answer ({name})")
    kind = _error_kind(name, status)
    message = f"the broker answered HTTP {status}{_quoted(error, name)}"
    return RateLimited(message, _seconds(retry_after)) if kind is RateLimited else kind(message)


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After header; the other form it may have, a date, is passed over."""
    return float(retry_after) if retry_after and retry_after.strip().isdecimal() else None


def _error_kind(name: str, status: int) -> type[BrokerError]:
    if name == "TokenException":
        return TokenExpired
    if status == 429:
        return RateLimited
    if status >= 500 or name == "NetworkException":
        return BrokerUnavailable
    if status >= 400 or name in ("InputException", "PermissionException"):
        return RequestRefused
    return UnexpectedReply


def _quoted(error: Exception, name: str) -> str:
    if not name.endswith("Exception") or name == "DataException":
        return f" in an unexpected form ({name})"
    words = _AUTHORIZATION.sub(r"\1***", str(error))
    return f": {words[:_LONGEST_QUOTE]}"
