"""The master of a real broker, 46,000 contracts: synchronised, again, after an eventful night."""

from datetime import timedelta

import polars as pl
import pytest

from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline.storage.instrument_history import changes
from market_pipeline.storage.instruments import Catalogue
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.instrument_cases import DUMP_DAY, contents, counted, real_master

NEXT_DAY = DUMP_DAY + timedelta(days=9)  # after the expiry of the month
_CONTRACTS, _RENAMED, _REUSED = 45_983, 500, 11_000


@pytest.fixture(scope="module")
def master() -> pl.DataFrame:
    return real_master()


def after_an_eventful_night(master: pl.DataFrame) -> pl.DataFrame:
    """Rename some equities and give the tokens of many contracts to others, ten years later."""
    place = pl.int_range(pl.len()).over("exchange")
    is_renamed = (pl.col("exchange") == "NSE") & (place < _RENAMED)
    is_other = (pl.col("exchange") == "NFO") & (place < _REUSED)
    return master.with_columns(
        pl.when(is_renamed)
        .then("X" + pl.col("symbol"))
        .when(is_other)
        .then(pl.col("symbol") + "2")
        .otherwise("symbol")
        .alias("symbol"),
        pl.when(is_other)
        .then(pl.col("expiry").dt.offset_by("10y"))
        .otherwise("expiry")
        .alias("expiry"),
        pl.col("name").fill_null(pl.col("symbol")),
    )


def sync(database: Database, master: pl.DataFrame, days: int = 0) -> instruments.SyncCounts:
    return instruments.sync(database, "kite", master, DUMP_DAY + timedelta(days=days))


def test_a_second_sync_of_the_same_dump_changes_nothing(
    database: Database, master: pl.DataFrame
) -> None:
    assert sync(database, master) == counted(_CONTRACTS, added=_CONTRACTS)
    before = contents(database)
    assert [len(table) for table in before] == [_CONTRACTS, _CONTRACTS, 0]
    assert sync(database, master) == counted(_CONTRACTS)
    assert sync(database, master, days=1) == counted(_CONTRACTS)
    assert contents(database) == before


def test_tokens_given_to_other_contracts_join_none_of_them(
    database: Database, master: pl.DataFrame
) -> None:
    sync(database, master)
    identities = "SELECT symbol, instrument_id FROM instruments WHERE listed_on = %s"
    before = dict(fetch(database, identities, DUMP_DAY))
    counts = sync(database, after_an_eventful_night(master), days=9)
    assert (counts.renamed, counts.added, counts.tokens_reused) == (_RENAMED, _REUSED, _REUSED)
    assert (counts.changed, counts.expired + counts.delisted) == (0, _REUSED)
    old, new = (Catalogue(database, "kite").on(day) for day in (DUMP_DAY, NEXT_DAY))
    assert old.height == new.height == _CONTRACTS
    assert dict(fetch(database, identities, DUMP_DAY)).keys() - before.keys() == {
        f"X{symbol}" for symbol in master.filter(exchange="NSE")["symbol"].head(_RENAMED)
    }
    joined = master.join(old, on="token").join(new, on="token", suffix="_new")
    assert joined["instrument_id"].to_list() == [before[symbol] for symbol in joined["symbol"]]
    moved = joined.filter(pl.col("instrument_id") != pl.col("instrument_id_new"))
    assert set(moved["token"]) == set(master.filter(exchange="NFO")["token"].head(_REUSED))
    assert not set(moved["instrument_id"]) & set(new["instrument_id"])
    assert not set(moved["instrument_id_new"]) & set(old["instrument_id"])


def test_every_change_that_was_counted_is_listed(database: Database, master: pl.DataFrame) -> None:
    sync(database, master)
    counts = sync(database, after_an_eventful_night(master), days=9)
    listed = changes(database, "kite", NEXT_DAY, NEXT_DAY)["change"].value_counts()
    assert dict(listed.iter_rows()) == {
        "renamed": counts.renamed,
        "added": counts.added,
        "expired": counts.expired,
        "delisted": counts.delisted,
        "token_reused": counts.tokens_reused,
    }
