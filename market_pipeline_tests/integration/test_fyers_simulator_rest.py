"""The simulated Fyers' REST interface: logins, quotes, masters, tokens, limits and faults."""

import base64
import csv
import hashlib
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import requests

from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator.fyers_server import RunningFyers, SimulatorOptions, running
from market_pipeline_tests.fyers_simulator_cases import Api, auth_code
from market_pipeline_tests.fyers_simulator_cases import api as api
from market_pipeline_tests.fyers_simulator_cases import clear_faults as clear_faults
from market_pipeline_tests.fyers_simulator_cases import simulator as simulator

pytestmark = pytest.mark.timeout(60)

TICKER, INDEX = "NSE:SBIN-EQ", "NSE:NIFTY50-INDEX"


def new_token(simulator: RunningFyers, code: str, secret: str = "simulator") -> dict[str, Any]:
    app_id_hash = hashlib.sha256(f"simulator:{secret}".encode()).hexdigest()
    body = {"grant_type": "authorization_code", "appIdHash": app_id_hash, "code": code}
    url = f"{simulator.url}/api/v3/validate-authcode"
    answer: dict[str, Any] = requests.post(url, json=body, timeout=5).json()
    return answer


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==="))
    return claims


def master(simulator: RunningFyers, name: str) -> list[list[str]]:
    answer = requests.get(f"{simulator.url}/sym_details/{name}.csv", timeout=5)
    assert answer.headers["Content-Type"].startswith("text/csv")
    return list(csv.reader(io.StringIO(answer.text)))


# Login


def test_a_login_gives_a_token_that_is_taken(simulator: RunningFyers) -> None:
    token = new_token(simulator, auth_code(simulator))["access_token"]
    assert Api(simulator, token).get("/api/v3/profile")["data"]["fy_id"] == "SIM001"


def test_a_token_says_when_it_expires_and_what_opens_the_data_socket(
    simulator: RunningFyers,
) -> None:
    claims = claims_of(new_token(simulator, auth_code(simulator))["access_token"])
    assert claims["hsm_key"] == simulator.server.accounts.hsm_key
    assert time.time() < claims["exp"] <= time.time() + 25 * 3600
    assert f"{datetime.fromtimestamp(claims['exp'], EXCHANGE_TZ):%H:%M}" == "06:00"


def test_a_code_is_taken_once(simulator: RunningFyers) -> None:
    code = auth_code(simulator)
    assert new_token(simulator, code)["s"] == "ok"
    assert new_token(simulator, code)["code"] == -50


def test_a_wrong_secret_gives_no_token(simulator: RunningFyers) -> None:
    assert new_token(simulator, auth_code(simulator), "other")["code"] == -50


@pytest.mark.parametrize(
    ("token", "code"), [("", -16), ("nonsense", -15), ("a.b.c", -15), ("é.é.é", -15)]
)
def test_a_wrong_token_is_refused_with_its_code(
    simulator: RunningFyers, token: str, code: int
) -> None:
    api = Api(simulator, token.encode().decode("latin-1"))
    answer = api.ask("/api/v3/profile")
    assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_the_key_of_another_application_is_refused(simulator: RunningFyers, api: Api) -> None:
    headers = {"Authorization": f"other:{api.token}"}
    answer = requests.get(f"{simulator.url}/api/v3/profile", headers=headers, timeout=5)
    assert answer.json()["code"] == -352


def test_an_expired_token_is_refused_and_a_new_one_taken(simulator: RunningFyers, api: Api) -> None:
    simulator.fault("expire_tokens")
    assert api.get("/api/v3/profile")["code"] == -8
    assert Api(simulator).get("/api/v3/profile")["s"] == "ok"


# Quotes, depth, market status


def test_a_quote_agrees_with_the_exchange(simulator: RunningFyers, api: Api) -> None:
    exchange, began = simulator.server.exchange, simulator.server.clock.now()
    found = api.get("/data/quotes", symbols=f"{TICKER},{INDEX},NSE:NOBODY-EQ")["d"]
    assert [each["n"] for each in found] == [TICKER, INDEX, "NSE:NOBODY-EQ"]
    assert [each["s"] for each in found] == ["ok", "ok", "error"]
    values = found[0]["v"]
    token = exchange.listing.securities[exchange.listing.row_by_name["NSE:SBIN"]].token
    seconds = range(began, simulator.server.clock.now() + 1)
    packets = [exchange.snapshot(np.array([token]), second) for second in seconds]
    told = (values["lp"], values["volume"])
    assert told in [(each["last_price"][0], each["day_volume"][0]) for each in packets]
    assert datetime.fromtimestamp(int(values["tt"]), UTC) == datetime(2026, 11, 24, tzinfo=UTC)
    assert values["fyToken"] == "10100000003045"
    assert found[1]["v"]["volume"] == 0


def test_more_than_fifty_quotes_are_refused(api: Api) -> None:
    symbols = ",".join(f"NSE:{number}-EQ" for number in range(51))
    assert api.get("/data/quotes", symbols=symbols)["code"] == -50


def test_depth_has_five_levels_and_open_interest(simulator: RunningFyers, api: Api) -> None:
    future = next(row[9] for row in master(simulator, "NSE_FO") if row[9].endswith("FUT"))
    depth = api.get("/data/depth", symbol=future, ohlcv_flag=1)["d"][future]
    assert len(depth["bids"]) == len(depth["ask"]) == 5
    assert depth["oi"] > 0
    assert depth["l"] <= depth["ltp"] <= depth["h"]
    assert depth["oiflag"]


def test_depth_of_an_unknown_symbol_is_refused(api: Api) -> None:
    assert api.get("/data/depth", symbol="NSE:NOBODY-EQ")["code"] == -300


def test_markets_are_open_when_the_exchange_is(api: Api) -> None:
    states = api.get("/data/marketStatus")["marketStatus"]
    assert {(state["exchange"], state["segment"]) for state in states} >= {(10, 10), (11, 20)}
    assert {state["status"] for state in states} == {"OPEN"}


# Masters and tokens


def test_masters_have_twenty_one_columns_and_no_header(simulator: RunningFyers) -> None:
    for name in ("NSE_CM", "NSE_FO", "NSE_CD", "MCX_COM"):
        rows = master(simulator, name)
        assert {len(row) for row in rows} == {21}
        assert all(row[0].startswith(row[10] + row[11]) for row in rows)
        assert all(row[0][10:] == row[12] for row in rows)
    assert master(simulator, "BSE_CM") == []


def test_an_unlisted_master_is_not_found(simulator: RunningFyers) -> None:
    answer = requests.get(f"{simulator.url}/sym_details/NSE_XX.csv", timeout=5)
    assert (answer.status_code, answer.json()["s"]) == (404, "error")


def test_exchange_tokens_of_all_but_indices_are_those_at_kite(simulator: RunningFyers) -> None:
    at_kite = {
        (security.exchange, str(security.token >> 8), security.symbol)
        for security in simulator.server.exchange.listing.securities
        if security.segment != "INDICES"
    }
    exchanges = {"NSE_CM": "NSE", "NSE_FO": "NFO", "NSE_CD": "CDS", "MCX_COM": "MCX"}
    here = {
        (exchange, row[12], row[9].partition(":")[2].removesuffix("-EQ"))
        for name, exchange in exchanges.items()
        for row in master(simulator, name)
        if not row[9].endswith("-INDEX")
    }
    assert here == at_kite


def test_contracts_say_when_they_expire_and_what_they_are_written_on(
    simulator: RunningFyers,
) -> None:
    option = next(row for row in master(simulator, "NSE_FO") if row[16] == "CE")
    expiry = datetime.fromtimestamp(int(option[8]), EXCHANGE_TZ)
    assert option[0][4:10] == f"{expiry:%y%m%d}"
    assert (option[13], option[17]) == ("NIFTY", "101000000026000")
    assert float(option[15]) > 0
    equity = next(row for row in master(simulator, "NSE_CM") if row[9] == TICKER)
    assert equity[:1] + equity[8:9] + equity[15:17] == ["10100000003045", "", "-1.0", "XX"]


def test_every_index_has_its_name_in_the_mapping(simulator: RunningFyers) -> None:
    url = f"{simulator.url}/sym_details/index_hsm_mapping.json"
    mapping = requests.get(url, timeout=5).json()
    indices = [row[9] for row in master(simulator, "NSE_CM") if row[9].endswith("-INDEX")]
    assert list(mapping) == indices
    assert mapping[INDEX] == "Nifty 50"


def test_symbols_are_turned_into_tokens(api: Api) -> None:
    answer = api.symbol_token([TICKER, "NSE:NOBODY-EQ", INDEX]).json()
    assert answer["validSymbol"] == {TICKER: "10100000003045", INDEX: "101000000026000"}
    assert answer["invalidSymbol"] == ["NSE:NOBODY-EQ"]


@pytest.mark.parametrize("symbols", [["NSE:SBIN-EQ"] * 501, "NSE:SBIN-EQ", None])
def test_too_many_or_senseless_symbols_are_refused(api: Api, symbols: object) -> None:
    answer = api.symbol_token(symbols)
    assert (answer.status_code, answer.json()["code"]) == (400, -50)


# Limits


@pytest.fixture
def limited() -> Iterator[Api]:
    with running(SimulatorOptions(port=0, instruments=10)) as simulator:
        api = Api(simulator)
        yield api
        api.session.close()


def test_an_eleventh_request_in_a_second_is_refused(limited: Api) -> None:
    answers = [limited.ask("/api/v3/profile") for _ in range(11)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused[0].json() == {
        "s": "error",
        "code": -429,
        "message": "API rate limit exceeded",
    }
    assert refused[0].headers["Retry-After"] == "1"


def test_requests_are_counted_by_kind(simulator: RunningFyers, api: Api) -> None:
    simulator.server.requests.clear()
    api.get("/data/quotes", symbols=TICKER)
    api.symbol_token([TICKER])
    status = requests.get(f"{simulator.url}/simulator/requests", timeout=5).json()
    assert status["accepted"] == {"quotes": 1, "symbol-token": 1}


# Faults


def test_an_outage_answers_with_a_page_of_html(simulator: RunningFyers, api: Api) -> None:
    simulator.fault("outage")
    answer = api.ask("/api/v3/profile")
    assert (answer.status_code, answer.headers["Content-Type"][:9]) == (502, "text/html")


def test_symbol_token_can_fail_alone(simulator: RunningFyers, api: Api) -> None:
    simulator.fault("symbol_token", status=503)
    answer = api.symbol_token([TICKER])
    assert (answer.status_code, answer.headers["Content-Type"][:9]) == (503, "text/html")
    assert api.get("/api/v3/profile")["s"] == "ok"
    simulator.fault("symbol_token", status=None)
    assert api.symbol_token([TICKER]).json()["s"] == "ok"


def test_throttling_says_for_how_long(simulator: RunningFyers, api: Api) -> None:
    simulator.fault("throttle", seconds=30)
    answer = api.ask("/api/v3/profile")
    assert (answer.status_code, answer.json()["code"]) == (429, -429)
    assert 28 <= int(answer.headers["Retry-After"]) <= 30


def test_an_unknown_fault_is_named_with_those_there_are(simulator: RunningFyers) -> None:
    answer = requests.post(f"{simulator.url}/simulator/faults/flood", timeout=5)
    assert answer.status_code == 400
    assert "symbol_token" in answer.json()["message"]


def test_an_unknown_route_is_answered_in_fyers_words(api: Api) -> None:
    assert api.get("/api/v3/nowhere")["s"] == "error"
