"""`market-pipeline demo` as a newcomer runs it: the real processes, from start to last trace."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import psycopg
import pytest

from market_pipeline import processes
from market_pipeline.storage import embedded

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
READY = "Ctrl-C stops everything."
START_SECONDS = 150.0
STREAM_SECONDS = 120.0
CHECK_SECONDS = 200.0
STOP_SECONDS = 15.0
LONGEST_SECONDS = "600"

EVIDENCE = """
query {
  assetOrError(assetKey: {path: ["ticks"]}) {
    ... on Asset { assetObservations(limit: 1) { timestamp } }
  }
  assetNodes { assetKey { path } assetChecksOrError {
    ... on AssetChecks { checks { name executionForLatestMaterialization { status } } }
  } }
}
"""

LAUNCH = """
mutation ($job: String!) {
  launchRun(executionParams: {mode: "default", runConfigData: {}, selector: {
    repositoryLocationName: "market_pipeline", repositoryName: "__repository__", jobName: $job
  }}) { __typename }
}
"""

Answer = TypeVar("Answer")


class Demo:
    """One `market-pipeline demo` in a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home / "demo"
        self.output = home / "output.txt"
        self.port = free_port()
        command = [sys.executable, "-m", "market_pipeline", "demo", "--no-table"]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), "--duration", LONGEST_SECONDS],
                cwd=ROOT,
                env=clean_environment(home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def say(self) -> str:
        return self.output.read_text("utf-8", "replace")

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, f"demo ended: {self.say()}"
            return READY in self.say()

        within(START_SECONDS, is_ready, self.say)

    def members(self) -> list[psutil.Process]:
        return processes.marked("MARKET_PIPELINE_STACK_HOME", str(self.home)) + postgres(self.home)

    def scalar(self, statement: str) -> Any:
        with psycopg.connect(embedded.url(self.home)) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None

    def graphql(self, query: str, **variables: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/graphql"
        body = {"query": query, "variables": variables}
        reply = httpx.post(url, json=body, timeout=20, trust_env=False)
        reply.raise_for_status()
        content: dict[str, Any] = reply.json()
        assert "errors" not in content, content["errors"]
        data: dict[str, Any] = content["data"]
        return data

    def passed_checks(self) -> set[str]:
        return passed_checks(self.graphql(EVIDENCE))


def clean_environment(home: Path) -> dict[str, str]:
    ours = ("MARKET_PIPELINE", "DAGSTER", "DATABASE_URL", "BROKER", "KITE", "SIMULATOR", "COV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # A database that must not be touched, and an exchange's port that belongs to somebody else.
    return kept | {
        "MARKET_PIPELINE_HOME": str(home),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/production",
        "SIMULATOR_URL": f"http://127.0.0.1:{free_port()}",
        "PYTHONPATH": str(ROOT),
    }


def free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        port: int = candidate.getsockname()[1]
        return port


def postgres(home: Path) -> list[psutil.Process]:
    """Return the postmaster of a home, which carries no mark."""
    data = str(home / "postgres" / "data")
    found = psutil.process_iter(["cmdline"])
    return [each for each in found if data in (each.info["cmdline"] or []) and is_alive(each)]


is_alive = processes.is_alive


def within(
    seconds: float, ask: Callable[[], Answer], explain: Callable[[], object] = lambda: ""
) -> Answer:
    """Return the first true answer; fail when time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {explain()}"
        time.sleep(0.25)
    return answer


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: PostgreSQL cannot run as root, and its account cannot enter root's folders.
    folder = Path(tempfile.mkdtemp(prefix="market-pipeline-demo-"))
    folder.chmod(0o755)
    try:
        yield folder.resolve()
    finally:
        leftovers = processes.marked("MARKET_PIPELINE_STACK_HOME", str(folder.resolve() / "demo"))
        processes.signal_all([*leftovers, *postgres(folder.resolve() / "demo")], signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(home: Path) -> Iterator[Callable[[], Demo]]:
    started: list[Demo] = []

    def start() -> Demo:
        started.append(Demo(home))
        return started[-1]

    yield start
    for demo in started:
        if demo.process.poll() is None:
            demo.process.kill()
        demo.process.wait(10)


def observed(evidence: dict[str, Any]) -> bool:
    return bool(evidence["assetOrError"].get("assetObservations"))


def passed_checks(evidence: dict[str, Any]) -> set[str]:
    """Return asset:check of those whose last execution succeeded."""
    return {
        f"{'/'.join(node['assetKey']['path'])}:{check['name']}"
        for node in evidence["assetNodes"]
        for check in node["assetChecksOrError"].get("checks", [])
        if (check["executionForLatestMaterialization"] or {}).get("status") == "SUCCEEDED"
    }


def test_demo_streams_shows_itself_and_leaves_nothing_behind(start: Callable[[], Demo]) -> None:
    demo = start()
    demo.wait_until_ready()
    newest = "SELECT max(time) FROM ticks"
    first = within(STREAM_SECONDS, lambda: demo.scalar(newest), demo.say)
    within(30, lambda: demo.scalar(newest) > first)
    within(30, lambda: demo.scalar("SELECT count(*) FROM candles_1m") > 0)
    within(STREAM_SECONDS, lambda: observed(demo.graphql(EVIDENCE)))
    launched = demo.graphql(LAUNCH, job="tick_checks")  # else every ten minutes
    assert launched["launchRun"]["__typename"] == "LaunchRunSuccess"
    expected = {"ticks:ticks_are_fresh", "candles_1m:ohlc_is_sane", "candles_1m:rows_arrive"}
    # Candles are stored a minute after the first tick, and Dagster looks at them after that.
    within(CHECK_SECONDS, lambda: expected <= demo.passed_checks(), demo.passed_checks)

    stopped_at = time.monotonic()
    demo.process.send_signal(signal.SIGTERM)
    demo.process.send_signal(signal.SIGINT)  # an impatient user
    assert demo.process.wait(STOP_SECONDS) == 0
    assert demo.members() == []
    assert time.monotonic() - stopped_at < STOP_SECONDS


def test_demo_that_was_killed_starts_again_cleanly(start: Callable[[], Demo]) -> None:
    killed = start()
    killed.wait_until_ready()
    count = "SELECT count(*) FROM ticks"
    stored = within(STREAM_SECONDS, lambda: killed.scalar(count), killed.say)
    before = {process.pid for process in killed.members()}
    killed.process.kill()
    killed.process.wait(10)

    second = start()
    second.wait_until_ready()
    assert not before & {process.pid for process in second.members()}
    within(STREAM_SECONDS, lambda: second.scalar(count) > stored, second.say)
    assert record(second)["pids"].keys() >= {"simulator", "dagster-daemon"}
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(STOP_SECONDS) == 0
    assert second.members() == []


def test_second_demo_of_a_home_is_refused(start: Callable[[], Demo]) -> None:
    first = start()
    is_starting = (first.home / "run" / "stack.json").is_file
    within(START_SECONDS, lambda: is_starting() or first.process.poll() is not None)
    assert is_starting(), first.say()
    second = start()
    assert second.process.wait(60) == 1
    assert re.search(rf"already running \(pid {first.process.pid}\)", second.say())
    # Also while it is still starting everything ends in time.
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(STOP_SECONDS) == 0
    assert first.members() == []


def record(demo: Demo) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((demo.home / "run" / "stack.json").read_text("utf-8"))
    return content
