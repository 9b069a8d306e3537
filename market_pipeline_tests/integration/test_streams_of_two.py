"""What streams carry where two brokers are configured: the same, as far as each offers it."""

import dagster as dg
import pytest

from market_pipeline.brokers.base import Broker
from market_pipeline.config import Settings
from market_pipeline.errors import UnknownInstrument
from market_pipeline.orchestration import ticks
from market_pipeline.orchestration.resources import MarketBroker
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline.streaming import supervisor
from market_pipeline.streaming.supervisor import StopReason
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.dagster_cases import instance as instance
from market_pipeline_tests.instrument_cases import OTHERS, TOMORROW, Row, equity, numbered, sync

BROKERS = ["kite", "fyers"]
FIFTH = 10**12
ROWS = numbered("NSE", 5)


def elsewhere(row: Row) -> Row:
    """The same contract under the token of another broker."""
    return {**row, "token": FIFTH + row["token"]}


@pytest.fixture
def both(database: Database) -> Database:
    """Kite offers the first four of five, Fyers the last four; all five are subscribed in order."""
    sync(database, *ROWS[:4], *OTHERS)
    sync(database, *map(elsewhere, ROWS[1:] + OTHERS), broker="fyers")
    for row in ROWS:
        instruments.subscribe(database, "kite", [row["symbol"]], standby="fyers")
    return database


def carried(database: Database, brokers: list[str], stream: str, size: int) -> set[tuple[str, str]]:
    """Return broker and symbol of what a stream is to carry."""
    names = {row["token"]: row["symbol"] for row in ROWS}
    rows = instruments.wanted_tokens(database, brokers, stream, size)
    return {
        (broker, names[token % FIFTH]) for broker, token in rows.select("broker", "token").rows()
    }


def at(broker: str, *numbers: int) -> set[tuple[str, str]]:
    return {(broker, f"NSE{n}") for n in numbers}


def test_a_stream_carries_at_each_broker_what_that_one_offers(both: Database) -> None:
    expected = at("kite", 1, 2, 3, 4) | at("fyers", 2, 3, 4, 5)
    assert carried(both, BROKERS, "kite-0", 5) == expected


def test_subscriptions_are_divided_alike_at_both_brokers(both: Database) -> None:
    assert carried(both, BROKERS, "kite-0", 2) == at("kite", 1, 2) | at("fyers", 2)
    assert carried(both, BROKERS, "kite-1", 2) == at("kite", 3, 4) | at("fyers", 3, 4)
    assert carried(both, BROKERS, "kite-2", 2) == at("fyers", 5)
    streams = both.query("desired_streams", brokers=BROKERS, per_stream=2)
    counted = streams.select("stream", "instruments").rows()
    assert counted == [("kite-0", 2), ("kite-1", 2), ("kite-2", 1)]


def test_streams_have_the_name_of_the_preferred_broker(both: Database) -> None:
    streams = both.query("desired_streams", brokers=["fyers", "kite"], per_stream=9)
    assert streams.select("stream", "instruments", "exchanges").rows() == [("fyers-0", 5, ["NSE"])]
    assert carried(both, ["fyers", "kite"], "fyers-0", 9) == carried(both, BROKERS, "kite-0", 9)


def test_one_broker_alone_carries_what_it_offers(both: Database) -> None:
    assert carried(both, ["fyers"], "fyers-0", 9) == at("fyers", 2, 3, 4, 5)


def test_what_one_broker_takes_off_its_list_stays_where_it_is_at_the_other(both: Database) -> None:
    assert carried(both, BROKERS, "kite-1", 2) == at("kite", 3, 4) | at("fyers", 3, 4)
    sync(both, *ROWS[1:4], *OTHERS, day=TOMORROW)
    sync(both, *map(elsewhere, ROWS[2:] + OTHERS), broker="fyers", day=TOMORROW)
    assert carried(both, BROKERS, "kite-0", 2) == at("kite", 2)  # the first is nowhere any more
    assert carried(both, BROKERS, "kite-1", 2) == at("kite", 3, 4) | at("fyers", 3, 4)


def test_the_others_of_a_row_tell_the_same_at_both_brokers(both: Database) -> None:
    rows = instruments.wanted_tokens(both, BROKERS, "kite-0", 9)
    shared = rows.drop("broker", "token").unique()
    assert shared.height == 5
    assert set(shared.columns) == {
        "mode",
        "instrument_id",
        "exchange",
        "kind",
        "underlying",
        "has_derivatives",
    }


def test_a_name_that_means_something_to_the_preferred_broker_is_not_asked_of_the_other(
    both: Database,
) -> None:
    other = equity(77 << 8 | 1, "ELSE")
    sync(
        both,
        *map(elsewhere, ROWS[1:] + OTHERS),
        {**other, "token": ROWS[0]["token"]},
        broker="fyers",
    )
    token = str(ROWS[0]["token"])
    assert instruments.subscribe(both, "kite", [token], standby="fyers") == ["NSE1"]
    assert instruments.subscribe(both, "fyers", [token], standby="kite") == ["ELSE"]


def test_what_the_standby_alone_offers_is_unsubscribed_as_well(both: Database) -> None:
    assert instruments.unsubscribe(both, "kite", ["NSE:NSE5"], standby="fyers") == ["NSE5"]
    assert carried(both, BROKERS, "kite-0", 9) == at("kite", 1, 2, 3, 4) | at("fyers", 2, 3, 4)


def test_a_name_that_neither_broker_has_is_told_with_near_ones_of_both(both: Database) -> None:
    with pytest.raises(UnknownInstrument, match="kite and fyers have no instrument NSE51;") as told:
        instruments.subscribe(both, "kite", ["NSE2", "NSE51"], standby="fyers")
    assert "NSE:NSE5" in str(told.value)


def test_an_instrument_named_twice_is_subscribed_once(both: Database) -> None:
    assert instruments.subscribe(both, "kite", ["NSE2", "NSE:NSE2"]) == ["NSE2"]


class Both(MarketBroker):
    """Both simulated brokers, of which nothing is asked."""

    brokers: str = "simulator,fyers_simulator"

    @property
    def settings(self) -> Settings:
        return Settings(_env_file=None, broker=self.brokers)


@pytest.mark.parametrize("brokers", ["simulator,fyers_simulator", "fyers_simulator,simulator"])
def test_a_stream_is_as_large_as_the_smaller_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch, brokers: str
) -> None:
    asked: list[int] = []

    def query(self: Database, name: str, /, **values: int) -> None:
        asked.append(values["per_stream"])
        raise StopIteration

    monkeypatch.setattr(Database, "query", query)
    with pytest.raises(StopIteration):
        ticks.desired_streams(database, Both(brokers=brokers))
    assert asked == [3000]


def test_a_run_streams_from_both_brokers_the_preferred_one_first(
    database: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Broker] = []

    def run_stream(stream: str, run_id: str, feeds: list[Broker], *others: object) -> StopReason:
        given.extend(feeds)
        return StopReason.NOT_WANTED

    monkeypatch.setattr(supervisor, "run_stream", run_stream)
    resources = cases.resources(database, Both(brokers="fyers_simulator,simulator"))
    ticks.tick_stream.execute_in_process(
        run_config=dg.RunConfig(ops={"stream_ticks": ticks.StreamConfig(stream="kite-0")}),
        instance=instance,
        resources=resources,
    )
    assert [type(feed).__name__ for feed in given] == ["Fyers", "Kite"]
