"""Kite's historical replies, read without a network."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from market_pipeline.brokers.kite_rest import parse_candles
from market_pipeline.errors import UnexpectedReply
from market_pipeline.market import CANDLE_SCHEMA

DATA = Path(__file__).parents[2] / "../shared/data"


def sample(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path.resolve()} is not there")
    return path


def test_candles_come_out_in_utc_with_numbers_of_one_type() -> None:
    rows = [
        ["2026-10-05T09:15:00+0530", 100, 101.5, 99, 100.25, 1200],
        ["2026-10-05T09:16:00+0530", 100.5, 101, 99.5, 100, 1200.0],
    ]
    candles = parse_candles({"candles": rows})
    assert candles.schema == pl.Schema(CANDLE_SCHEMA)
    assert candles.rows() == [
        (datetime(2026, 10, 5, 3, 45, tzinfo=UTC), 100.0, 101.5, 99.0, 100.25, 1200, None),
        (datetime(2026, 10, 5, 3, 46, tzinfo=UTC), 100.5, 101.0, 99.5, 100.0, 1200, None),
    ]


def test_a_seventh_element_is_open_interest() -> None:
    rows = [
        ["2026-10-05T09:15:00+0530", 1, 1, 1, 1, 10, 13_667_775],
        ["2026-10-05T09:16:00+0530", 1, 1, 1, 1, 10],
    ]
    assert parse_candles({"candles": rows})["open_interest"].to_list() == [13_667_775, None]


def test_candles_are_sorted_by_time_and_the_last_of_each_time_is_taken() -> None:
    minutes = (17, 15, 16, 15)
    rows = [[f"2026-10-05T09:{at}:00+0530", 1, 1, 1, 1, i] for i, at in enumerate(minutes)]
    candles = parse_candles({"candles": rows})
    assert candles["time"].dt.minute().to_list() == [45, 46, 47]
    assert candles["volume"].to_list() == [3, 2, 0]


def test_an_index_candle_has_no_volume() -> None:
    rows = [["2026-10-05T09:15:00+0530", 1, 1, 1, 1, 0]]
    assert parse_candles({"candles": rows}, has_volume=False)["volume"].to_list() == [None]


@pytest.mark.parametrize("has_volume", [True, False])
def test_no_candles_are_no_error(has_volume: bool) -> None:
    candles = parse_candles({"candles": []}, has_volume)
    assert candles.schema == pl.Schema(CANDLE_SCHEMA)
    assert candles.is_empty()


AT = "2026-10-05T09:15:00+0530"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param(None, "not subscriptable", id="nothing"),
        pytest.param({"bars": []}, "candles", id="another key"),
        pytest.param({"candles": {}}, "no list but dict", id="no list"),
        pytest.param({"candles": [5]}, "int", id="a number"),
        pytest.param({"candles": [[AT, 1, 1, 1]]}, "4 elements", id="too few elements"),
        pytest.param({"candles": [[AT[:19], 1, 1, 1, 1, 1]]}, AT[:19], id="no time zone"),
        pytest.param({"candles": [["today", 1, 1, 1, 1, 1]]}, "today", id="no time"),
        pytest.param({"candles": [[None, 1, 1, 1, 1, 1]]}, "no time", id="time missing"),
        pytest.param({"candles": [[AT, 1, None, 1, 1, 1]]}, f"high is None at {AT}", id="null"),
        pytest.param({"candles": [[AT, 1, 1, "x", 1, 1]]}, "x", id="no price"),
        pytest.param({"candles": [[AT, 1, 1, 1, 10**400, 1]]}, "too large", id="too large"),
        pytest.param({"candles": [[AT, 1, 1, 1, 1, 1.5]]}, "volume is 1.5", id="half a share"),
        pytest.param({"candles": [[AT, 1, 1, 1, 1, 1, 1e300]]}, "open_interest", id="too much"),
    ],
)
def test_what_are_no_candles_is_refused_in_a_line(payload: Any, message: str) -> None:
    with pytest.raises(UnexpectedReply, match=re.escape(message)) as caught:
        parse_candles(payload)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("kiteconnect-mocks/historical_oi.json", 6),
        ("kiteconnect-mocks/historical_minute.json", 6),
        ("NIFTY26OCTFUT_5minute_2026-10-05.json", 77),
    ],
)
def test_a_real_historical_reply_parses_in_full(path: str, count: int) -> None:
    reply = json.loads(sample(path).read_text())
    candles = parse_candles(reply["data"])
    assert len(candles) == count
    assert candles.filter(pl.col("close").is_between("low", "high")).height == count
