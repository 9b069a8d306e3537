"""Candles as the simulated Fyers gives them."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import requests

from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator.fyers_server import RunningFyers
from market_pipeline_tests.fyers_simulator_cases import SBIN_TOKEN, Api
from market_pipeline_tests.fyers_simulator_cases import api as api
from market_pipeline_tests.fyers_simulator_cases import clear_faults as clear_faults
from market_pipeline_tests.fyers_simulator_cases import simulator as simulator

pytestmark = pytest.mark.timeout(60)

TICKER, DAY = "NSE:SBIN-EQ", timedelta(days=1)


def today(simulator: RunningFyers) -> datetime:
    now = datetime.fromtimestamp(simulator.server.clock.now(), EXCHANGE_TZ)
    return now.replace(hour=0, minute=0, second=0)


def query(start: datetime, end: datetime, resolution: str = "1", **more: object) -> dict[str, Any]:
    """Write a request for candles, times as epochs."""
    return {
        "symbol": TICKER,
        "resolution": resolution,
        "date_format": 0,
        "range_from": int(start.timestamp()),
        "range_to": int(end.timestamp()),
        **more,
    }


def days(start: datetime, end: datetime, resolution: str = "1") -> dict[str, Any]:
    """Write a request for candles, times as dates."""
    dates = {"range_from": f"{start:%Y-%m-%d}", "range_to": f"{end:%Y-%m-%d}"}
    return query(start, end, resolution) | dates | {"date_format": 1}


def test_candles_are_those_of_the_exchange(simulator: RunningFyers, api: Api) -> None:
    start = today(simulator) - DAY
    answer = api.get("/data/history", **query(start, start + timedelta(minutes=9)))
    exchange = simulator.server.exchange
    token = exchange.listing.securities[exchange.listing.row_by_name["NSE:SBIN"]].token
    edges = (int(start.timestamp()), int(start.timestamp()) + 540)
    truth = exchange.candles(token, 1, *edges, simulator.server.clock.now())
    names = ("time", "open", "high", "low", "close", "volume")
    assert answer["s"] == "ok"
    assert answer["candles"] == [list(row) for row in zip(*(truth[n] for n in names), strict=True)]
    assert len(answer["candles"]) == 10


def test_dates_mean_whole_days(simulator: RunningFyers, api: Api) -> None:
    start = today(simulator) - 3 * DAY
    candles = api.get("/data/history", **days(start, start + DAY, "240"))["candles"]
    assert len(candles) == 12  # the simulated exchange never closes
    assert candles[0][0] == int(start.timestamp())


def test_a_days_candle_is_stamped_midnight_in_utc(simulator: RunningFyers, api: Api) -> None:
    start = today(simulator) - 2 * DAY
    candles = api.get("/data/history", **days(start, start + DAY, "D"))["candles"]
    stamps = [datetime.fromtimestamp(candle[0], EXCHANGE_TZ) for candle in candles]
    assert [stamp.date() for stamp in stamps] == [start.date(), (start + DAY).date()]
    assert {f"{stamp:%H:%M}" for stamp in stamps} == {"05:30"}


def test_open_interest_comes_when_it_is_asked_for(simulator: RunningFyers, api: Api) -> None:
    future = next(t for t in simulator.server.symbols.row_by_ticker if t.endswith("FUT"))
    start = today(simulator) - DAY
    asked = query(start, start + timedelta(minutes=1)) | {"symbol": future}
    assert {len(row) for row in api.get("/data/history", **asked)["candles"]} == {6}
    with_interest = api.get("/data/history", **asked, oi_flag=1)["candles"]
    assert all(row[6] > 0 for row in with_interest)


def test_the_running_candle_is_partial(simulator: RunningFyers, api: Api) -> None:
    now = datetime.fromtimestamp(simulator.server.clock.now(), EXCHANGE_TZ)
    candles = api.get("/data/history", **query(now - 2 * DAY, now, "D"))["candles"]
    assert candles[-1][5] < candles[-2][5]


def test_a_range_without_candles_has_a_status_of_its_own(simulator: RunningFyers, api: Api) -> None:
    start = today(simulator) + 2 * DAY
    answer = api.get("/data/history", **query(start, start + DAY))
    assert (answer["s"], answer["candles"]) == ("no_data", [])


@pytest.mark.parametrize(("resolution", "most"), [("1", 100), ("240", 100), ("D", 366)])
def test_longer_ranges_are_refused(
    simulator: RunningFyers, api: Api, resolution: str, most: int
) -> None:
    end = today(simulator)
    short = days(end - (most - 1) * DAY, end, resolution) | {"symbol": "NSE:NIFTY100-INDEX"}
    long = days(end - most * DAY, end, resolution)
    assert api.get("/data/history", **short)["s"] in ("ok", "no_data")
    answer = api.ask("/data/history", **long)
    assert (answer.status_code, answer.json()["code"]) == (400, -50)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"symbol": "NSE:NOBODY-EQ"}, -300),
        ({"resolution": "7"}, -50),
        ({"date_format": 2}, -50),
        ({"range_from": "yesterday"}, -50),
        ({"range_from": 10**30}, -50),
        ({"range_to": 0}, -50),
    ],
)
def test_senseless_requests_are_refused_with_a_code(
    simulator: RunningFyers, api: Api, changed: dict[str, Any], code: int
) -> None:
    asked = query(today(simulator) - DAY, today(simulator)) | changed
    answer = api.ask("/data/history", **asked)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_what_was_asked_is_counted_by_token_and_range(simulator: RunningFyers, api: Api) -> None:
    simulator.server.requests.clear()
    asked = query(today(simulator) - DAY, today(simulator) - DAY)
    api.get("/data/history", **asked)
    edges = (str(asked["range_from"]), str(asked["range_to"]))
    assert simulator.server.requests.history == {(SBIN_TOKEN, "1", *edges): 1}


@pytest.mark.parametrize("status", [502, 504])
def test_requests_can_fail_with_html(simulator: RunningFyers, api: Api, status: int) -> None:
    simulator.fault("fail_history", count=1, status=status)
    asked = query(today(simulator) - DAY, today(simulator) - DAY)
    answers = [api.ask("/data/history", **asked) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status, 200]


def test_requests_can_fail_with_json_or_without_a_word(simulator: RunningFyers, api: Api) -> None:
    asked = query(today(simulator) - DAY, today(simulator) - DAY)
    simulator.fault("fail_history", status=500)
    assert api.get("/data/history", **asked)["s"] == "error"
    simulator.fault("fail_history", status=None)
    assert api.ask("/data/history", **asked).content == b""


def test_an_answer_can_end_in_the_middle(simulator: RunningFyers, api: Api) -> None:
    simulator.fault("corrupt_history")
    asked = query(today(simulator) - DAY, today(simulator) - DAY)
    with pytest.raises(requests.JSONDecodeError):
        api.get("/data/history", **asked)


def test_an_instrument_can_be_without_candles(simulator: RunningFyers, api: Api) -> None:
    simulator.fault("empty_history", tokens=[SBIN_TOKEN])
    asked = query(today(simulator) - DAY, today(simulator))
    assert api.get("/data/history", **asked)["s"] == "no_data"
