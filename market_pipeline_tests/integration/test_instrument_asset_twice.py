"""The asset of the instruments where two brokers are configured, and one of them may fail."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest

from market_pipeline.config import Settings
from market_pipeline.orchestration.instruments import instrument_checks, instruments
from market_pipeline.orchestration.resources import MarketBroker
from market_pipeline.sessions import trading_date
from market_pipeline.simulator import fyers_server, kite_server
from market_pipeline.simulator.kite_server import SimulatorOptions
from market_pipeline.storage.database import Database
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.acceptance.demo import free_port
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.dagster_cases import instance as instance
from market_pipeline_tests.instrument_cases import equity, numbered, sync

OPTIONS = SimulatorOptions(port=0, instruments=120)
KITE, FYERS = "simulator", "fyers_simulator"


class Both(MarketBroker):
    """Two simulated brokers at two addresses, each of which can be made to be nobody's."""

    brokers: str = f"{KITE},{FYERS}"
    url: str
    standby_url: str
    home: str

    @property
    def settings(self) -> Settings:
        return Settings(
            _env_file=None,
            broker=self.brokers,
            simulator_url=self.url,
            standby_simulator_url=self.standby_url,
            market_pipeline_home=self.home,
        )


class Addresses(NamedTuple):
    kite: str
    fyers: str
    nobody: str


@pytest.fixture(scope="module")
def addresses() -> Iterator[Addresses]:
    with kite_server.running(OPTIONS) as kite, fyers_server.running(OPTIONS) as fyers:
        yield Addresses(kite.url, fyers.url, f"http://127.0.0.1:{free_port()}")


@pytest.fixture
def broker(addresses: Addresses, tmp_path: Path) -> Both:
    return Both(url=addresses.kite, standby_url=addresses.fyers, home=str(tmp_path))


def materialized(
    instance: dg.DagsterInstance, database: Database, broker: MarketBroker
) -> dict[str, Any]:
    """Call the asset, without the delays after which Dagster tries again; return its metadata."""
    with dg.build_asset_context(instance=instance) as context:
        result = instruments(context, **cases.resources(database, broker))
    assert isinstance(result, dg.MaterializeResult) and result.metadata is not None
    return dict(result.metadata)


def failed(instance: dg.DagsterInstance, database: Database, broker: MarketBroker) -> dg.Failure:
    with pytest.raises(dg.Failure) as caught:
        materialized(instance, database, broker)
    return caught.value


def evaluate(
    instance: dg.DagsterInstance, database: Database, broker: MarketBroker
) -> dict[str, dg.AssetCheckEvaluation]:
    result = dg.materialize(
        [instruments, instrument_checks],
        selection=dg.AssetSelection.checks(instrument_checks),
        instance=instance,
        resources=cases.resources(database, broker),
    )
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def listed(database: Database) -> dict[str, int]:
    """Return how many instruments are known of each broker."""
    return dict(
        fetch(
            database,
            "SELECT broker, count(*) FROM broker_instruments WHERE valid_to IS NULL GROUP BY 1",
        )
    )


def test_both_masters_are_synchronised_and_told_apart(
    instance: dg.DagsterInstance, database: Database, broker: Both
) -> None:
    values = materialized(instance, database, broker)
    known = listed(database)
    assert known.keys() == {KITE, FYERS}
    assert values["broker"] == f"{KITE},{FYERS}"
    assert values["dagster/row_count"] == values["added"] == known[KITE]
    assert values[f"{FYERS}: row_count"] == known[FYERS]
    # What both offer is one instrument: only what the second alone has is new.
    assert values[f"{FYERS}: added"] < known[FYERS]
    assert values[f"{FYERS}: changes"].records == []


@pytest.mark.parametrize("failing", [KITE, FYERS])
def test_one_master_that_fails_keeps_the_other_from_nothing_and_fails_the_run(
    instance: dg.DagsterInstance,
    database: Database,
    addresses: Addresses,
    tmp_path: Path,
    failing: str,
) -> None:
    broker = Both(
        url=addresses.nobody if failing == KITE else addresses.kite,
        standby_url=addresses.nobody if failing == FYERS else addresses.fyers,
        home=str(tmp_path),
    )
    failure = failed(instance, database, broker)
    (other,) = {KITE, FYERS} - {failing}
    assert listed(database).keys() == {other}
    assert str(failure.description).startswith(f"{failing} was not synchronised: ")
    assert str(failure.description).endswith(f". {other} was")
    assert failure.allow_retries


def test_both_that_fail_are_both_named(
    instance: dg.DagsterInstance, database: Database, addresses: Addresses, tmp_path: Path
) -> None:
    nobody = Both(url=addresses.nobody, standby_url=addresses.nobody, home=str(tmp_path))
    told = str(failed(instance, database, nobody).description)
    assert told.count("was not synchronised") == 2
    assert f"; {FYERS} was not synchronised" in told


def test_a_master_of_the_standby_that_is_not_believed_is_not_tried_again(
    instance: dg.DagsterInstance, database: Database, broker: Both
) -> None:
    sync(database, *numbered("BSE", 300), broker=FYERS)
    failure = failed(instance, database, broker)
    assert "rows where 300 are known" in str(failure.description)
    assert listed(database)[KITE] == 120
    assert not failure.allow_retries


def test_each_broker_is_judged_by_the_instruments_that_vanished_from_it(
    instance: dg.DagsterInstance, database: Database, broker: Both
) -> None:
    rows = numbered("NSE", 20)
    for name in (KITE, FYERS):
        sync(database, *rows, broker=name)
    assert evaluate(instance, database, broker)["few_instruments_vanish"].passed
    sync(database, *rows[1:], broker=FYERS, day=trading_date(datetime.now(UTC)))
    check = evaluate(instance, database, broker)["few_instruments_vanish"]
    assert not check.passed
    assert check.metadata["vanished before expiry"].value == 0
    assert check.metadata[f"{FYERS}: vanished before expiry"].value == 1


def test_a_broker_without_instruments_is_found(
    instance: dg.DagsterInstance, database: Database, broker: Both
) -> None:
    sync(database, *numbered("NSE", 2), broker=KITE)
    check = evaluate(instance, database, broker)["instruments_are_known"]
    assert not check.passed
    assert check.metadata["listed"].value == 2
    assert check.metadata[f"{FYERS}: listed"].value == 0


def test_a_subscription_that_one_broker_alone_offers_has_no_standby(
    instance: dg.DagsterInstance, database: Database, broker: Both
) -> None:
    both, first, second = numbered("NSE", 3)
    gone = equity(99 << 8 | 1, "GONE")
    sync(database, both, first, gone, broker=KITE)
    sync(database, both, second, broker=FYERS)
    fetch(
        database, "INSERT INTO subscriptions (instrument_id) SELECT instrument_id FROM instruments"
    )
    fetch(
        database,
        "UPDATE broker_instruments SET valid_to = current_date - 9 WHERE broker_symbol = 'GONE'",
    )
    checks = evaluate(instance, database, broker)
    assert checks["subscriptions_are_listed"].metadata["symbols"].value == ["NSE:GONE"]
    check = checks["subscriptions_have_a_standby"]
    assert not check.passed and check.severity is dg.AssetCheckSeverity.WARN
    assert {name: entry.value for name, entry in check.metadata.items()} == {
        "count": 2,
        f"count missing at {FYERS}": 1,
        f"missing at {FYERS}": ["NSE:NSE2"],
        f"count missing at {KITE}": 1,
        f"missing at {KITE}": ["NSE:NSE3"],
    }


def test_with_one_broker_nothing_lacks_a_standby(
    instance: dg.DagsterInstance, database: Database, broker: Both
) -> None:
    sync(database, *numbered("NSE", 2), broker=KITE)
    fetch(
        database, "INSERT INTO subscriptions (instrument_id) SELECT instrument_id FROM instruments"
    )
    alone = Both(brokers=KITE, url=broker.url, standby_url=broker.standby_url, home=broker.home)
    checks = evaluate(instance, database, alone)
    assert all(check.passed for check in checks.values())
