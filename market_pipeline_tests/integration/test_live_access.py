"""Who may have live ticks."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from market_pipeline.storage.database import Database
from market_pipeline_tests.live_cases import Api, listening, running
from market_pipeline_tests.live_cases import api as api
from market_pipeline_tests.live_cases import hurried_feed as hurried_feed
from market_pipeline_tests.stream_cases import prepare

pytestmark = pytest.mark.needs_real_server("waits for notifications on a connection of its own")

KEY = "k" * 32


@pytest.fixture
def guarded(database: Database, hurried_feed: None) -> Iterator[Api]:
    prepare(database)
    with running(database, api_keys=f"charts:read:{KEY}") as opened:
        yield opened


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"X-API-Key": KEY}},
        {"additional_headers": {"Authorization": f"Bearer {KEY}"}},
        {"subprotocols": ["market-pipeline", f"key.{KEY}"]},
    ],
    ids=["header", "bearer", "sub-protocol"],
)
def test_a_key_opens_the_connection(guarded: Api, options: dict[str, Any]) -> None:
    with listening(guarded, **options) as client:
        assert client.subscribe("INFY")["instruments"]


def test_a_key_in_the_address_opens_it_and_stays_out_of_the_log(
    guarded: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with connect(f"{guarded.address}?api_key={KEY}"):
        pass
    assert "/api/ws/ticks" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("path", ["/api/ws/ticks/", "/api/ws/nothing"])
def test_nor_is_a_key_in_an_address_that_does_not_exist_in_the_log(
    guarded: Api, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    query = f"a=%20&api_key={KEY}&b=1"
    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{guarded.port}{path}?{query}"):
        pass
    httpx.get(f"{guarded.url}{path}?{query}")
    told = [record.getMessage() for record in caplog.records if "uvicorn" in record.name]
    assert len([line for line in told if f"{path}?a=%20&b=1" in line]) == 2
    assert KEY not in "".join(told)


def test_the_answer_names_our_sub_protocol_and_not_the_key(guarded: Api) -> None:
    offered: Any = ["market-pipeline", f"key.{KEY}"]
    with connect(guarded.address, subprotocols=offered) as connection:
        assert connection.subprotocol == "market-pipeline"


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "x" * 32}])
def test_without_a_key_that_is_known_the_answer_is_a_problem(
    guarded: Api, headers: dict[str, str]
) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(guarded.address, additional_headers=headers),
    ):
        pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"")["status"] == 401


def test_a_page_of_another_site_is_refused_where_no_keys_are_set(api: Api) -> None:
    origin: Any = "https://elsewhere.example"
    with pytest.raises(InvalidStatus) as refused, connect(api.address, origin=origin):
        pass
    assert refused.value.response.status_code == 403
