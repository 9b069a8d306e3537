"""What the tests of the API share: a server that runs, and a day of the market behind it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from market_pipeline.api.app import create_app
from market_pipeline.config import Settings
from market_pipeline.storage import schema
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import eventually
from market_pipeline_tests.history_days import Day, simulated_day

READ_KEY = "r" * 32
CONTROL_KEY = "c" * 32
KEYS = f"charts:read:{READ_KEY},desk:control:{CONTROL_KEY}"
NOBODY = "http://127.0.0.1:1"
"""Where nobody answers."""


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """Serve the API on a free port, and yield a client of it."""
    config = uvicorn.Config(create_app(settings), port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive(), "the API did not start")
        port = server.servers[0].sockets[0].getsockname()[1]
        base = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=base, trust_env=False, timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30)


def settings_of(database: Database, home: Path, **changed: Any) -> Settings:
    """Return settings that know one database, no Dagster, and nothing of the environment."""
    values: dict[str, Any] = {
        "database_url": SecretStr(database.url),
        "dagster_url": NOBODY,
        "market_pipeline_home": home,
        "api_rate_limit": 10_000.0,
        **changed,
    }
    return Settings(_env_file=None, **values)


@pytest.fixture(scope="module")
def day(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """Three shares subscribed, of which a day of ticks is stored."""
    with simulated_day(shared_database, tmp_path_factory.mktemp("home")) as made:
        schema.prepare(shared_database.url, made.settings)
        made.store_ticks()
        yield made


@pytest.fixture(scope="module")
def client(day: Day) -> Iterator[httpx.Client]:
    """A client of an API that everybody on this machine may use."""
    update = {"simulator_always_open": False, "simulator_url": day.exchange.url}
    home = day.settings.market_pipeline_home
    with serving(settings_of(day.database, home, **update)) as client:
        yield client


def problem(reply: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Check that a reply is a problem of that status and kind, and return its body."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = reply.json()
    assert body["type"] == f"urn:market-pipeline:problem:{kind}"
    assert body["status"] == status
    assert body["request_id"] == reply.headers["X-Request-ID"]
    return body
