"""The Python client against the API over HTTP."""

from collections.abc import Iterator

import httpx
import polars as pl
import pytest

from market_pipeline import client as api_client
from market_pipeline.client import Client
from market_pipeline.errors import (
    ApiError,
    ApiKeyRefused,
    ApiUnavailable,
    UnknownInstrument,
    is_transient,
)
from market_pipeline_tests.api_cases import (
    CONTROL_KEY,
    KEYS,
    NOBODY,
    READ_KEY,
    serving,
    settings_of,
)
from market_pipeline_tests.api_cases import client as client
from market_pipeline_tests.api_cases import day as day
from market_pipeline_tests.history_days import DAY, Day


@pytest.fixture
def ours(client: httpx.Client) -> Iterator[Client]:
    with Client(str(client.base_url)) as opened:
        yield opened


def test_candles_come_as_a_frame_with_times_in_utc(ours: Client) -> None:
    frame = ours.candles("NSE:RELIANCE", "5m", DAY)
    assert frame.schema["time"] == pl.Datetime("us", "UTC")
    assert frame.height > 10 and frame["time"].is_sorted()


def test_pages_are_put_together(ours: Client, day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ours.ticks("NSE:RELIANCE", DAY)
    monkeypatch.setattr(api_client, "_PAGE_TICKS", 700)
    monkeypatch.setattr(api_client, "_PAGE_CANDLES", 50)
    assert whole.height > 700
    assert ours.ticks("NSE:RELIANCE", DAY).equals(whole)
    minutes = ours.candles("NSE:RELIANCE", "1m", DAY)
    assert minutes.height > 50 and minutes["time"].is_unique().all()


def test_a_period_without_anything_is_an_empty_frame(ours: Client) -> None:
    frame = ours.candles("NSE:RELIANCE", "1m", "2020-01-01", "2020-01-02")
    assert frame.is_empty() and "close" in frame.columns


def test_instruments_are_listed_over_pages(ours: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ours.instruments(exchange="NSE")
    monkeypatch.setattr(api_client, "_PAGE_INSTRUMENTS", 3)
    assert whole.height > 3
    assert ours.instruments(exchange="NSE").equals(whole)
    assert set(whole["exchange"]) == {"NSE"}


def test_search_returns_the_best_first(ours: Client) -> None:
    assert ours.search("reliance")["symbol"][0] == "RELIANCE"


def test_subscriptions_are_made_and_ended(ours: Client) -> None:
    assert ours.subscribe(["NSE:INFY"], "quote")["mode"].to_list() == ["quote"]
    assert ours.unsubscribe(["NSE:INFY"])["is_active"].to_list() == [False]


def test_streaming_is_stopped_and_started(ours: Client) -> None:
    ours.stop()
    assert not ours.status().is_streaming
    ours.start()
    status = ours.status()
    assert status.is_streaming and status.broker == "simulator"


def test_an_unknown_instrument_is_an_error_of_its_own_with_the_problem(ours: Client) -> None:
    with pytest.raises(UnknownInstrument, match="RELIANCE") as raised:
        ours.candles("RELIANC")
    assert isinstance(raised.value, ApiError)
    assert raised.value.problem["status"] == 404 and raised.value.problem["request_id"]


def test_what_makes_no_sense_says_so(ours: Client) -> None:
    with pytest.raises(ApiError, match="not before") as raised:
        ours.candles("NSE:RELIANCE", "1m", "2026-01-02", "2026-01-01")
    assert raised.value.problem["status"] == 422 and not is_transient(raised.value)


def test_where_nobody_answers_the_error_is_transient_and_says_what_to_start() -> None:
    with Client(NOBODY) as nobody, pytest.raises(ApiUnavailable, match="market-pipeline up") as no:
        nobody.status()
    assert is_transient(no.value)


def test_without_dagster_a_run_is_an_error_that_says_what_is_missing(ours: Client) -> None:
    with pytest.raises(ApiUnavailable, match="Dagster"):
        ours.sync()
    with pytest.raises(ApiUnavailable, match="Dagster"):
        ours.backfill(["NSE:RELIANCE"], "2026-11-02")


def test_keys_are_sent_and_their_refusal_is_told(day: Day) -> None:
    settings = settings_of(day.database, day.settings.market_pipeline_home, api_keys=KEYS)
    with serving(settings) as http:
        url = str(http.base_url)
        with Client(url, READ_KEY) as reading, Client(url) as unknown:
            assert reading.search("infy").height
            with pytest.raises(ApiKeyRefused, match="read only"):
                reading.stop()
            with pytest.raises(ApiKeyRefused):
                unknown.status()
        with Client(url, CONTROL_KEY) as control:
            control.start()
