"""Masters that are not believed: nothing changes, and the message says why."""

from datetime import date, timedelta

import pytest

from market_pipeline.errors import UnexpectedReply
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import TODAY
from market_pipeline_tests.instrument_cases import (
    INFY,
    SBIN,
    TCS,
    TOMORROW,
    Row,
    contents,
    counted,
    future,
    numbered,
    sync,
)


def refused(database: Database, *rows: Row, match: str, day: date = TOMORROW) -> None:
    """Check that a master is refused with a message, and that it leaves no trace."""
    before = contents(database)
    with pytest.raises(UnexpectedReply, match=match):
        sync(database, *rows, day=day)
    assert contents(database) == before


def test_a_first_master_that_is_empty_is_refused(database: Database) -> None:
    refused(database, match="0 rows where 0 are known")


def test_a_later_master_that_is_empty_is_refused(database: Database) -> None:
    sync(database, INFY, TCS, SBIN)
    refused(database, match=r"of kite has 0 rows where 3 are known \(NSE 0 of 3\)")


def test_a_master_that_lost_thirty_percent_is_refused(database: Database) -> None:
    known = numbered("NSE", 200)
    sync(database, *known)
    refused(database, *known[:140], match=r"140 rows where 200 are known \(NSE 140 of 200\)")


def test_a_master_that_lost_less_is_believed(database: Database) -> None:
    known = numbered("NSE", 200)
    sync(database, *known)
    assert sync(database, *known[:141], day=TOMORROW) == counted(141, delisted=59)


def test_what_was_refused_may_come_complete_later(database: Database) -> None:
    known = numbered("NSE", 200)
    sync(database, *known)
    refused(database, *known[:10], match="10 rows")
    assert sync(database, *known, day=TOMORROW) == counted(200)


def test_contracts_that_have_expired_since_are_not_lost(database: Database) -> None:
    expiring = [future(n << 8 | 2, f"INFY{n}FUT", TODAY) for n in range(1, 151)]
    sync(database, *numbered("NSE", 50), *expiring)
    assert sync(database, *numbered("NSE", 50), day=TOMORROW) == counted(50, expired=150)


def test_contracts_that_expire_today_are_still_due(database: Database) -> None:
    expiring = [future(n << 8 | 2, f"INFY{n}FUT", TOMORROW) for n in range(1, 151)]
    sync(database, *numbered("NSE", 50), *expiring)
    refused(database, *numbered("NSE", 50), match=r"50 rows where 200 are known \(NFO 0 of 150\)")


def test_a_master_that_lost_one_exchange_is_refused_however_large_the_rest(
    database: Database,
) -> None:
    sync(database, *numbered("NSE", 480), *numbered("BSE", 120))
    refused(
        database,
        *numbered("NSE", 480),
        match=r"480 rows where 600 are known \(BSE 0 of 120\): what was in force stays so",
    )


def test_an_exchange_of_few_instruments_is_judged_with_the_others(database: Database) -> None:
    sync(database, *numbered("NSE", 480), *numbered("BSE", 99))
    assert sync(database, *numbered("NSE", 480), day=TOMORROW) == counted(480, delisted=99)


def test_an_exchange_that_shrank_is_not_made_up_for_by_one_that_grew(database: Database) -> None:
    sync(database, *numbered("NSE", 200), *numbered("BSE", 200))
    grown = [*numbered("NSE", 500), *numbered("BSE", 100)]
    refused(database, *grown, match=r"600 rows where 400 are known \(BSE 100 of 200\)")


def test_masters_of_brokers_are_compared_with_their_own(database: Database) -> None:
    sync(database, *numbered("NSE", 300))
    assert sync(database, INFY, broker="fyers").total == 1


def test_expiries_are_judged_by_the_day_of_the_sync(database: Database) -> None:
    expiring = [future(n << 8 | 2, f"INFY{n}FUT", TODAY) for n in range(1, 151)]
    sync(database, INFY, *expiring, day=TODAY - timedelta(days=3))
    refused(database, INFY, match="1 rows where 151 are known", day=TODAY)


@pytest.mark.parametrize("known", [[], [INFY, TCS]], ids=["first", "later"])
def test_two_rows_that_claim_one_token_are_refused_by_name(
    database: Database, known: list[Row]
) -> None:
    if known:
        sync(database, *known)
    doubled = {**SBIN, "token": INFY["token"]}
    refused(database, INFY, TCS, doubled, match=r"claim a token .* NSE:INFY \(257\) and NSE:SBIN")


def test_two_rows_that_claim_one_contract_are_refused_by_name(database: Database) -> None:
    doubled = {**INFY, "token": 1025, "symbol": "INFY2"}
    refused(database, INFY, doubled, match=r"claim a contract .* NSE:INFY \(257\) and NSE:INFY2")


def test_contracts_that_differ_in_their_expiry_only_are_two(database: Database) -> None:
    near = future(3, "INFY26NOVFUT", TOMORROW)
    far = {**future(259, "INFY26DECFUT", TOMORROW + timedelta(days=28)), "exchange_token": "0"}
    assert sync(database, {**near, "exchange_token": "0"}, far).added == 2
