"""Two brokers' masters: one contract is one instrument, and what they say otherwise is seen."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest

from market_pipeline.market import INSTRUMENT_SCHEMA
from market_pipeline.orchestration.instruments import brokers_agree_on_instruments
from market_pipeline.storage import instruments, joined_masters
from market_pipeline.storage.database import Database
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.builders import TODAY, fetch
from market_pipeline_tests.instrument_cases import (
    DUMP_DAY,
    INFY,
    SBIN,
    TCS,
    equity,
    future,
    index,
    real_fyers_master,
    real_master,
    sync,
)

instance = cases.instance

check_name = "brokers_agree_on_instruments"
EXPIRY = TODAY + timedelta(days=10)
FUTURE = future(65 << 8 | 2, "INFY26DECFUT", EXPIRY)
NIFTY = index(1001 << 8 | 9, "NIFTY 50")


def elsewhere(row: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
    """The same contract as another broker has it: its own token and symbol."""
    return {**row, "token": 10**12 + row["token"], "broker_symbol": f"X:{row['symbol']}", **more}


def sync_second(database: Database, *rows: Mapping[str, Any]) -> None:
    master = pl.DataFrame(list(rows), schema=INSTRUMENT_SCHEMA)
    instruments.sync(database, "fyers", master, TODAY, yields_to=["kite"])


def counts(database: Database) -> dict[tuple[str, str], dict[str, int]]:
    found = joined_masters.joined(database, "kite", "fyers").counts
    return {
        (row.pop("exchange"), row.pop("segment")): {k: v for k, v in row.items() if v}
        for row in found.to_dicts()
    }


def test_a_contract_of_both_brokers_is_one_instrument_with_two_tokens(database: Database) -> None:
    sync(database, INFY, FUTURE, NIFTY)
    sync_second(database, elsewhere(INFY), elsewhere(FUTURE), elsewhere(NIFTY))
    assert fetch(database, "SELECT count(*) FROM instruments") == [(3,)]
    assert counts(database) == {
        ("NSE", "CM"): {"matched": 1},
        ("NFO", "FO"): {"matched": 1},
        ("NSE", "INDEX"): {"matched": 1},
    }


def test_contracts_of_one_broker_alone_are_counted(database: Database) -> None:
    sync(database, INFY, TCS)
    sync_second(database, elsewhere(INFY), elsewhere(SBIN), elsewhere(equity(9 << 8 | 1, "NEW")))
    assert counts(database) == {
        ("NSE", "CM"): {"matched": 1, "only_first": 1, "only_second": 2},
    }


@pytest.mark.parametrize(
    ("difference", "found"),
    [({"lot_size": 5}, "lot_differs"), ({"tick_size": 0.1}, "tick_differs")],
)
def test_a_lot_or_tick_of_which_they_say_otherwise_is_a_conflict(
    database: Database, difference: dict[str, Any], found: str
) -> None:
    sync(database, INFY, TCS)
    sync_second(database, elsewhere(INFY, **difference), elsewhere(TCS))
    assert counts(database) == {("NSE", "CM"): {"matched": 2, found: 1}}
    conflicts = joined_masters.joined(database, "kite", "fyers").conflicts
    assert conflicts["name"].to_list() == ["NSE:INFY"]


def test_an_expiry_of_which_they_say_otherwise_is_a_conflict(database: Database) -> None:
    sync(database, FUTURE)
    sync_second(database, elsewhere(FUTURE, expiry=EXPIRY - timedelta(days=1)))
    assert counts(database) == {("NFO", "FO"): {"expiry_differs": 1}}


def test_the_first_brokers_names_and_sizes_stay(database: Database) -> None:
    sync(database, INFY)
    sync_second(database, elsewhere(INFY, symbol="INFOSYS", lot_size=5, name="Infosys Ltd"))
    described = "SELECT symbol, name, lot_size FROM instruments"
    assert fetch(database, described) == [("INFY", "INFY LIMITED", 1)]
    assert fetch(database, "SELECT count(*) FROM instrument_history") == [(0,)]


def test_the_second_broker_describes_what_it_alone_offers(database: Database) -> None:
    sync(database, INFY)
    sync_second(database, elsewhere(INFY), elsewhere(SBIN))
    sync_second(database, elsewhere(INFY), elsewhere(SBIN, symbol="SBIN2", lot_size=5))
    renamed = "SELECT symbol, lot_size FROM instruments WHERE exchange_token = '3'"
    assert fetch(database, renamed) == [("SBIN2", 5)]


def test_a_size_that_a_broker_corrects_is_no_conflict_any_more(database: Database) -> None:
    sync(database, INFY)
    sync_second(database, elsewhere(INFY, tick_size=0.1))
    sync_second(database, elsewhere(INFY))
    assert counts(database) == {("NSE", "CM"): {"matched": 1}}


def test_the_brokers_with_a_master_are_known(database: Database) -> None:
    assert joined_masters.brokers(database) == []
    sync(database, INFY)
    sync_second(database, elsewhere(INFY))
    assert joined_masters.brokers(database) == ["fyers", "kite"]


def test_the_check_shows_counts_and_conflicts(
    database: Database, instance: dg.DagsterInstance
) -> None:
    sync(database, INFY, TCS)
    check = brokers_agree_on_instruments
    assert cases.evaluate_checks(instance, database, check) == {check_name: True}
    sync_second(database, elsewhere(INFY, tick_size=0.1), elsewhere(TCS))
    assert cases.evaluate_checks(instance, database, check) == {check_name: False}


def test_real_masters_of_both_brokers_are_joined(database: Database) -> None:
    """Six weeks apart, so that some contracts have come, gone or changed between them."""
    kite, fyers = real_master(), real_fyers_master()
    instruments.sync(database, "kite", kite, DUMP_DAY)
    instruments.sync(database, "fyers", fyers, DUMP_DAY, yields_to=["kite"])
    found = counts(database)
    assert found["NSE", "INDEX"]["matched"] >= 110
    shares = found["NSE", "CM"]
    assert shares["matched"] > 8_000
    assert shares["only_first"] + shares["only_second"] < 1_000
    assert shares["lot_differs"] + shares["tick_differs"] < 150
    assert fetch(database, "SELECT count(*) FROM instrument_history") == [(0,)]
