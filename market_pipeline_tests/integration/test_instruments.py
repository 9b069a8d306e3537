"""The instrument master in the database: contracts for ever, tokens for a while."""

from datetime import date, timedelta
from typing import Any

import pytest

from market_pipeline.errors import UnknownInstrument
from market_pipeline.market import Mode
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline.storage.instruments import Catalogue, wanted_tokens
from market_pipeline_tests.builders import TODAY, fetch
from market_pipeline_tests.instrument_cases import (
    INFY,
    LATER,
    OTHERS,
    SBIN,
    TCS,
    TOMORROW,
    counted,
    equity,
    future,
    index,
    sync,
)


def stored(database: Database) -> list[tuple[Any, ...]]:
    return fetch(database, "SELECT instrument_id, symbol, delisted_on FROM instruments ORDER BY 1")


def instrument_id(database: Database, symbol: str) -> int:
    ((found,),) = fetch(database, "SELECT instrument_id FROM instruments WHERE symbol = %s", symbol)
    return int(found)


def version(database: Database) -> int:
    return int(fetch(database, "SELECT version FROM subscription_version")[0][0])


def on(catalogue: Catalogue, day: date) -> dict[int, int]:
    return dict(catalogue.on(day).select("token", "instrument_id").iter_rows())


def wanted(database: Database, broker: str, stream: str, per_stream: int) -> dict[int, Mode]:
    rows = wanted_tokens(database, [broker], stream, per_stream)
    return {token: Mode(mode) for token, mode in rows.select("token", "mode").iter_rows()}


def test_a_first_sync_adds_everything(database: Database) -> None:
    assert sync(database, INFY, TCS) == counted(2, added=2)
    assert [row[1:] for row in stored(database)] == [("INFY", None), ("TCS", None)]


def test_after_a_sync_the_server_knows_how_much_there_is(database: Database) -> None:
    counts = sync(database, INFY, TCS)
    known = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'instruments'::regclass"
    assert fetch(database, known) == [(counts.total,)]


def test_a_second_sync_of_the_same_master_changes_nothing(database: Database) -> None:
    sync(database, INFY, TCS)
    assert sync(database, INFY, TCS, day=TOMORROW) == counted(2)
    assert len(fetch(database, "SELECT token FROM broker_instruments")) == 2


def test_a_newcomer_is_added(database: Database) -> None:
    sync(database, INFY)
    assert sync(database, INFY, TCS).added == 1


def test_a_new_symbol_is_the_same_contract(database: Database) -> None:
    sync(database, INFY, TCS)
    counts = sync(database, INFY, {**TCS, "symbol": "TATA", "broker_symbol": "TATA"})
    assert counts == counted(2, renamed=1)
    assert [row[1] for row in stored(database)] == ["INFY", "TATA"]


def test_a_new_lot_size_is_a_change(database: Database) -> None:
    sync(database, INFY, TCS)
    assert sync(database, INFY, {**TCS, "lot_size": 5}) == counted(2, changed=1)
    assert fetch(database, "SELECT lot_size FROM instruments ORDER BY 1") == [(1,), (5,)]


def test_what_is_no_longer_listed_is_delisted_that_day(database: Database) -> None:
    sync(database, INFY, TCS, *OTHERS)
    assert sync(database, INFY, *OTHERS, day=TOMORROW).delisted == 1
    assert stored(database)[1][1:] == ("TCS", TOMORROW)
    assert sync(database, INFY, *OTHERS, day=TOMORROW).delisted == 0


def test_what_is_listed_again_is_the_same_contract(database: Database) -> None:
    sync(database, INFY, TCS, *OTHERS)
    before = stored(database)
    sync(database, INFY, *OTHERS, day=TOMORROW)
    assert sync(database, INFY, TCS, *OTHERS, day=LATER) == counted(10, relisted=1)
    assert stored(database) == before


def test_a_contract_that_has_expired_is_not_counted_as_delisted(database: Database) -> None:
    expired, early = future(3, "INFY26NOVFUT", TODAY), future(259, "INFY26DECFUT", LATER)
    sync(database, expired, early, *OTHERS)
    assert sync(database, *OTHERS, day=TOMORROW) == counted(8, expired=1, delisted=1)


def test_a_contract_that_is_missing_on_its_last_day_is_delisted_early(database: Database) -> None:
    sync(database, future(3, "INFY26NOVFUT", TOMORROW), *OTHERS)
    assert sync(database, *OTHERS, day=TOMORROW) == counted(8, delisted=1)


def test_a_contract_that_another_broker_offers_stays_listed(database: Database) -> None:
    sync(database, INFY, TCS, *OTHERS)
    sync(database, INFY, TCS, *OTHERS, broker="fyers")
    assert sync(database, INFY, *OTHERS, day=TOMORROW).delisted == 0
    assert len(stored(database)) == 10


def test_a_token_given_to_another_contract_means_each_in_its_time(database: Database) -> None:
    old = future(257, "INFY26NOVFUT", TODAY)
    new = future(257, "INFY26DECFUT", TODAY + timedelta(days=28))
    sync(database, old, TCS, day=TODAY)
    assert sync(database, new, TCS, day=TOMORROW).tokens_reused == 1
    catalogue = Catalogue(database, "kite")
    assert on(catalogue, TODAY)[257] == instrument_id(database, "INFY26NOVFUT")
    assert on(catalogue, TOMORROW)[257] == instrument_id(database, "INFY26DECFUT")


def test_two_contracts_may_swap_their_tokens(database: Database) -> None:
    sync(database, INFY, TCS)
    before = on(Catalogue(database, "kite"), TODAY)
    swapped = {**INFY, "token": 513}, {**TCS, "token": 257}
    assert sync(database, *swapped, day=TOMORROW) == counted(2, tokens_reused=2)
    after = on(Catalogue(database, "kite"), TOMORROW)
    assert after == {257: before[513], 513: before[257]}


def test_a_token_is_unknown_before_it_was_listed(database: Database) -> None:
    sync(database, INFY)
    assert Catalogue(database, "kite").on(TODAY - timedelta(days=1)).is_empty()


def test_the_catalogue_is_sorted_and_knows_indices(database: Database) -> None:
    sync(database, TCS, index(265, "NIFTY 50"), INFY)
    rows = Catalogue(database, "kite").on(TODAY).select("token", "is_index").rows()
    assert rows == [(257, False), (265, True), (513, False)]


def test_the_catalogue_of_one_broker_leaves_out_the_others(database: Database) -> None:
    sync(database, INFY)
    assert Catalogue(database, "fyers").on(TODAY).is_empty()


def test_a_catalogue_learns_newcomers_when_it_is_reloaded(database: Database) -> None:
    sync(database, INFY)
    catalogue = Catalogue(database, "kite")
    assert 513 not in on(catalogue, TODAY)
    sync(database, INFY, TCS)
    catalogue.reload()
    assert 513 in on(catalogue, TODAY)


@pytest.mark.parametrize("name", ['SAY "HI", PLC', "A,B", "", "a\nb", "M&M'S", "\\N", " x "])
def test_any_name_survives_the_load(database: Database, name: str) -> None:
    sync(database, {**INFY, "name": name}, TCS)
    assert fetch(database, "SELECT name FROM instruments WHERE symbol = 'INFY'") == [(name,)]
    assert len(stored(database)) == 2


def test_an_instrument_without_a_name_is_called_by_its_symbol(database: Database) -> None:
    sync(database, {**INFY, "name": None})
    assert fetch(database, "SELECT name FROM instruments") == [("INFY",)]


def test_numbers_and_dates_survive_the_load(database: Database) -> None:
    option = future(3, "INFY26NOV1402.5CE", TODAY, kind="CE", strike=1402.5, tick_size=0.0025)
    sync(database, option)
    assert fetch(
        database, "SELECT expiry, strike, tick_size, underlying, lot_size FROM instruments"
    ) == [(TODAY, 1402.5, 0.0025, "INFY", 1)]


@pytest.mark.parametrize("name", ["NSE:INFY", "nse:infy", "INFY", "infy", "257"])
def test_an_instrument_is_subscribed_by_any_of_its_names(database: Database, name: str) -> None:
    sync(database, INFY, TCS)
    assert instruments.subscribe(database, "kite", [name]) == ["INFY"]
    assert wanted(database, "kite", "kite-0", 3000) == {257: Mode.FULL}


def test_a_bare_symbol_means_the_national_exchange(database: Database) -> None:
    bombay = equity(4, "INFY", exchange="BSE", exchange_token="500209")
    sync(database, bombay, INFY)
    instruments.subscribe(database, "kite", ["INFY"])
    assert list(wanted(database, "kite", "kite-0", 3000)) == [257]


def test_unknown_names_are_listed_with_near_matches_and_nothing_changes(
    database: Database,
) -> None:
    sync(database, INFY, TCS, equity(1025, "INFYBEES"))
    with pytest.raises(UnknownInstrument, match=r"INFYB, NOPE; did you mean .*NSE:INFYBEES"):
        instruments.subscribe(database, "kite", ["TCS", "INFYB", "NOPE"])
    assert wanted(database, "kite", "kite-0", 3000) == {}


def test_near_matches_of_a_name_with_an_exchange_are_of_its_symbol(database: Database) -> None:
    sync(database, INFY, TCS)
    with pytest.raises(UnknownInstrument, match=r"did you mean NSE:INFY\?"):
        instruments.subscribe(database, "kite", ["NSE:INF"])


def test_a_name_like_nothing_points_to_the_sync(database: Database) -> None:
    sync(database, INFY)
    with pytest.raises(UnknownInstrument, match="instruments sync"):
        instruments.subscribe(database, "kite", ["ZZZ"])


def test_unsubscribing_ends_what_is_wanted(database: Database) -> None:
    sync(database, INFY, TCS)
    instruments.subscribe(database, "kite", ["INFY", "TCS"])
    assert instruments.unsubscribe(database, "kite", ["NSE:TCS"]) == ["TCS"]
    assert list(wanted(database, "kite", "kite-0", 3000)) == [257]


def test_each_change_of_subscriptions_bumps_the_version(database: Database) -> None:
    sync(database, INFY)
    versions = [version(database)]
    for change in (instruments.subscribe, instruments.unsubscribe):
        change(database, "kite", ["INFY"])
        versions.append(version(database))
    assert versions == sorted(set(versions))


def test_subscribing_again_takes_the_new_mode(database: Database) -> None:
    sync(database, INFY)
    instruments.subscribe(database, "kite", ["INFY"])
    instruments.subscribe(database, "kite", ["INFY"], Mode.QUOTE)
    assert wanted(database, "kite", "kite-0", 3000) == {257: Mode.QUOTE}


def test_subscriptions_are_divided_among_streams(database: Database) -> None:
    sync(database, *[equity(n << 8 | 1, f"S{n}") for n in range(1, 6)])
    instruments.subscribe(database, "kite", [f"S{n}" for n in range(1, 6)])
    shards = [len(wanted(database, "kite", f"kite-{n}", 2)) for n in range(4)]
    assert shards == [2, 2, 1, 0]
    streams = database.query("desired_streams", brokers=["kite"], per_stream=2)
    assert streams.select("stream", "instruments").rows() == [
        ("kite-0", 2),
        ("kite-1", 2),
        ("kite-2", 1),
    ]


def test_a_newcomer_joins_the_last_stream_and_moves_nobody(database: Database) -> None:
    sync(database, SBIN, TCS, INFY)
    instruments.subscribe(database, "kite", ["TCS", "INFY"])
    before = wanted(database, "kite", "kite-0", 2)
    instruments.subscribe(database, "kite", ["SBIN"])
    assert wanted(database, "kite", "kite-0", 2) == before
    assert list(wanted(database, "kite", "kite-1", 2)) == [769]


def test_a_delisted_instrument_is_no_longer_wanted(database: Database) -> None:
    sync(database, INFY, TCS, *OTHERS)
    instruments.subscribe(database, "kite", ["INFY", "TCS"])
    sync(database, INFY, *OTHERS, day=TOMORROW)
    assert list(wanted(database, "kite", "kite-0", 3000)) == [257]
