"""A journal that two brokers have written is replayed with who stood by and who took over."""

from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import LiteralString

import pytest

from market_pipeline.replay import journalled
from market_pipeline.replay.order import Following, Order
from market_pipeline.storage import scratch
from market_pipeline.storage.database import Database
from market_pipeline.streaming import checkpoints, writer
from market_pipeline_tests.builders import TODAY, fetch
from market_pipeline_tests.journals import drain
from market_pipeline_tests.replays import TICKS
from market_pipeline_tests.two_feeds import BROKERS, PREFERRED, STANDBY, TwoFeeds

pytestmark = pytest.mark.needs_plain_server("a replay's schema is a plain one on either")

GAPS = "SELECT started_at, ended_at, cause, broker, covered_by FROM gaps ORDER BY 1, 4"
IN_STANDBY = TICKS.replace("FROM ticks", "FROM standby_ticks")


@pytest.fixture
def line(
    shared_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TwoFeeds]:
    monkeypatch.setattr(writer, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)
    opened = TwoFeeds(shared_database, tmp_path / "journal")
    yield opened
    opened.close()
    scratch.drop(shared_database, TODAY)


def receive(line: TwoFeeds) -> None:
    """Receive of both each second; the preferred line is cut for a while."""
    line.begin()
    for at in range(1, 120):
        if at == 70:
            line.disconnect(PREFERRED, at)
        if at == 90:
            line.connect(PREFERRED, at)
        if not 70 <= at < 90:
            line.tick(PREFERRED, at + 0.1, 10 * at, 100 + at % 5)
        line.tick(STANDBY, at + 0.2, 10 * at + 1, 100 + at % 7)
    line.heartbeat(PREFERRED, 125)


@pytest.mark.parametrize("since", [None, time(9, 15, 30)])
def test_ticks_and_gaps_are_those_of_the_live_day(line: TwoFeeds, since: time | None) -> None:
    receive(line)
    fetch(line.database, "TRUNCATE ticks, standby_ticks, gaps, journal_positions")
    live = line.writer(batch_bytes=3000)
    drain(live)
    order = Order(TODAY, since=since)
    found = journalled.find(order, "kite-0", line.folder, BROKERS)
    assert (found.start is not None) == (since is not None)
    folder = line.folder.with_name("replay")
    with scratch.making(line.database, TODAY, order.contents(has_gaps=False)) as made:
        journalled.replay(order, found, made, line.sources(), folder, Following())
    for query in (TICKS, IN_STANDBY):
        assert of_period(made.database, query, order) == of_period(line.database, query, order)
        assert len(of_period(made.database, query, order)) > 40
    assert fetch(made.database, GAPS) == fetch(line.database, GAPS) != []


def of_period(database: Database, query: LiteralString, order: Order) -> list[tuple[object, ...]]:
    return [row for row in fetch(database, query) if row[0] >= order.starts_at]
