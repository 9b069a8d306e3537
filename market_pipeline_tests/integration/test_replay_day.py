"""`market-pipeline replay-day` as a process: with clients, killed, and asked for what it cannot."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from market_pipeline import config
from market_pipeline.__main__ import app
from market_pipeline.archive.day import write_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.client import Client
from market_pipeline.client_stream import Tick
from market_pipeline.replay import archived
from market_pipeline.replay.order import Progress
from market_pipeline.storage import scratch
from market_pipeline.storage.database import Database, in_schema
from market_pipeline_tests.acceptance.demo import clean_environment, free_port
from market_pipeline_tests.builders import TODAY, eventually, fetch
from market_pipeline_tests.replays import Recorded, everything, recorded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_real_server("a process of its own with connections of its own"),
]

DAY = str(TODAY)
STREAM = ("--from-journal", "simulator-0")
REPLAYED = """
SELECT received_at, last_price, volume FROM ticks
WHERE instrument_id = (SELECT instrument_id FROM instruments WHERE symbol = 'INFY') ORDER BY seq
"""


@pytest.fixture(scope="module")
def line(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    with recorded(shared_database, tmp_path_factory.mktemp("home")) as opened:
        yield opened


@contextmanager
def replaying(line: Recorded, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = (sys.executable, "-m", "market_pipeline", "replay-day", DAY, *STREAM, *options)
    with subprocess.Popen(
        command, env=environment(line), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def environment(line: Recorded) -> dict[str, str]:
    own = {"DATABASE_URL": line.database.url, "BROKER": "simulator"}
    return clean_environment(line.home) | own


async def received(port: int, count: int) -> list[Tick]:
    ticks: list[Tick] = []
    async with asyncio.timeout(60):
        async for tick in Client(f"http://127.0.0.1:{port}").stream(["NSE:INFY"]):
            ticks.append(tick)
            if len(ticks) == count:
                break
    return ticks


def answers(process: subprocess.Popen[str], port: int) -> bool:
    assert process.poll() is None, process.communicate()
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_clients_get_the_ticks_of_the_day_in_order_at_their_times(line: Recorded) -> None:
    before, port = everything(line.database), free_port()
    options = ("--speed", "max", "--wait", "--port", str(port), "--drop", "--json")
    with replaying(line, *options) as process:
        eventually(lambda: answers(process, port), "no API over the replay", 60)
        ticks = asyncio.run(received(port, 200))
        told, problems = process.communicate(timeout=60)
    assert process.returncode == 0, problems
    expected = fetch(line.database, REPLAYED)
    assert [(tick.received_at, tick.last_price, tick.volume) for tick in ticks] == expected
    result = json.loads(told)
    assert (result["ticks"], result["candles"][0]["equal"]) == (400, True)
    assert everything(line.database) == before
    assert scratch.listed(line.database).is_empty()


def test_a_replay_that_is_killed_has_touched_nothing_and_can_be_done_again(
    line: Recorded,
) -> None:
    before = everything(line.database)
    name = scratch.name_of(scratch.source_of(line.database), TODAY)
    apart = Database(in_schema(line.database.url, name))
    with replaying(line, "--speed", "2", "--no-serve") as process:
        eventually(lambda: has_ticks(process, apart), "nothing is replayed", 60)
        process.kill()
    assert 0 < fetch(apart, "SELECT count(*) FROM ticks")[0][0] < 400
    assert everything(line.database) == before
    with replaying(line, "--speed", "max", "--no-serve") as process:
        told, problems = process.communicate(timeout=60)
    assert (process.returncode, "  equal\n" in told) == (0, True), problems
    assert fetch(apart, "SELECT count(*) FROM ticks") == [(400,)]
    assert everything(line.database) == before


def has_ticks(process: subprocess.Popen[str], apart: Database) -> bool:
    assert process.poll() is None, process.communicate()
    if fetch(apart, "SELECT to_regclass('ticks') IS NULL") == [(True,)]:
        return False
    return bool(fetch(apart, "SELECT EXISTS (SELECT FROM ticks)")[0][0])


def test_candles_of_another_stream_are_no_difference(line: Recorded, configured: CliRunner) -> None:
    statement = """
        INSERT INTO ticks
        SELECT (jsonb_populate_record(t, '{"instrument_id": 4711}')).* FROM ticks AS t
    """
    fetch(line.database, statement)
    try:
        asked = ["replay-day", DAY, *STREAM, "--speed", "max", "--no-serve", "--drop"]
        assert "  equal" in configured.invoke(app, asked, catch_exceptions=False).output
    finally:
        fetch(line.database, "DELETE FROM ticks WHERE instrument_id = 4711")


def test_files_that_give_way_to_others_during_a_replay_change_no_comparison(
    line: Recorded, configured: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = FolderStore(line.home / "archive")
    write_day(line.database, folder, TODAY)
    replay = archived.replay

    def and_archived_anew(*given: Any) -> Progress:
        made = replay(*given)
        for path in Path(folder.location, "candles").rglob("*.parquet"):
            path.unlink()
        return made

    monkeypatch.setattr(archived, "replay", and_archived_anew)
    asked = ["replay-day", DAY, "--speed", "max", "--no-serve", "--drop"]
    assert "  equal" in configured.invoke(app, asked, catch_exceptions=False).output


@pytest.fixture
def configured(line: Recorded, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    for name, value in environment(line).items():
        monkeypatch.setenv(name, value)
    config.settings.cache_clear()
    yield CliRunner()
    config.settings.cache_clear()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((DAY, "--speed", "0"), "--speed 0: give a number above 0, as in 10, or max"),
        ((DAY, "--speed", "fast"), "--speed fast: give a number above 0"),
        ((DAY, "--from", "10:00", "--to", "09:00"), "--to must be later than --from"),
        ((DAY, "--from-journal", "kite-0"), "stream kite-0 is not one of simulator"),
        ((DAY, "--instruments", "NSE:INFI"), "did you mean NSE:INFY"),
        (("2026-11-19",), "2026-11-19 is not archived"),
        (("2026-11-19", *STREAM), "holds nothing that was received on 2026-11-19"),
        (("2026-11-19", "--forget"), "no replay of 2026-11-19 was kept"),
        ((), "say which day is to be replayed"),
    ],
)
def test_what_cannot_be_replayed_is_said(
    configured: CliRunner, options: tuple[str, ...], message: str
) -> None:
    result = configured.invoke(app, ["replay-day", *options])
    assert message in str(result.exception)


def test_replays_that_were_kept_are_listed_and_forgotten(
    line: Recorded, configured: CliRunner
) -> None:
    asked = ["replay-day", DAY, *STREAM, "--speed", "max", "--no-serve", "--to", "09:16"]
    assert "  equal" in configured.invoke(app, asked, catch_exceptions=False).output
    kept = json.loads(configured.invoke(app, ["replay-day", "--list", "--json"]).output)
    assert [(row["day"], row["bytes"] > 0) for row in kept] == [(DAY, True)]
    (made,) = (line.home / "replay" / row["schema"] for row in kept)
    made.mkdir(parents=True)  # as one that was killed leaves it
    assert "is dropped" in configured.invoke(app, ["replay-day", DAY, "--forget"]).output
    assert not made.exists()
    assert scratch.listed(line.database).is_empty()
