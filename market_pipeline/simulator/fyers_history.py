"""What is asked of Fyers' /history, and the JSON of candles."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from market_pipeline.market import Columns
from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator.exchange import DAY_MINUTES
from market_pipeline.simulator.fyers_accounts import Refused

_INTRADAY = ("1", "2", "3", "5", "10", "15", "20", "30", "60", "120", "240")
_DAILY = ("D", "1D", "Day")
_MOST_DAYS, _MOST_DAYS_OF_DAILY = 100, 366
_IST_SECONDS = 19_800


class Span(NamedTuple):
    """Which candles are asked for; times in seconds since 1970, both of candles that are meant."""

    ticker: str
    minutes: int
    start: int
    end: int
    with_interest: bool


def span(query: Mapping[str, str]) -> Span:
    """Read a request for candles.

    Raises:
        Refused: something is missing, unknown, or more than is given at once.
    """
    resolution = query.get("resolution", "")
    if resolution not in _INTRADAY + _DAILY:
        raise _invalid("resolution")
    minutes = DAY_MINUTES if resolution in _DAILY else int(resolution)
    start, end = (_instant(query, name) for name in ("range_from", "range_to"))
    if query.get("date_format") == "1":
        end += timedelta(days=1, seconds=-1)  # both days are meant whole
    most = _MOST_DAYS_OF_DAILY if minutes == DAY_MINUTES else _MOST_DAYS
    if end < start:
        raise _invalid("range_from")
    if end - start > timedelta(days=most):
        raise Refused(400, -50, f"Invalid input: at most {most} days are given at once")
    if minutes == DAY_MINUTES:
        start, end = start.replace(hour=0, minute=0), end.replace(hour=23, minute=59)
    edges = (int(start.timestamp()), int(end.timestamp()))
    return Span(query.get("symbol", ""), minutes, *edges, query.get("oi_flag") == "1")


def _instant(query: Mapping[str, str], name: str) -> datetime:
    text, form = query.get(name, ""), query.get("date_format")
    try:
        if form == "0":
            return datetime.fromtimestamp(int(text), EXCHANGE_TZ)
        if form == "1":
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=EXCHANGE_TZ)
    except (ValueError, OverflowError) as error:
        raise _invalid(name) from error
    raise _invalid("date_format")


def _invalid(name: str) -> Refused:
    return Refused(400, -50, f"Invalid input: {name}")


def body(candles: Columns, minutes: int, with_interest: bool) -> str:
    """Write candles as Fyers does: epochs, and a status of its own when there are none.

    The epoch of a day's candle is midnight in UTC, as in the vendor's documentation.
    """
    if not len(candles["time"]):
        return '{"candles":[],"code":200,"message":"","s":"no_data"}'
    stamps = candles["time"] + (_IST_SECONDS if minutes == DAY_MINUTES else 0)
    columns = ["time", "open", "high", "low", "close", "volume"]
    columns += ["open_interest"] * with_interest
    # Polars writes the rows, which keeps no other thread waiting meanwhile.
    row = pl.format(f"[{','.join(['{}'] * len(columns))}]", *columns)
    rows = pl.DataFrame({**candles, "time": stamps}).select(row.str.join(",")).item()
    return f'{{"candles":[{rows}],"code":200,"message":"","s":"ok"}}'
