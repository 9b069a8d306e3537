"""Code is deployed while a stream runs, then the stream is stopped: with real code servers."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from market_pipeline import processes
from market_pipeline_tests.acceptance.demo import STREAM_SECONDS, within
from market_pipeline_tests.containers import STREAM, Containers, started
from market_pipeline_tests.faults import run

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(600)]

STATE = "SELECT state FROM streams"
TICKS = "SELECT count(*) FROM ticks"
GAPS = "SELECT gap_id, cause, ended_at FROM gaps ORDER BY gap_id"
RUNS = "SELECT run_id, status FROM dagster.runs WHERE pipeline_name = 'tick_stream'"
POSITION = "SELECT is_stopped, run_id FROM journal_positions"
# Of the location that was replaced; status and time are columns of Dagster's own.
SENSOR_TICKS = """
    SELECT t.status FROM dagster.job_ticks t JOIN dagster.instigators i USING (selector_id)
    WHERE i.instigator_body LIKE '%candles_sensor%' AND t.status IN ('SKIPPED', 'SUCCESS')
        AND t.id > {after}
"""


@dataclass(frozen=True)
class Seen:
    """What can be told of a stream at a moment."""

    process: int
    runs: list[tuple[Any, ...]]
    gaps: list[tuple[Any, ...]]


@dataclass(frozen=True)
class Story:
    """What was seen before and after the deploy, and after the stop."""

    before: Seen
    after: Seen
    exit_codes: dict[str, int]
    left: list[int]
    position: list[tuple[Any, ...]]
    state: list[tuple[Any, ...]]
    backlog: int


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    folder = Path(tempfile.mkdtemp(prefix="market-pipeline-deploy-"))
    folder.chmod(0o755)  # for PostgreSQL's account, where root runs the tests
    try:
        with started(folder) as containers:
            yield tell(containers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tell(containers: Containers) -> Story:
    streams = within(STREAM_SECONDS, lambda: streaming(containers), lambda: explain(containers))
    before = seen(containers, streams)
    codes = {"code": containers.stop("code")}
    containers.start("code")
    containers.await_ready("code", "grpc")
    await_main_location(containers)
    await_more_ticks(containers)
    after = seen(containers, writer(containers))
    workers = run.writers_of(containers.home / "journal")
    codes["streams"] = containers.stop("streams")
    return Story(
        before=before,
        after=after,
        exit_codes=codes,
        left=[each.pid for each in workers if processes.is_alive(each)],
        position=containers.rows(POSITION),
        state=containers.rows(STATE),
        backlog=containers.rows("SELECT sum(backlog_bytes)::bigint FROM streams")[0][0],
    )


def streaming(containers: Containers) -> int:
    """Return the process of a stream that has stored ticks, 0 if there is none."""
    is_live = containers.rows(STATE) == [("streaming",)] and containers.rows(TICKS)[0][0] > 0
    return writer(containers) if is_live else 0


def writer(containers: Containers) -> int:
    return run.writers_of(containers.home / "journal" / STREAM)[0].pid


def seen(containers: Containers, process: int) -> Seen:
    return Seen(process, containers.rows(RUNS), containers.rows(GAPS))


def await_main_location(containers: Containers) -> None:
    """Return when the daemon has asked a sensor of the new code server."""
    newest = containers.rows("SELECT coalesce(max(id), 0) FROM dagster.job_ticks")[0][0]
    statement = SENSOR_TICKS.format(after=newest)
    within(STREAM_SECONDS, lambda: containers.rows(statement), lambda: explain(containers))


def await_more_ticks(containers: Containers) -> None:
    stored = containers.rows(TICKS)[0][0]
    within(30, lambda: containers.rows(TICKS)[0][0] > stored, lambda: explain(containers))


def explain(containers: Containers) -> str:
    return "\n\n".join(containers.say(name) for name in containers.running)


def test_a_deploy_leaves_the_stream_in_its_process(story: Story) -> None:
    assert story.after.process == story.before.process


def test_a_deploy_leaves_the_stream_its_only_run(story: Story) -> None:
    assert story.after.runs == story.before.runs
    assert [status for _, status in story.after.runs] == ["STARTED"]


def test_a_deploy_makes_no_gap(story: Story) -> None:
    assert story.after.gaps == story.before.gaps


def test_both_code_servers_end_in_order_within_their_grace(story: Story) -> None:
    assert story.exit_codes == {"code": 0, "streams": 0}


def test_a_stop_of_the_streams_ends_their_runs(story: Story) -> None:
    assert story.left == []
    assert story.state == [("stopped",)]


def test_a_stop_of_the_streams_stores_all_they_have_received(story: Story) -> None:
    assert [is_stopped for is_stopped, _ in story.position] == [True]
    assert story.backlog == 0
