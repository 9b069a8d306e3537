"""A `market-pipeline demo` of a test: its processes, what it says, what can be asked of it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
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
STOP_SECONDS = 60.0
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
    ours = (
        *("MARKET_PIPELINE", "DAGSTER", "DATABASE_URL", "BROKER", "KITE", "SIMULATOR", "STANDBY"),
        "COV",
        "API",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # A database that must not be touched, and an exchange's port that belongs to somebody else.
    return kept | {
        "MARKET_PIPELINE_HOME": str(home),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/production",
        "SIMULATOR_URL": f"http://127.0.0.1:{free_port()}",
        "API_PORT": str(free_port()),
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
