"""The length of the faults, and the table that they make."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from market_pipeline.config import PROTOCOLS, BrokerName
from market_pipeline_tests.faults import table
from market_pipeline_tests.faults.table import Row

_ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="cause each fault often and for long")
    parser.addoption("--broker", default="kite", choices=["kite", "fyers"], help="whose protocol")
    parser.addoption("--table", type=Path, help="write what became of the packets to this file")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = list[Row]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    file: Path | None = session.config.getoption("--table")
    rows: list[Row] = session.config.stash[_ROWS]
    if (told := getattr(session.config, "workeroutput", None)) is not None:
        told["rows"] = [asdict(row) for row in rows]  # one of several processes: see below
    elif file is not None and rows:
        table.write(rows, file)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the rows of a process that ran some of the faults."""
    rows = getattr(node, "workeroutput", {}).get("rows", [])
    node.config.stash[_ROWS].extend(Row(**row) for row in rows)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows: list[Row] = config.stash[_ROWS]
    if rows:
        terminalreporter.write_line(table.markdown(rows))


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--full"))


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> BrokerName:
    spoken = request.config.getoption("--broker")
    return next(name for name, protocol in PROTOCOLS.items() if protocol == spoken)


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    yield request.config.stash[_ROWS]
