"""A day that is replayed out of the archive is what it was when it was live."""

from collections.abc import Iterator
from datetime import date, time

import pytest

from market_pipeline.archive.day import write_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.errors import ReplayRefused
from market_pipeline.replay import archived, comparing
from market_pipeline.replay.comparing import Comparison
from market_pipeline.replay.order import Order
from market_pipeline.storage import archives, tick_batches
from market_pipeline.storage.database import Database
from market_pipeline.storage.tick_batches import unpacked
from market_pipeline_tests.builders import TODAY, fetch
from market_pipeline_tests.replays import (
    TICKS,
    Clock,
    Recorded,
    everything,
    from_archive,
    recorded,
)

pytestmark = pytest.mark.needs_plain_server("a replay's schema is a plain one on either")


@pytest.fixture(scope="module")
def line(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    with recorded(shared_database, tmp_path_factory.mktemp("home")) as opened:
        stand_by(opened)
        write_day(opened.database, store(opened), TODAY)
        yield opened


def store(line: Recorded) -> FolderStore:
    return FolderStore(line.home / "archive")


def stand_by(line: Recorded) -> None:
    """Have some ticks of a second broker as well, and some of before there were two."""
    statement = """
        INSERT INTO feeds (broker) VALUES ('another');
        INSERT INTO standby_ticks SELECT * FROM ticks WHERE is_trade;
        UPDATE standby_ticks SET feed = (SELECT feed FROM feeds WHERE broker = 'another');
        UPDATE ticks SET feed = NULL WHERE time < '2026-11-20 09:15:10+05:30'
    """
    fetch(line.database, statement)


def test_candles_and_ticks_are_those_of_the_live_day(line: Recorded) -> None:
    before = everything(line.database)
    made, progress = from_archive(line, store(line))
    order, found = Order(TODAY), archived.find(Order(TODAY), line.database, store(line))
    live = archived.as_known_then(found, order)
    compared = Comparison("", live, comparing.as_known_then(made.database, order))
    assert compared.hashes[0] == compared.hashes[1]
    assert comparing.digest(comparing.as_known_then(line.database, order)) == compared.hashes[0]
    assert live.height == 8
    assert progress.ticks == 400
    assert fetch(made.database, TICKS) == fetch(line.database, TICKS)
    standby = TICKS.replace("FROM ticks", "FROM standby_ticks")
    assert fetch(made.database, standby) == fetch(line.database, standby) != []
    assert everything(line.database) == before
    assert not (line.home / "replay").exists()


def test_listeners_get_ticks_in_the_order_in_which_they_were_received(
    line: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archived, "_MOST_TICKS", 37)
    monkeypatch.setattr(tick_batches, "_TRIM_SECONDS", 1e9)
    made, _ = from_archive(line, store(line), Order(TODAY, is_kept=False))
    rows = fetch(made.database, "SELECT first_arrival, payload FROM tick_batches ORDER BY arrivals")
    batches = [unpacked("replay-0", first, payload) for first, payload in rows]
    assert [0, *(batch.end for batch in batches)] == [*(batch.first for batch in batches), 400]
    put_out = [
        row
        for batch in batches
        for row in zip(
            batch.ticks["received_at"].tolist(), batch.ticks["seq"].tolist(), strict=True
        )
    ]
    assert put_out == fetch(line.database, ARRIVALS)
    assert fetch(made.database, "SELECT count(*) FROM ticks") == [(0,)]


ARRIVALS = """
SELECT (extract(EPOCH FROM received_at) * 1000000)::bigint, seq FROM ticks ORDER BY seq & 4294967295
"""


def test_a_part_of_the_day_and_of_its_instruments_is_replayed(line: Recorded) -> None:
    ((infy,),) = fetch(line.database, "SELECT instrument_id FROM instruments WHERE symbol = 'INFY'")
    order = Order(TODAY, since=time(9, 16), until=time(9, 17), instrument_ids=[infy])
    made, progress = from_archive(line, store(line), order)
    assert progress.ticks == 60
    found = archived.find(order, line.database, store(line))
    live = archived.as_known_then(found, order)
    assert live.height == 1
    assert Comparison("", live, comparing.as_known_then(made.database, order)).is_equal


def test_candles_are_as_they_are_now_if_that_is_asked_for(line: Recorded) -> None:
    repair = """
        INSERT INTO candle_repairs (
            instrument_id, time, broker, open, high, low, close, volume, fields, reason, repaired_by
        ) SELECT
            instrument_id, '2026-11-20 09:16+05:30', 'simulator', 1, 2, 1, 2, 3, '{high}', '', ''
        FROM instruments WHERE symbol = 'INFY'
    """
    fetch(line.database, repair)
    order = Order(TODAY, is_repaired=True)
    made, _ = from_archive(line, store(line), order)
    live = comparing.as_known_now(line.database, order)
    assert live["state"].to_list().count("repaired") == 1
    assert Comparison("", live, comparing.as_known_now(made.database, order)).is_equal
    known_then = comparing.as_known_then(made.database, order)
    assert comparing.digest(known_then) == comparing.digest(
        comparing.as_known_then(line.database, order)
    )


@pytest.fixture
def morning(line: Recorded) -> Iterator[None]:
    """Some ticks of the day were received a day later, and the archive has them so."""
    later = "UPDATE ticks SET received_at = received_at + %s * interval '1 day' WHERE seq %% 50 = 0"
    for days in (1, -1):
        fetch(line.database, later, days)
        fetch(line.database, "UPDATE archives SET changed_at = now()")
        write_day(line.database, store(line), TODAY)
        if days > 0:
            yield


@pytest.mark.usefixtures("morning")
def test_what_was_received_the_next_morning_is_not_waited_for(line: Recorded) -> None:
    clock = Clock()
    order = Order(TODAY, speed=20)
    made, progress = from_archive(line, store(line), order, timing=clock.timing)
    assert progress.ticks == 400
    assert clock.at - 1000 == pytest.approx(199 / 20, abs=1)
    live = archived.as_known_then(archived.find(order, line.database, store(line)), order)
    assert Comparison("", live, comparing.as_known_then(made.database, order)).is_equal
    assert fetch(made.database, TICKS) == fetch(line.database, TICKS)


def test_a_day_that_is_not_archived_is_refused(line: Recorded) -> None:
    with pytest.raises(ReplayRefused, match="2026-11-19 is not archived"):
        from_archive(line, store(line), Order(date(2026, 11, 19)))


def test_an_archive_elsewhere_is_refused(line: Recorded) -> None:
    with pytest.raises(ReplayRefused, match="is archived at .*, and ARCHIVE_URL is"):
        from_archive(line, FolderStore(line.home / "elsewhere"))


def test_a_damaged_archive_is_refused(line: Recorded) -> None:
    archives.set_damage(line.database, TODAY, "part-1 is missing")
    with pytest.raises(ReplayRefused, match="is damaged: part-1 is missing"):
        from_archive(line, store(line))
    archives.set_damage(line.database, TODAY, None)


def test_a_choice_of_which_there_is_nothing_is_refused(line: Recorded) -> None:
    with pytest.raises(ReplayRefused, match="has no ticks of what was chosen"):
        from_archive(line, store(line), Order(TODAY, instrument_ids=[12345]))
