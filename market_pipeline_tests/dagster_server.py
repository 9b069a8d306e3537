"""A real Dagster web server for tests, which starts the runs it is asked for at once."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from market_pipeline import processes
from market_pipeline.services import executable
from market_pipeline_tests.api_cases import serving, settings_of
from market_pipeline_tests.builders import eventually
from market_pipeline_tests.history_days import Day

AT_ONCE = "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}"
START_SECONDS = 120.0
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def working(day: Day, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an API behind which a Dagster web server starts runs at once."""
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text(AT_ONCE)
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        port = candidate.getsockname()[1]
    environment = os.environ | {
        "DAGSTER_HOME": str(home),
        "DATABASE_URL": day.database.url,
        "BROKER": "simulator",
        "SIMULATOR_URL": day.exchange.url,
        "SIMULATOR_ALWAYS_OPEN": "false",
        "MARKET_PIPELINE_HOME": str(day.settings.market_pipeline_home),
    }
    where = ("-h", "127.0.0.1", "-p", str(port), "-w", str(ROOT / "workspace.yaml"))
    command = [executable("dagster-webserver"), *where]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: answers(url), "Dagster's web server did not start", START_SECONDS)
        known = {"dagster_url": url, "simulator_always_open": False}
        with serving(settings_of(day.database, home, **known)) as client:
            yield client
    finally:
        server.terminate()
        server.wait(30)
        # Runs outlive the web server, and one that nobody waited for has no database any more.
        processes.end(lambda: processes.marked("DAGSTER_HOME", str(home)), 5)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/server_info", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
