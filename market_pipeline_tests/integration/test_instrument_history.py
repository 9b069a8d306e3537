"""What instruments were on past days, and the list of what the syncs have changed."""

from datetime import date, timedelta
from typing import Any

from market_pipeline.storage.database import Database
from market_pipeline.storage.instrument_history import as_of, changes, meanings, tokens, versions
from market_pipeline_tests.builders import TODAY, fetch
from market_pipeline_tests.instrument_cases import (
    INFY,
    LATER,
    OTHERS,
    TCS,
    TOMORROW,
    contents,
    counted,
    equity,
    future,
    sync,
)

YESTERDAY = TODAY - timedelta(days=1)
OLD = future(259, "INFY26NOVFUT", TODAY)
NEW = future(259, "INFY26DECFUT", TODAY + timedelta(days=28))


def meant(database: Database, name: str, day: date, *columns: str) -> list[tuple[Any, ...]]:
    return as_of(database, "kite", name, day).select(columns or ("symbol",)).rows()


def changed(database: Database, since: date, until: date | None = None) -> list[tuple[Any, ...]]:
    rows = changes(database, "kite", since, until or since)
    return rows.select("day", "change", "name", "field", "before", "after").rows()


def history(database: Database) -> list[tuple[Any, ...]]:
    return fetch(database, "SELECT valid_from, valid_to, symbol, lot_size FROM instrument_history")


def test_a_first_sync_writes_no_history(database: Database) -> None:
    sync(database, INFY, TCS)
    assert history(database) == []


def test_a_lot_size_is_as_it_was_on_each_day(database: Database) -> None:
    sync(database, INFY, TCS)
    sync(database, {**INFY, "lot_size": 5, "tick_size": 0.1}, TCS, day=LATER)
    sizes = [meant(database, "INFY", day, "lot_size", "tick_size") for day in (TODAY, TOMORROW)]
    assert sizes == [[(1, 0.05)], [(1, 0.05)]]
    assert meant(database, "INFY", LATER, "lot_size", "tick_size") == [(5, 0.1)]


def test_a_former_symbol_means_the_instrument_on_its_days_only(database: Database) -> None:
    sync(database, INFY, TCS)
    sync(database, {**INFY, "symbol": "INFO", "broker_symbol": "INFO"}, TCS, day=TOMORROW)
    assert meant(database, "NSE:INFY", TODAY) == [("INFY",)]
    assert meant(database, "NSE:INFY", TOMORROW) == []
    assert meant(database, "info", TODAY) == []
    assert meant(database, "info", TOMORROW) == [("INFO",)]


def test_a_symbol_that_passed_to_another_company_means_each_in_its_time(
    database: Database,
) -> None:
    sync(database, INFY, TCS)
    renamed, heir = {**INFY, "symbol": "INFO", "broker_symbol": "INFO"}, equity(1025, "INFY")
    sync(database, renamed, TCS, heir, day=TOMORROW)
    assert meant(database, "INFY", TODAY, "token") == [(257,)]
    assert meant(database, "INFY", TOMORROW, "token") == [(1025,)]


def test_a_token_means_the_contract_it_was_given_to_on_that_day(database: Database) -> None:
    sync(database, OLD, TCS)
    sync(database, NEW, TCS, day=TOMORROW)
    assert meant(database, "259", TODAY) == [("INFY26NOVFUT",)]
    assert meant(database, "259", TOMORROW) == [("INFY26DECFUT",)]
    assert meant(database, "NFO:INFY26NOVFUT", TOMORROW) == []


def test_days_before_the_first_sync_are_unknown(database: Database) -> None:
    sync(database, INFY)
    assert meant(database, "INFY", YESTERDAY) == []


def test_brokers_symbols_are_names_too(database: Database) -> None:
    sync(database, {**INFY, "broker_symbol": "NSE:INFY-EQ"})
    assert meant(database, "nse:infy-eq", TODAY) == [("INFY",)]


def test_names_of_another_broker_mean_nothing(database: Database) -> None:
    sync(database, INFY)
    assert as_of(database, "fyers", "257", TODAY).is_empty()


def test_an_exchange_in_the_name_is_kept_to(database: Database) -> None:
    sync(database, INFY, equity(4, "INFY", exchange="BSE"))
    assert meant(database, "INFY", TODAY, "exchange") == [("NSE",), ("BSE",)]
    assert meant(database, "BSE:INFY", TODAY, "exchange") == [("BSE",)]


def test_numbers_that_no_token_can_be_mean_nothing(database: Database) -> None:
    sync(database, INFY)
    assert meant(database, "9" * 30, TODAY) == []


def test_meanings_follow_each_other_without_overlap(database: Database) -> None:
    sync(database, INFY, TCS)
    sync(database, {**INFY, "lot_size": 5}, TCS, day=TOMORROW)
    sync(database, {**INFY, "lot_size": 7}, TCS, day=LATER)
    rows = meanings(database, "kite", "INFY").select("valid_from", "valid_to", "lot_size").rows()
    assert rows == [(TODAY, TOMORROW, 1), (TOMORROW, LATER, 5), (LATER, None, 7)]


def test_of_several_syncs_of_a_day_the_last_holds(database: Database) -> None:
    sync(database, INFY, TCS)
    for lot in (5, 7, 9):
        sync(database, {**INFY, "lot_size": lot}, TCS, day=TOMORROW)
    assert history(database) == [(TODAY, TOMORROW, "INFY", 1)]
    assert meant(database, "INFY", TOMORROW, "lot_size") == [(9,)]


def test_what_is_taken_back_on_the_same_day_leaves_no_trace(database: Database) -> None:
    sync(database, INFY, TCS, *OTHERS)
    before = contents(database)
    sync(database, {**INFY, "lot_size": 5, "broker_symbol": "X"}, *OTHERS, day=TOMORROW)
    counts = sync(database, INFY, TCS, *OTHERS, day=TOMORROW)
    assert counts == counted(10, changed=1, relisted=1)
    assert contents(database) == before


def test_a_token_that_passes_on_twice_a_day_means_the_last_contract(database: Database) -> None:
    sync(database, OLD, TCS)
    sync(database, NEW, TCS, day=TOMORROW)
    last = {**NEW, "symbol": "INFY27JANFUT", "expiry": TODAY + timedelta(days=60)}
    assert sync(database, last, TCS, day=TOMORROW).tokens_reused == 1
    assert meant(database, "259", TODAY) == [("INFY26NOVFUT",)]
    assert meant(database, "259", TOMORROW) == [("INFY27JANFUT",)]
    empty = "SELECT count(*) FROM broker_instruments WHERE valid_to <= valid_from"
    assert fetch(database, empty) == [(0,)]


def test_versions_and_tokens_tell_the_whole_life(database: Database) -> None:
    sync(database, INFY, TCS, *OTHERS)
    sync(database, {**INFY, "symbol": "INFO"}, *OTHERS, day=TOMORROW)
    id = as_of(database, "kite", "257", TODAY)["instrument_id"].item()
    rows = versions(database, id).select("valid_from", "valid_to", "symbol").rows()
    assert rows == [(TODAY, TOMORROW, "INFY"), (TOMORROW, None, "INFO")]
    assert tokens(database, id).rows() == [("kite", 257, "INFY", TODAY, None)]


def test_changes_tell_names_and_sizes_before_and_after(database: Database) -> None:
    sync(database, INFY, TCS)
    sync(database, {**INFY, "lot_size": 5, "tick_size": 0.1, "symbol": "INFO"}, TCS, day=TOMORROW)
    sync(database, {**INFY, "lot_size": 7, "tick_size": 0.1, "symbol": "INFO"}, TCS, day=LATER)
    assert changed(database, TOMORROW, LATER) == [
        (LATER, "changed", "NSE:INFO", "lot_size", "5", "7"),
        (TOMORROW, "renamed", "NSE:INFO", "symbol", "INFY", "INFO"),
        (TOMORROW, "changed", "NSE:INFO", "lot_size", "1", "5"),
        (TOMORROW, "changed", "NSE:INFO", "tick_size", "0.05", "0.1"),
    ]


def test_changes_tell_what_came_and_went(database: Database) -> None:
    sync(database, OLD, TCS, *OTHERS)
    sync(database, INFY, *OTHERS, day=TOMORROW)
    sync(database, INFY, TCS, *OTHERS, day=LATER)
    assert [row[1:3] for row in changed(database, TOMORROW)] == [
        ("delisted", "NSE:TCS"),
        ("added", "NSE:INFY"),
        ("expired", "NFO:INFY26NOVFUT"),
    ]
    assert [row[1:3] for row in changed(database, LATER)] == [("relisted", "NSE:TCS")]


def test_changes_tell_which_contract_had_a_token_before(database: Database) -> None:
    sync(database, OLD, TCS, *OTHERS)
    sync(database, TCS, *OTHERS, day=TOMORROW)
    assert sync(database, NEW, TCS, *OTHERS, day=LATER).tokens_reused == 1
    reused = ("token_reused", "NFO:INFY26DECFUT", "token 259", "NFO:INFY26NOVFUT")
    assert changed(database, LATER)[1] == (LATER, *reused, "NFO:INFY26DECFUT")


def test_what_was_changed_and_taken_back_on_a_day_is_no_change(database: Database) -> None:
    sync(database, INFY, TCS)
    sync(database, {**INFY, "lot_size": 5}, TCS, day=TOMORROW)
    sync(database, INFY, TCS, day=TOMORROW)
    assert changed(database, TOMORROW) == []


def test_only_the_kinds_of_changes_asked_for_are_listed(database: Database) -> None:
    sync(database, INFY, TCS)
    sync(database, {**INFY, "lot_size": 5}, TCS, OLD, day=TOMORROW)
    rows = changes(database, "kite", TOMORROW, TOMORROW, ["added"])
    assert rows["change"].to_list() == ["added"]
