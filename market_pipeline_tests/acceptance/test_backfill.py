"""A backfill by the real command, killed on its way: all of it comes, and hardly anything twice."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from market_pipeline_tests.history_drill import Drill, drill, world

KILLS = 2
MOST_UNDER_WAY = 4  # one, where the broker answers before the next is due: not on a busy machine
pytestmark = [pytest.mark.acceptance, pytest.mark.slow]


@pytest.fixture(scope="module")
def done() -> Iterator[Drill]:
    with tempfile.TemporaryDirectory(prefix="market_pipeline_", dir="/tmp") as folder:
        home = Path(folder)
        home.chmod(0o755)  # for PostgreSQL's account, where root runs the tests
        with world(home, 8) as there:
            yield drill(there, days=120, kills=KILLS)


def test_every_candle_of_the_exchange_is_stored_once_and_as_it_was(done: Drill) -> None:
    assert (done.candles, done.differing) == (done.expected, 0)


def test_the_broker_never_has_to_refuse_a_request(done: Drill) -> None:
    assert done.refused == 0


def test_no_answer_that_is_stored_is_asked_for_again(done: Drill) -> None:
    assert done.stored == done.least


def test_a_kill_costs_the_requests_under_way(done: Drill) -> None:
    assert done.repeated <= KILLS * MOST_UNDER_WAY
    assert done.asked == done.least + done.repeated
