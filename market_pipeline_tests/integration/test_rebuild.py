"""A rebuild makes of a journal what the present code would have made of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from market_pipeline import config
from market_pipeline.__main__ import app
from market_pipeline.commands import rebuild as rebuild_command
from market_pipeline.storage import candles
from market_pipeline.storage import rebuild as rebuild_storage
from market_pipeline.storage.database import Connection, Database, run
from market_pipeline.streaming import checkpoints, writer
from market_pipeline.streaming.records import RecordKind
from market_pipeline_tests import rebuilds
from market_pipeline_tests.builders import INFY, NIFTY, TCS, Known, Packet, fetch, frame
from market_pipeline_tests.journals import Line
from market_pipeline_tests.rebuilds import (
    FAULTS,
    Decode,
    doubling,
    ordered,
    rebuilt,
    receive,
    rejecting,
    store,
    stored_rightly,
    tables,
    without_indices,
)


@pytest.fixture(autouse=True)
def many_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a checkpoint with every batch."""
    monkeypatch.setattr(writer, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)


@pytest.fixture
def line(database: Database, tmp_path: Path) -> Iterator[Line]:
    opened = Line(database, tmp_path / "journal")
    yield opened
    opened.close()


@pytest.fixture
def right(
    line: Line, new_database: Callable[..., str], template: str, tmp_path: Path
) -> Callable[[], Database]:
    """Make the database in which the right decoder ran from the beginning."""

    def make() -> Database:
        database = Database(new_database(template))
        return stored_rightly(line, database, tmp_path / "right")

    return make


@pytest.mark.parametrize("since", [0, 60])
def test_a_rebuild_with_the_same_code_changes_nothing(line: Line, since: int) -> None:
    receive(line)
    store(line)
    before = tables(line.database)
    outcome = rebuilt(line, ordered(line, since))
    assert (outcome.start > 0) == (since > 0)
    assert outcome.difference[:2] == (outcome.frames, outcome.frames)
    assert outcome.difference[2:] == (0, 0)
    assert tables(line.database) == before


@pytest.mark.parametrize("decode", FAULTS)
def test_after_a_rebuild_it_is_as_if_the_right_code_had_run(
    line: Line, right: Callable[[], Database], decode: Decode
) -> None:
    receive(line)
    expected = right()
    store(line, decode)
    assert tables(line.database) != tables(expected)
    rebuilt(line)
    assert tables(line.database) == tables(expected)


def test_what_follows_a_rebuild_is_as_if_the_right_code_had_run(
    line: Line, right: Callable[[], Database]
) -> None:
    receive(line)
    store(line, without_indices)
    rebuilt(line)
    receive(line, first=120, connect=False)
    expected = right()
    store(line)
    assert tables(line.database) == tables(expected)


@pytest.mark.parametrize("decode", FAULTS)
def test_a_rebuild_of_the_part_with_the_fault_mends_it(
    line: Line, right: Callable[[], Database], decode: Decode
) -> None:
    receive(line, 60)
    store(line)
    receive(line, 60, first=60, connect=False)
    expected = right()
    store(line, decode)
    assert rebuilt(line, ordered(line, 60)).start > 0
    assert tables(line.database) == tables(expected)


def test_a_part_in_the_middle_is_mended(line: Line, right: Callable[[], Database]) -> None:
    receive(line)
    expected = right()
    store(line, doubling)
    outcome = rebuilt(line, ordered(line, 0, 60))
    assert 0 < outcome.end < line.journal.end
    rest = fetch(line.database, "SELECT count(*) FROM ticks WHERE last_price >= 200")
    assert rest == [(360 - outcome.frames,)]
    rebuilt(line, ordered(line, 60))
    assert tables(line.database) == tables(expected)


def test_twice_is_once(line: Line) -> None:
    receive(line)
    store(line, without_indices)
    rebuilt(line)
    once = tables(line.database)
    again = rebuilt(line, ordered(line, 70))
    assert again.start > 0
    assert again.difference[2:] == (0, 0)
    assert tables(line.database) == once


def test_a_dry_run_tells_and_changes_nothing(line: Line) -> None:
    receive(line)
    store(line, doubling)
    before, files = tables(line.database), sorted(line.folder.iterdir())
    assert rebuilt(line, ordered(line, is_dry_run=True)).difference == (360, 360, 360, 360)
    assert tables(line.database) == before
    assert sorted(line.folder.iterdir()) == files
    assert rebuilt(line).difference.deleted == 360


def test_a_rebuild_that_fails_half_way_changes_nothing(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(line)
    store(line, rejecting)
    before = tables(line.database)

    def interrupted(connection: Connection, name: str, /, **values: Any) -> Any:
        if name == "delete_vanished_candles":  # the last before the commit
            raise KeyboardInterrupt
        return run(connection, name, **values)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(rebuild_storage, "run", interrupted)
        rebuilt(line)
    assert tables(line.database) == before
    assert not list(line.folder.glob("*staged"))
    assert rebuilt(line).difference.inserted > 120


def test_volumes_are_known_across_the_start_of_the_period(line: Line) -> None:
    receive(line)
    store(line, doubling)
    rebuilt(line, ordered(line, 60))
    unknown = fetch(line.database, "SELECT count(*) FROM ticks WHERE volume IS NULL")
    assert unknown == [(120 + 2,)]  # of the index, and the first of each share


def test_a_tick_that_was_traded_long_before_it_came_is_replaced(line: Line) -> None:
    line.say(RecordKind.CONNECTED)
    for second in (0, 1):
        line.frames(frame(Packet(volume=5, at=second - 40 * 86_400)), at=second)
    store(line, doubling)
    rebuilt(line)
    assert fetch(line.database, "SELECT last_price FROM ticks") == [(100,), (100,)]


def test_candles_follow(line: Line, right: Callable[[], Database]) -> None:
    receive(line, 600)
    expected = right()
    candles.refresh(expected)
    store(line, doubling)
    candles.refresh(line.database)
    rebuilt(line)
    candles.refresh(line.database)
    assert all_candles(line.database) == all_candles(expected)


def test_candles_of_minutes_that_lose_their_trades_go(
    line: Line, right: Callable[[], Database]
) -> None:
    receive(line, 300)
    line.packets(Packet(volume=5000, at=2000))
    expected = right()
    candles.refresh(expected)
    store(line, rebuilds.stamping_late)
    candles.refresh(line.database)
    rebuilt(line)
    candles.refresh(line.database)
    assert all_candles(line.database) == all_candles(expected)


def all_candles(database: Database) -> list[object]:
    return [
        fetch(database, "SELECT * FROM candles_1m ORDER BY 1, 2"),
        fetch(database, "SELECT * FROM candles_5m ORDER BY 1, 2"),
        fetch(database, "SELECT * FROM candles_15m ORDER BY 1, 2"),
    ]


def test_frames_of_one_packet_and_of_many_are_rebuilt_alike(
    line: Line, right: Callable[[], Database]
) -> None:
    line.say(RecordKind.CONNECTED)
    for second in range(50):
        packets = [Packet(token=t, volume=second, at=second) for t in (INFY, TCS)]
        line.frames(frame(*packets), frame(Packet(token=NIFTY, at=second)), at=second)
    expected = right()
    store(line, doubling)
    rebuilt(line, ordered(line, batch_bytes=500))
    assert tables(line.database) == tables(expected)


@pytest.fixture
def commanded(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Line]:
    """A stream of the simulator in a home of its own, stored with a fault."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MARKET_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("BROKER", "simulator")
    monkeypatch.setattr(config, "settings", config.load)
    monkeypatch.setattr(rebuild_command, "Catalogue", lambda *_: Known())
    opened = Line(database, tmp_path / "journal" / "simulator-0")
    receive(opened)
    store(opened, doubling, stream="simulator-0")
    yield opened
    opened.close()


def replay(*words: str) -> str:
    result = CliRunner().invoke(app, ["replay", *words])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_the_command_tells_what_would_change(commanded: Line) -> None:
    period = ("--from-journal", "simulator-0", "--from", "2026-11-20T09:15")
    assert "360 would be deleted, 360 would be written." in replay(*period, "--dry-run")
    assert fetch(commanded.database, "SELECT min(last_price) FROM ticks") == [(200,)]


def test_the_command_mends_ticks_and_candles(commanded: Line) -> None:
    candles.refresh(commanded.database)
    output = replay("--from-journal", "simulator-0", "--from", "2026-11-20T03:45:00+0000")
    assert "360 were stored, 360 are right; 360 were deleted, 360 were written." in output
    assert fetch(commanded.database, "SELECT max(high) FROM candles_1m") == [(106,)]
    assert fetch(commanded.database, "SELECT count(*) FROM candle_invalidations") == [(0,)]


def test_days_that_change_are_to_be_compared_with_the_broker_again(line: Line) -> None:
    fetch(
        line.database,
        "INSERT INTO instruments (exchange, segment, exchange_token, symbol, name, kind)"
        " SELECT 'NSE', 'CM', n::text, 'S' || n, 'N', 'EQ' FROM generate_series(1, 9) AS n",
    )
    fetch(
        line.database,
        "INSERT INTO reconciliations (day, instrument_id, broker, verdict, compared, agreeing,"
        " differing, missing, extra, not_compared)"
        " SELECT day, 1, 'kite', 'agrees', 1, 1, 0, 0, 0, 0"
        " FROM unnest('{2026-11-19, 2026-11-20}'::date[]) AS day",
    )
    receive(line)
    store(line, doubling)
    rebuilt(line)
    left = fetch(line.database, "SELECT day::text FROM reconciliations")
    assert left == [("2026-11-19",)]
