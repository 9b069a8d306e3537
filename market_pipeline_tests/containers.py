"""Services of docker-compose.yml as processes: each has a group of its own, as in its container."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import yaml
from pydantic import SecretStr

from market_pipeline import probe, processes, services
from market_pipeline.config import Settings
from market_pipeline.storage import embedded, schema
from market_pipeline.storage.database import Database
from market_pipeline_tests.acceptance.demo import ROOT, free_port, within
from market_pipeline_tests.faults import run

COMPOSE = ROOT / "docker-compose.yml"
READY_SECONDS = 120.0
STREAM = "simulator-0"
WORKSPACE = "/opt/dagster/workspace.yaml"
SERVICES_USER = "10001:10001"


def composed() -> dict[str, Any]:
    """Return what docker-compose.yml says, its variables as they are written."""
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return content


class Containers:
    """The exchange, both code servers and Dagster's daemon, on a database that is there already."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.database = home, Database(url)
        self.ports = {name: free_port() for name in ("simulator", "code", "streams")}
        self.settings = Settings(
            _env_file=None,
            database_url=SecretStr(url),
            simulator_url=f"http://127.0.0.1:{self.ports['simulator']}",
            market_pipeline_home=home,
        )
        schema.prepare(url, self.settings)
        services.prepare_dagster_home(home)
        self._workspace = home / "workspace.yaml"
        shipped = yaml.safe_load((ROOT / "docker" / "workspace.yaml").read_text("utf-8"))
        for location in shipped["load_from"]:
            server = location["grpc_server"]
            server |= {"port": self.ports[server["host"]], "host": "127.0.0.1"}
        self._workspace.write_text(json.dumps(shipped), "utf-8")
        self._environment = run.environment(
            MARKET_PIPELINE_HOME=str(home),
            DATABASE_URL=url,
            SIMULATOR_URL=self.settings.simulator_url,
            DAGSTER_HOME=str(services.dagster_home(home)),
            DAGSTER_DATABASE_URL=services.dagster_url(self.settings, None),
        )
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start a service with its command in docker-compose.yml, on ports and files of our own."""
        program, *words = composed()["services"][name]["command"]
        here = {"0.0.0.0": "127.0.0.1", WORKSPACE: str(self._workspace)}
        here |= {port: str(self.ports.get(name, 0)) for port in ("4000", "7600")}
        command = [services.executable(program), *(here.get(word, word) for word in words)]
        self.running[name] = processes.spawn(command, self._environment, self._log(name))

    def await_ready(self, name: str, url: str) -> None:
        address = f"{url}://127.0.0.1:{self.ports[name]}"
        within(READY_SECONDS, lambda: probe.problem(address) is None, lambda: self.say(name))

    def stop(self, name: str) -> int:
        """Ask a service to end as `tini -g` does, and return its exit code within its grace."""
        process = self.running[name]
        os.killpg(process.pid, signal.SIGTERM)
        return process.wait(grace_seconds(name))

    def say(self, name: str) -> str:
        return self._log(name).read_text("utf-8", "replace")[-3000:]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.url) as connection:
            return connection.execute(statement.encode()).fetchall()

    def kill(self) -> None:
        for process in self.running.values():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            process.wait(10)

    def _log(self, name: str) -> Path:
        return self.home / f"{name}.log"


def grace_seconds(name: str) -> float:
    """Return how long `docker compose stop` waits for a service until it kills it."""
    text = str(composed()["services"][name]["stop_grace_period"])
    number, unit = text[:-1], text[-1]
    return float(number) * {"s": 1, "m": 60}[unit]


@contextmanager
def started(home: Path) -> Iterator[Containers]:
    """Run everything that streams need, and what subscribes instruments."""
    with embedded.running(home) as url:
        containers = Containers(home, url)
        with closing(_Killing(containers)):
            for name in ("simulator", "code", "streams"):
                containers.start(name)
            containers.await_ready("simulator", "http")
            containers.start("demo")
            for name in ("code", "streams"):
                containers.await_ready(name, "grpc")
            containers.start("daemon")
            yield containers


class _Killing:
    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    def close(self) -> None:
        self._containers.kill()
