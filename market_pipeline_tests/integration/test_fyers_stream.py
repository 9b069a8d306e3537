"""What Fyers sends becomes ticks in the database, across a lost connection and a restart."""

import importlib.util
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import polars as pl
import pytest

from market_pipeline.brokers import log_in_to_simulator, open_broker
from market_pipeline.config import BrokerName, Settings
from market_pipeline.sessions import trading_date
from market_pipeline.simulator.fyers_server import RunningFyers, SimulatorOptions, running
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline.streaming import supervisor
from market_pipeline.streaming.supervisor import StopReason
from market_pipeline_tests.builders import eventually, fetch

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("fyers_apiv3") is None, reason="fyers-apiv3 is not installed"
)
BROKER = BrokerName.FYERS_SIMULATOR


@pytest.fixture
def simulator() -> Iterator[RunningFyers]:
    with running(SimulatorOptions(port=0, instruments=10, every_second=True)) as simulator:
        yield simulator


class Pipeline:
    """A stream of all that is listed, in a thread."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database, self.settings = database, settings
        log_in_to_simulator(settings)
        self.broker = open_broker(settings)
        master = self.broker.instruments()
        instruments.sync(database, BROKER, master, trading_date(datetime.now(UTC)))
        names = master.select(pl.format("{}:{}", "exchange", "symbol")).to_series().to_list()
        instruments.subscribe(database, BROKER, names)
        self.stopping = Event()
        self._pool = ThreadPoolExecutor(1)

    def start(self, run_id: str) -> Future[StopReason]:
        self.stopping.clear()
        return self._pool.submit(
            supervisor.run_stream,
            f"{BROKER}-0",
            run_id,
            [self.broker],
            self.database,
            self.settings,
            self.stopping,
            lambda _: None,
            lambda: False,
        )

    def stored(self) -> dict[int, int]:
        return dict(fetch(self.database, "SELECT instrument_id, count(*) FROM ticks GROUP BY 1"))

    def grows(self) -> None:
        """Wait until there is a new tick of every instrument."""
        before = self.stored()
        eventually(
            lambda: (
                len(now := self.stored()) == 10
                and all(now[each] > before.get(each, 0) for each in now)
            ),
            "not every instrument has a new tick",
        )


def test_ticks_go_on_after_a_lost_line_and_after_a_restart(
    database: Database, simulator: RunningFyers, tmp_path: Path
) -> None:
    settings = Settings(
        _env_file=None,
        broker=BROKER,
        simulator_url=simulator.url,
        market_pipeline_home=tmp_path,
    )
    pipeline = Pipeline(database, settings)
    run = pipeline.start("first")
    pipeline.grows()
    simulator.fault("drop")
    pipeline.grows()
    pipeline.stopping.set()
    assert run.result(30) is StopReason.STOPPED
    run = pipeline.start("second")
    pipeline.grows()
    pipeline.stopping.set()
    assert run.result(30) is StopReason.STOPPED
    causes = {cause for (cause,) in fetch(database, "SELECT cause FROM gaps")}
    assert any(cause.startswith("connection lost") for cause in causes)
    assert fetch(database, "SELECT count(*) FROM ticks WHERE last_price <= 0") == [(0,)]
