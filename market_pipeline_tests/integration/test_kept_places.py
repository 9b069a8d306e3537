"""A subscription stays on the stream that carries it, whatever becomes of the others."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from market_pipeline.sessions import trading_date
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.instrument_cases import LATER, TOMORROW, numbered, sync

ROWS = numbered("NSE", 9)
NUMBERS = {row["token"]: number for number, row in enumerate(ROWS, 1)}


@pytest.fixture
def six(database: Database) -> Database:
    """Six of nine are subscribed in order, and are on three streams of two."""
    sync(database, *ROWS)
    subscribe(database, *range(1, 7))
    assert carried(database) == [{1, 2}, {3, 4}, {5, 6}]
    return database


def subscribe(database: Database, *numbers: int) -> None:
    for number in numbers:
        instruments.subscribe(database, "kite", [f"NSE{number}"])


def unsubscribe(database: Database, *numbers: int) -> None:
    instruments.unsubscribe(database, "kite", [f"NSE{number}" for number in numbers])


def carried(database: Database, size: int = 2, streams: Iterable[int] = range(3)) -> list[set[int]]:
    """Return what each stream of Kite's carries."""
    found = []
    for stream in streams:
        rows = instruments.wanted_tokens(database, ["kite"], f"kite-{stream}", size)
        found.append({NUMBERS[token] for token in rows["token"]})
    return found


def desired(database: Database, size: int = 2) -> dict[str, int]:
    rows = database.query("desired_streams", brokers=["kite"], per_stream=size)
    return dict(rows.select("stream", "instruments").iter_rows())


def test_who_leaves_moves_nobody(six: Database) -> None:
    unsubscribe(six, 1)
    assert carried(six) == [{2}, {3, 4}, {5, 6}]


def test_newcomers_fill_free_places_the_longest_subscribed_the_first_ones(six: Database) -> None:
    unsubscribe(six, 2, 3)
    subscribe(six, 8, 7, 9)
    assert carried(six, streams=range(4)) == [{1, 8}, {4, 7}, {5, 6}, {9}]


def received(database: Database, number: int, ago: timedelta) -> None:
    """Store a tick of an instrument that was received some time ago."""
    (row,) = [row for row in ROWS if NUMBERS[row["token"]] == number]
    fetch(
        database,
        "INSERT INTO ticks (time, seq, instrument_id, last_price, high, low, is_trade, received_at)"
        " SELECT now() - %s, 1, instrument_id, 100, 100, 100, true, now() - %s"
        " FROM broker_instruments WHERE token = %s",
        *(ago, ago, row["token"]),
    )


def pauses(database: Database) -> list[tuple[str, str, int, bool]]:
    query = (
        "SELECT stream, cause, cardinality(instruments), ended_at IS NOT NULL"
        " AND started_at < ended_at FROM gaps"
    )
    return [tuple(row) for row in fetch(database, query)]


def test_what_is_subscribed_again_has_a_gap_since_its_last_tick(six: Database) -> None:
    six.execute("ensure_tick_day", day=trading_date(datetime.now(UTC)))
    received(six, 3, timedelta(seconds=1))
    unsubscribe(six, 3, 4)
    assert carried(six) == [{1, 2}, set(), {5, 6}]
    subscribe(six, 4, 3)
    assert carried(six) == [{1, 2}, {3, 4}, {5, 6}]
    assert pauses(six) == [("kite-1", "not subscribed", 1, True)]


def test_what_was_never_gone_has_none(six: Database) -> None:
    six.execute("ensure_tick_day", day=trading_date(datetime.now(UTC)))
    received(six, 3, timedelta(seconds=1))
    unsubscribe(six, 3)
    subscribe(six, 3, 7)  # before any stream has looked
    carried(six, streams=range(4))
    assert pauses(six) == []


def test_a_stream_that_has_become_empty_is_not_wanted(six: Database) -> None:
    unsubscribe(six, 1, 2)
    assert carried(six) == [set(), {3, 4}, {5, 6}]
    assert desired(six) == {"kite-1": 2, "kite-2": 2}


def test_an_empty_stream_is_the_first_to_be_filled(six: Database) -> None:
    unsubscribe(six, 1, 2)
    subscribe(six, 7)
    assert desired(six) == {"kite-0": 1, "kite-1": 2, "kite-2": 2}
    assert carried(six) == [{7}, {3, 4}, {5, 6}]


def test_what_is_subscribed_again_before_a_stream_has_noticed_stays_on_it(six: Database) -> None:
    unsubscribe(six, 1, 3)
    subscribe(six, 3)
    assert carried(six) == [{2}, {3, 4}, {5, 6}]


def test_what_is_subscribed_again_later_is_a_newcomer(six: Database) -> None:
    unsubscribe(six, 1, 3)
    carried(six)
    subscribe(six, 3)
    assert carried(six) == [{2, 3}, {4}, {5, 6}]


def test_what_comes_back_to_a_place_that_was_given_away_takes_another(six: Database) -> None:
    unsubscribe(six, 1, 3)
    subscribe(six, 7, 8)
    assert carried(six) == [{2, 7}, {4, 8}, {5, 6}]
    subscribe(six, 3)
    assert carried(six, streams=range(4)) == [{2, 7}, {4, 8}, {5, 6}, {3}]


def test_what_the_broker_does_not_offer_any_more_gives_its_place_away(six: Database) -> None:
    sync(six, *ROWS[:2], *ROWS[3:], day=TOMORROW)
    subscribe(six, 7)
    assert carried(six) == [{1, 2}, {4, 7}, {5, 6}]
    sync(six, *ROWS, day=LATER)
    assert carried(six, streams=range(4)) == [{1, 2}, {4, 7}, {5, 6}, {3}]


def test_of_a_stream_that_is_too_large_for_its_broker_the_newest_move(six: Database) -> None:
    unsubscribe(six, 3, 4, 5, 6)
    carried(six, 5)
    subscribe(six, 7, 8, 9)
    assert carried(six, 5) == [{1, 2, 7, 8, 9}, set(), set()]
    assert carried(six, 2) == [{1, 2}, {7, 8}, {9}]
    assert carried(six, 5) == [{1, 2}, {7, 8}, {9}]


def test_nobody_moves_because_nothing_was_streamed_for_a_while(six: Database) -> None:
    unsubscribe(six, 1)
    six.execute("set_desired_state", is_streaming=False)
    assert carried(six) == [set(), set(), set()]
    six.execute("set_desired_state", is_streaming=True)
    assert carried(six) == [{2}, {3, 4}, {5, 6}]


@pytest.mark.needs_real_server("several transactions are open at once")
def test_streams_that_ask_at_once_divide_newcomers_among_them(database: Database) -> None:
    sync(database, *ROWS)
    subscribe(database, *range(1, 10))
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda stream: carried(database, streams=[stream]), range(5))
        assert [each for (each,) in found] == [{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9}]


def test_a_stream_is_wanted_before_anybody_has_placed_what_it_is_to_carry(six: Database) -> None:
    subscribe(six, 7)
    assert desired(six) == {"kite-0": 2, "kite-1": 2, "kite-2": 2, "kite-3": 1}
