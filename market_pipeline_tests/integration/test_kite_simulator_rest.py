"""The simulated broker's REST side as the vendor's own, unmodified library sees it."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from kiteconnect import KiteConnect, exceptions

from market_pipeline.errors import PortInUse
from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions, running
from market_pipeline_tests.kite_simulator_cases import NIFTY, RELIANCE, log_in, request_token
from market_pipeline_tests.kite_simulator_cases import clear_faults as clear_faults
from market_pipeline_tests.kite_simulator_cases import kite as kite
from market_pipeline_tests.kite_simulator_cases import limited as limited
from market_pipeline_tests.kite_simulator_cases import simulator as simulator

pytestmark = pytest.mark.timeout(60)


def test_a_login_gives_a_token_that_works(kite: KiteConnect) -> None:
    assert kite.profile()["broker"] == "ZERODHA"


def test_a_request_token_can_be_used_once(simulator: RunningSimulator) -> None:
    kite, token = KiteConnect("simulator", root=simulator.url), request_token(simulator)
    kite.generate_session(token, "simulator")
    with pytest.raises(exceptions.TokenException):
        kite.generate_session(token, "simulator")


def test_a_wrong_secret_is_refused(simulator: RunningSimulator) -> None:
    kite = KiteConnect("simulator", root=simulator.url)
    with pytest.raises(exceptions.TokenException, match="checksum"):
        kite.generate_session(request_token(simulator), "wrong")


def test_an_expired_token_is_refused_until_the_next_login(
    kite: KiteConnect, simulator: RunningSimulator
) -> None:
    simulator.fault("expire_tokens")
    with pytest.raises(exceptions.TokenException) as refused:
        kite.profile()
    assert refused.value.code == 403
    kite.generate_session(request_token(simulator), "simulator")
    assert kite.profile()["user_id"]


def test_logging_out_ends_the_session(kite: KiteConnect) -> None:
    kite.invalidate_access_token()
    with pytest.raises(exceptions.TokenException):
        kite.profile()


def test_the_instrument_dump_is_public_and_complete(simulator: RunningSimulator) -> None:
    rows = {
        row["instrument_token"]: row
        for row in KiteConnect("simulator", root=simulator.url).instruments()
    }
    assert len(rows) == 200
    assert rows[RELIANCE]["tradingsymbol"] == "RELIANCE"
    assert rows[NIFTY]["segment"] == "INDICES"
    assert {row["instrument_type"] for row in rows.values()} == {"EQ", "FUT", "CE", "PE"}
    assert all(isinstance(r["expiry"], date) for r in rows.values() if r["exchange"] == "NFO")


def test_the_dump_of_one_exchange_holds_only_that(kite: KiteConnect) -> None:
    assert {row["exchange"] for row in kite.instruments("MCX")} == {"MCX"}


def test_history_has_a_row_for_each_minute_and_open_interest_on_request(kite: KiteConnect) -> None:
    token = kite.instruments("MCX")[0]["instrument_token"]
    yesterday = datetime.now(EXCHANGE_TZ).date() - timedelta(days=1)
    edges = (f"{yesterday} 00:00:00", f"{yesterday} 00:09:00")
    found = kite.historical_data(token, *edges, "minute", oi=True)
    assert len(found) == 10
    assert found[0]["date"].isoformat() == f"{yesterday}T00:00:00+05:30"
    assert found[0]["oi"] > 0


def test_asking_for_too_many_days_is_refused(kite: KiteConnect) -> None:
    with pytest.raises(exceptions.InputException, match="exceeds max limit: 60 days"):
        kite.historical_data(RELIANCE, "2026-01-01", "2026-03-31", "minute")


@pytest.mark.parametrize(
    ("token", "interval", "message"),
    [(1, "minute", "invalid token"), (RELIANCE, "7minute", "invalid interval")],
)
def test_what_does_not_exist_is_refused(
    kite: KiteConnect, token: int, interval: str, message: str
) -> None:
    with pytest.raises(exceptions.InputException, match=message):
        kite.historical_data(token, "2026-10-06", "2026-10-07", interval)


def test_a_day_is_whole_whatever_hours_were_asked_for(kite: KiteConnect) -> None:
    found = kite.historical_data(RELIANCE, "2026-10-05", "2026-10-06", "day")
    minutes = kite.historical_data(RELIANCE, "2026-10-06", "2026-10-06 23:59:00", "minute")
    assert [row["date"].day for row in found] == [5, 6]
    assert found[1]["volume"] == sum(row["volume"] for row in minutes)


def test_history_never_holds_the_future(kite: KiteConnect) -> None:
    assert kite.historical_data(RELIANCE, "2040-01-01", "2040-01-02", "minute") == []


def test_the_three_quotes_agree(kite: KiteConnect) -> None:
    name = "NSE:PAGEIND"
    full, ohlc, ltp = kite.quote(name)[name], kite.ohlc(name)[name], kite.ltp(name)[name]
    assert full["ohlc"]["open"] == ohlc["ohlc"]["open"]
    assert ltp.keys() == {"instrument_token", "last_price"}
    assert full["depth"]["buy"][0]["price"] < full["depth"]["sell"][0]["price"]


def test_quotes_are_named_as_they_were_asked_for(kite: KiteConnect) -> None:
    found = kite.ltp("NSE:RELIANCE", str(RELIANCE), "1")
    assert found["NSE:RELIANCE"] == found[str(RELIANCE)]
    assert found.keys() == {"NSE:RELIANCE", str(RELIANCE)}


def test_names_that_are_not_listed_are_left_out_of_quotes(kite: KiteConnect) -> None:
    assert kite.ltp("NSE:NOSUCH", "NSE:SBIN").keys() == {"NSE:SBIN"}


@pytest.mark.parametrize(
    ("calls", "ask"),
    [
        (4, lambda kite: kite.historical_data(RELIANCE, "2026-10-06", "2026-10-06", "minute")),
        (2, lambda kite: kite.ltp("NSE:RELIANCE")),
    ],
)
def test_asking_too_often_is_refused_with_429(
    limited: RunningSimulator, calls: int, ask: Callable[[KiteConnect], Any]
) -> None:
    kite = log_in(limited)
    with pytest.raises(exceptions.NetworkException, match="Too many requests") as refused:
        for _ in range(calls * 3):
            ask(kite)
    assert refused.value.code == 429
    kite.reqsession.close()


def test_an_outage_answers_with_a_page_of_html(
    simulator: RunningSimulator, kite: KiteConnect
) -> None:
    simulator.fault("outage")
    with pytest.raises(exceptions.DataException, match="text/html"):
        kite.profile()


def test_faults_can_be_switched_over_http(simulator: RunningSimulator, kite: KiteConnect) -> None:
    requests.post(f"{simulator.url}/simulator/faults/outage", json={"on": True}, timeout=5)
    with pytest.raises(exceptions.DataException):
        kite.profile()
    requests.post(f"{simulator.url}/simulator/faults/clear", timeout=5)
    assert kite.profile()


def test_an_unknown_fault_is_refused_with_the_list_of_faults(simulator: RunningSimulator) -> None:
    answer = requests.post(f"{simulator.url}/simulator/faults/nosuch", timeout=5)
    assert answer.status_code == 400
    assert "silence" in answer.json()["message"]


def test_a_port_in_use_is_named(simulator: RunningSimulator) -> None:
    port = urlsplit(simulator.url).port
    with pytest.raises(PortInUse, match=str(port)), running(SimulatorOptions(port=port or 0)):
        pass


# WebSocket
