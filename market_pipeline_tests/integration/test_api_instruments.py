"""Instruments over the API: listed, searched, shown; subscribed and unsubscribed."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from market_pipeline.storage.database import Database
from market_pipeline_tests.api_cases import client as client
from market_pipeline_tests.api_cases import day as day
from market_pipeline_tests.api_cases import problem, serving, settings_of
from market_pipeline_tests.dagster_cases import rows, run_sql
from market_pipeline_tests.history_days import NAMES, Day
from market_pipeline_tests.instrument_cases import equity, sync

pytestmark = [pytest.mark.needs_real_server]


def listed(client: httpx.Client, **parameters: Any) -> list[dict[str, Any]]:
    reply = client.get("/api/instruments", params=parameters)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["instruments"]
    return found


def names(found: list[dict[str, Any]]) -> list[str]:
    return [f"{each['exchange']}:{each['symbol']}" for each in found]


def subscribed(client: httpx.Client, **parameters: Any) -> dict[str, dict[str, Any]]:
    reply = client.get("/api/instruments/subscriptions/list", params=parameters)
    found = reply.json()["subscriptions"]
    return {f"{each['exchange']}:{each['symbol']}": each for each in found}


def test_pages_hold_each_instrument_once(client: httpx.Client, day: Day) -> None:
    found: list[dict[str, Any]] = []
    url: str | None = "/api/instruments?limit=7"
    while url:
        reply = client.get(url)
        assert len(reply.json()["instruments"]) <= 7
        found += reply.json()["instruments"]
        url = reply.links.get("next", {}).get("url")
        assert (reply.json()["next_cursor"] is None) == (url is None)
    (total,) = rows(day.database, "SELECT count(*) AS n FROM instruments")
    assert len({each["instrument_id"] for each in found}) == len(found) == total["n"]


def test_a_filter_leaves_what_it_says(client: httpx.Client) -> None:
    futures = listed(client, exchange="NFO", kind="FUT", underlying="nifty")
    assert futures
    assert {(each["kind"], each["underlying"]) for each in futures} == {("FUT", "NIFTY")}
    expiry = futures[0]["expiry"]
    assert {each["expiry"] for each in listed(client, expiry=expiry)} == {expiry}
    assert {each["segment"] for each in listed(client, segment="INDEX")} == {"INDEX"}


def test_a_cursor_of_other_filters_is_refused(client: httpx.Client) -> None:
    cursor = client.get("/api/instruments?limit=1").json()["next_cursor"]
    reply = client.get("/api/instruments", params={"cursor": cursor, "exchange": "NSE"})
    assert "Begin again without one" in problem(reply, 400, "bad-cursor")["detail"]


def test_a_limit_that_is_too_large_is_refused_with_the_way_to_the_rest(
    client: httpx.Client,
) -> None:
    (wrong,) = problem(client.get("/api/instruments?limit=5001"), 422, "invalid")["errors"]
    assert wrong["where"] == "query.limit"
    assert "less than or equal to 5000; for more follow next_cursor" in wrong["message"]


def test_search_finds_what_a_trader_means(client: httpx.Client) -> None:
    found = client.get("/api/instruments/search", params={"q": "nifty dec fut", "limit": 1}).json()
    assert names(found["instruments"]) == ["NFO:NIFTY26DECFUT"]
    first = client.get("/api/instruments/search", params={"q": "reliance"}).json()["instruments"][0]
    assert names([first]) == ["NSE:RELIANCE"]


def test_what_the_second_broker_alone_offers_is_listed_and_found(
    database: Database, tmp_path: Path
) -> None:
    sync(database, equity(257, "INFY"))
    others = [equity(1, "INFY", exchange_token="1"), equity(2, "SBIN", exchange_token="3")]
    sync(database, *others, broker="fyers")
    with serving(settings_of(database, tmp_path, broker="kite,fyers")) as client:
        tokens = {each["symbol"]: each["token"] for each in listed(client)}
        assert tokens == {"INFY": 257, "SBIN": 2}
        found = client.get("/api/instruments/search", params={"q": "sbin"}).json()["instruments"]
        assert [(each["symbol"], each["token"]) for each in found] == [("SBIN", 2)]


def test_search_says_that_there_is_more_and_that_words_were_mistyped(client: httpx.Client) -> None:
    assert client.get("/api/instruments/search?q=nifty&limit=1").json()["has_more"]
    found = client.get("/api/instruments/search?q=relianse").json()
    assert found["is_similar"]
    assert not found["has_more"]
    assert "NSE:RELIANCE" in names(found["instruments"])


@pytest.mark.parametrize("name", ["NSE:RELIANCE", "nse:reliance", "RELIANCE", "738561"])
def test_an_instrument_is_found_by_name_and_by_token(client: httpx.Client, name: str) -> None:
    found = client.get(f"/api/instruments/{name}").json()
    assert (found["symbol"], found["token"], found["kind"]) == ("RELIANCE", 738561, "EQ")
    assert found["tokens"][0]["broker"] == "simulator"
    assert found["history"][-1]["symbol"] == "RELIANCE"


def test_an_instrument_is_found_by_our_id_which_no_token_is(client: httpx.Client, day: Day) -> None:
    known = day.ids["NSE:SBIN"]
    assert client.get(f"/api/instruments/id:{known}").json()["symbol"] == "SBIN"
    problem(client.get(f"/api/instruments/{known}"), 404, "unknown-instrument")
    reply = client.get(f"/api/instruments/id:{'9' * 30}")
    assert "no instrument with the id" in problem(reply, 404, "unknown-instrument")["detail"]


def test_an_unknown_name_is_answered_with_what_is_similar(client: httpx.Client) -> None:
    reply = client.get("/api/instruments/NSE:RELIANCF")
    assert "did you mean NSE:RELIANCE?" in problem(reply, 404, "unknown-instrument")["detail"]


def test_subscribing_again_changes_nothing_but_the_mode(client: httpx.Client) -> None:
    first = client.post("/api/instruments/subscribe", json={"tokens": [2953217]}).json()
    (made,) = first["subscriptions"]
    assert (made["symbol"], made["mode"], made["is_active"]) == ("TCS", "full", True)
    order = {"names": ["NSE:TCS"], "mode": "ltp"}
    second = client.post("/api/instruments/subscribe", json=order).json()
    assert second["subscriptions"] == [made | {"mode": "ltp"}]
    assert subscribed(client)["NSE:TCS"]["mode"] == "ltp"


def test_unsubscribing_is_remembered_and_doing_it_again_changes_nothing(
    client: httpx.Client,
) -> None:
    order = {"names": ["NSE:WIPRO"]}
    client.post("/api/instruments/subscribe", json=order)
    first = client.post("/api/instruments/unsubscribe", json=order).json()
    assert not first["subscriptions"][0]["is_active"]
    assert client.post("/api/instruments/unsubscribe", json=order).json() == first
    assert "NSE:WIPRO" not in subscribed(client)
    assert not subscribed(client, ended=True)["NSE:WIPRO"]["is_active"]


def test_what_was_never_subscribed_can_be_unsubscribed(client: httpx.Client) -> None:
    reply = client.post("/api/instruments/unsubscribe", json={"names": ["NSE:HDFCBANK"]})
    (found,) = reply.json()["subscriptions"]
    assert (found["is_active"], found["since"], found["mode"]) == (False, None, None)


def test_one_unknown_name_and_nothing_is_subscribed(client: httpx.Client) -> None:
    order = {"names": ["NSE:HDFCBANK", "NSE:NOSUCH"]}
    reply = client.post("/api/instruments/subscribe", json=order)
    assert "NSE:NOSUCH" in problem(reply, 404, "unknown-instrument")["detail"]
    assert "NSE:HDFCBANK" not in subscribed(client)


def test_naming_nothing_is_refused(client: httpx.Client) -> None:
    reply = client.post("/api/instruments/subscribe", json={"mode": "ltp"})
    assert "name at least one instrument" in problem(reply, 422, "invalid")["detail"]


def test_a_field_that_does_not_exist_is_refused_by_name(client: httpx.Client) -> None:
    reply = client.post("/api/instruments/subscribe", json={"token": [2953217]})
    assert problem(reply, 422, "invalid")["errors"][0]["where"] == "body.token"


def test_subscriptions_come_in_pages(client: httpx.Client) -> None:
    first = client.get("/api/instruments/subscriptions/list?limit=2")
    rest = client.get(first.links["next"]["url"]).json()["subscriptions"]
    both = [each["instrument_id"] for each in first.json()["subscriptions"] + rest]
    assert len(both) > 2
    assert len(set(both)) == len(both)
    assert set(NAMES) <= set(subscribed(client))


def test_what_the_standby_alone_offers_is_found_by_its_name(
    database: Database, tmp_path: Path
) -> None:
    run_sql(
        database,
        "INSERT INTO instruments (exchange, segment, exchange_token, symbol, name, kind)"
        " VALUES ('NSE', 'CM', '77', 'ALONE', 'Alone', 'EQ')",
        "INSERT INTO broker_instruments (broker, token, broker_symbol, instrument_id)"
        " SELECT 'fyers_simulator', 770077, 'NSE:ALONE-EQ', instrument_id FROM instruments"
        " WHERE symbol = 'ALONE'",
    )
    alone = settings_of(database, tmp_path)
    both = settings_of(database, tmp_path, broker="simulator,fyers_simulator")
    with serving(alone) as client:
        problem(client.get("/api/instruments/NSE:ALONE"), 404, "unknown-instrument")
    with serving(both) as client:
        assert client.get("/api/instruments/NSE:ALONE").json()["symbol"] == "ALONE"
        reply = client.post("/api/instruments/subscribe", json={"names": ["NSE:ALONE"]})
        assert reply.status_code == 200, reply.text
