"""A day that is replayed from a stream's journal is what it was when it was live."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import time
from pathlib import Path

import pytest

from market_pipeline.errors import JournalError, ReplayRefused
from market_pipeline.replay.order import Order
from market_pipeline.storage import candles as candle_storage
from market_pipeline.storage import scratch
from market_pipeline.storage.database import Database
from market_pipeline.streaming.journal import Journal
from market_pipeline_tests.builders import TODAY, fetch
from market_pipeline_tests.replays import (
    TICKS,
    Clock,
    Recorded,
    candles,
    everything,
    from_journal,
    recorded,
)

pytestmark = pytest.mark.needs_plain_server("a replay's schema is a plain one on either")


@pytest.fixture(scope="module")
def line(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    with recorded(shared_database, tmp_path_factory.mktemp("home")) as opened:
        yield opened


def test_candles_and_ticks_are_those_of_the_live_day(line: Recorded) -> None:
    candle_storage.refresh(line.database)
    before = everything(line.database)
    made, progress = from_journal(line)
    compared = candles(line, made)
    assert compared.hashes[0] == compared.hashes[1]
    assert compared.live.height == 8
    assert progress.ticks == 400
    assert fetch(made.database, TICKS) == fetch(line.database, TICKS)
    rejected = "SELECT position, reason, payload FROM rejected"
    assert fetch(made.database, rejected) == fetch(line.database, rejected) != []
    assert everything(line.database) == before


def test_a_replay_takes_as_long_as_the_day_took_divided_by_its_speed(line: Recorded) -> None:
    clock = Clock()
    made, progress = from_journal(line, Order(TODAY, speed=20), timing=clock.timing)
    assert clock.at - 1000 == pytest.approx(199 / 20)
    assert progress.ticks == 400
    told = "SELECT state, ticks, detail FROM streams"
    assert fetch(made.database, told) == [("stopped", 400, "replay of 2026-11-20 at 20 x")]
    assert candles(line, made).is_equal


def test_a_replay_that_is_ended_stores_no_more_than_was_due(line: Recorded) -> None:
    clock = Clock(until=1050)
    made, progress = from_journal(line, Order(TODAY, speed=2), timing=clock.timing)
    assert 190 < progress.ticks < 204
    newest = "SELECT max(received_at) < '2026-11-20 09:16:41+05:30' FROM ticks"
    assert fetch(made.database, newest) == [(True,)]


def test_a_part_of_the_day_is_replayed_with_what_was_known_before(line: Recorded) -> None:
    order = Order(TODAY, since=time(9, 16), until=time(9, 18))
    made, progress = from_journal(line, order)
    assert progress.ticks == 240
    assert fetch(made.database, "SELECT count(*) FROM ticks WHERE volume IS NULL") == [(0,)]
    compared = candles(line, made, order)
    assert compared.is_equal
    assert compared.live.height == 4
    cut = Order(TODAY, since=time(9, 16, 30), until=time(9, 17, 30))
    assert candles(line, made, cut).live.is_empty()  # no minute of it is whole


def test_instruments_can_be_chosen_and_what_differs_is_shown(line: Recorded) -> None:
    ((infy,),) = fetch(line.database, "SELECT instrument_id FROM instruments WHERE symbol = 'INFY'")
    order = Order(TODAY, instrument_ids=[infy])
    made, progress = from_journal(line, order)
    assert progress.ticks == 200
    assert fetch(made.database, "SELECT DISTINCT instrument_id FROM ticks") == [(infy,)]
    assert fetch(made.database, "SELECT instrument_id FROM subscriptions") == [(infy,)]
    assert candles(line, made, order).is_equal
    compared = candles(line, made)
    assert not compared.is_equal
    assert set(compared.differing()["side"]) == {"live"}


def test_nothing_is_stored_for_clients_only(line: Recorded) -> None:
    made, progress = from_journal(line, Order(TODAY, is_kept=False))
    assert progress.ticks == 400
    assert fetch(made.database, "SELECT count(*) FROM ticks") == [(0,)]
    put_out = "SELECT sum(arrivals - first_arrival), max(arrivals) FROM tick_batches"
    assert fetch(made.database, put_out) == [(400, 400)]


def test_a_second_replay_replaces_what_the_first_has_left(line: Recorded) -> None:
    from_journal(line, Order(TODAY, until=time(9, 16)))
    made, _ = from_journal(line, Order(TODAY, since=time(9, 17)))
    assert fetch(made.database, "SELECT count(*) FROM ticks") == [(160,)]
    assert scratch.listed(line.database)["schema"].to_list() == [made.schema]
    assert not (line.home / "replay").exists()


def test_a_period_of_which_there_is_nothing_is_refused(line: Recorded) -> None:
    with pytest.raises(ReplayRefused, match="holds nothing that was received on 2026-11-20 betw"):
        from_journal(line, Order(TODAY, since=time(11)))


def test_a_journal_that_is_not_there_is_refused(line: Recorded, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal of simulator-0"):
        from_journal(moved(line, tmp_path))


def test_a_journal_that_begins_later_says_from_when_on(line: Recorded, tmp_path: Path) -> None:
    shutil.copytree(line.folder, tmp_path / "journal")
    with closing(Journal(tmp_path / "journal", 10**9)) as copied:
        copied.make_room(copied.end)
    with pytest.raises(JournalError, match="can be replayed from 2026-11-20 09:18:20 on"):
        from_journal(moved(line, tmp_path / "journal"))


def moved(line: Recorded, folder: Path) -> Recorded:
    other = object.__new__(Recorded)
    other.__dict__ |= line.__dict__ | {"folder": folder}
    return other
