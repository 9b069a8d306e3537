"""Request budgets that processes share through the database, against a strict broker."""

import multiprocessing
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from market_pipeline.brokers import log_in_to_simulator, open_broker
from market_pipeline.brokers.limits import Budget, BudgetKey, Change, Limiter, Priority, Window
from market_pipeline.config import BrokerName, Settings
from market_pipeline.errors import DatabaseError, DatabaseUnavailable, RateLimited
from market_pipeline.market import Interval
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions, running
from market_pipeline.storage.budgets import DatabaseBudgets
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import fetch

pytestmark = pytest.mark.timeout(60)

RELIANCE = 738561
MINUTE = Interval("1m", 1)
START = datetime(2026, 10, 5, 3, 45, tzinfo=UTC)
PROCESSES, TURNS = 4, 10
BUDGET = Budget("history", (Window(5, 0.5),))


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with running(SimulatorOptions(port=0, instruments=40)) as simulator:
        yield simulator


@pytest.fixture
def settings(simulator: RunningSimulator, tmp_path: Path) -> Settings:
    settings = Settings(
        _env_file=None,
        broker=BrokerName.SIMULATOR,
        simulator_url=simulator.url,
        market_pipeline_home=tmp_path,
    )
    log_in_to_simulator(settings)
    return settings


class Watched(DatabaseBudgets):
    """Tells when each turn was granted, by the clock of the database."""

    def __init__(self, database: Database, granted: Any) -> None:
        super().__init__(database)
        self._granted = granted

    def update(self, key: BudgetKey, change: Change) -> float:
        def watched(state: str, now: float) -> tuple[str, float]:
            after, wait = change(state, now)
            if wait == 0:
                self._granted.put(now)
            return after, wait

        return super().update(key, watched)


def take_turns(url: str, together: Any, granted: Any) -> None:
    """Take turns as fast as they are given."""
    limiter = Limiter(Watched(Database(url), granted), "kite", "account", Priority.HISTORY)
    together.wait(30)
    for _ in range(TURNS):
        with limiter.request(BUDGET):
            pass


@pytest.mark.needs_real_server
def test_processes_together_are_given_no_more_turns_than_the_window_holds(
    database: Database,
) -> None:
    spawn = multiprocessing.get_context("spawn")
    together, granted = spawn.Barrier(PROCESSES), spawn.Queue()
    workers = [
        spawn.Process(target=take_turns, args=(database.url, together, granted))
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    stamps = sorted(granted.get(timeout=50) for _ in range(PROCESSES * TURNS))
    for worker in workers:
        worker.join(10)
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    (window,) = BUDGET.windows
    crowded = zip(stamps, stamps[window.requests :], strict=False)
    assert min(later - earlier for earlier, later in crowded) >= window.seconds
    assert fetch(database, "SELECT requests, refusals FROM broker_budgets") == [(len(stamps), 0)]


def test_a_refusal_is_told_to_all_and_the_broker_left_alone(
    database: Database, simulator: RunningSimulator, settings: Settings
) -> None:
    budgets = DatabaseBudgets(database)
    simulator.fault("throttle", seconds=1)
    with pytest.raises(RateLimited, match="429") as caught:
        open_broker(settings, budgets).candles(RELIANCE, MINUTE, START, START)
    assert caught.value.retry_after == 1
    for priority in (Priority.HISTORY, Priority.URGENT):
        open_broker(settings, budgets, priority).candles(RELIANCE, MINUTE, START, START)
    assert simulator.server.requests.refused == {"historical": 1}
    assert fetch(
        database,
        "SELECT requests, refusals, requests_of_day, paused_until < now() FROM broker_budgets",
    ) == [(3, 1, 3, True)]


def test_each_request_counts_against_the_budget_of_its_kind(
    database: Database, settings: Settings
) -> None:
    broker = open_broker(settings, DatabaseBudgets(database))
    broker.instruments()
    broker.candles(RELIANCE, MINUTE, START, START)
    broker.candles(RELIANCE, Interval("1d", 1440), START, START)
    counts = fetch(database, "SELECT budget, requests FROM broker_budgets ORDER BY budget")
    assert counts == [("history", 2), ("other", 1)]


def test_the_key_of_an_account_is_not_in_the_database(
    database: Database, simulator: RunningSimulator, settings: Settings
) -> None:
    kite = settings.model_copy(update={"broker": BrokerName.KITE, "kite_api_key": "s3cret-key"})
    limiter: Limiter = open_broker(kite, DatabaseBudgets(database))._limiter  # type: ignore[attr-defined]
    with limiter.request(BUDGET):
        pass
    assert "s3cret-key" not in str(
        fetch(database, "SELECT broker_budgets::text FROM broker_budgets")
    )
    assert fetch(database, "SELECT broker FROM broker_budgets") == [("kite",)]


@pytest.mark.needs_real_server
def test_a_process_that_hangs_while_it_decides_does_not_hold_up_the_others(
    database: Database,
) -> None:
    budgets = DatabaseBudgets(database)
    hanging, stop = threading.Event(), threading.Event()
    ended: list[Exception] = []

    def hang(text: str, now: float) -> tuple[str, float]:
        hanging.set()
        stop.wait(20)
        return text, 0.0

    def work() -> None:
        try:
            budgets.update(("kite", "account", BUDGET.name), hang)
        except DatabaseError as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert hanging.wait(10)
    with Limiter(budgets, "kite", "account").request(BUDGET):
        assert not stop.is_set()
    stop.set()
    thread.join(10)
    assert len(ended) == 1


def test_without_a_database_nothing_is_asked(
    simulator: RunningSimulator, settings: Settings
) -> None:
    gone = DatabaseBudgets(Database("postgresql://nobody@127.0.0.1:9/nothing"))
    with pytest.raises(DatabaseUnavailable):
        open_broker(settings, gone).candles(RELIANCE, MINUTE, START, START)
    assert not simulator.server.requests.accepted["historical"]
