"""A stream that listens to two simulated brokers of one and the same exchange."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import NamedTuple

import polars as pl

from market_pipeline.brokers import open_broker
from market_pipeline.commands.running import prepare_market
from market_pipeline.config import Settings
from market_pipeline.sessions import trading_date
from market_pipeline.simulator import fyers_server, kite_server
from market_pipeline.simulator.fyers_server import RunningFyers
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions
from market_pipeline.storage import feeds, instruments
from market_pipeline.storage.database import Database
from market_pipeline.streaming import supervisor
from market_pipeline.streaming.supervisor import StopReason
from market_pipeline_tests.builders import eventually, fetch

INSTRUMENTS = 10
_SPEED = 60.0  # a minute in a second
_SETTLED = timedelta(seconds=30)  # of the exchange's time, for what is held and not yet stored


class TwoBrokers(NamedTuple):
    """Both brokers, and what they have sent. Minutes count from the session's first."""

    kite: RunningSimulator
    fyers: RunningFyers
    database: Database
    settings: Settings
    starts_at: datetime

    def next_minute(self) -> int:
        """Return the first minute that has begun at neither broker yet."""
        now = max(int(each.server.clock.now()) for each in (self.kite, self.fyers))
        return (now - int(self.starts_at.timestamp())) // 60 + 1

    def minutes(self, first: int, count: int) -> pl.DataFrame:
        """Wait until some minutes have passed, and return what was seen of them."""
        start = self.starts_at + timedelta(minutes=first)
        end = start + timedelta(minutes=count)
        eventually(lambda: self._stored_until() >= end + _SETTLED, "the day does not go on", 60)
        return feeds.minutes(self.database, start, end)

    def _stored_until(self) -> datetime:
        """Return the newest stamp of the feed that is behind."""
        newest = (
            "SELECT least((SELECT max(exchange_time) FROM ticks),"
            " (SELECT max(exchange_time) FROM standby_ticks))"
        )
        found: datetime | None = fetch(self.database, newest)[0][0]
        return found or self.starts_at


@contextmanager
def two_brokers(database: Database, home: Path) -> Iterator[TwoBrokers]:
    """Replay yesterday, invented, at two brokers and stream from both."""
    day = trading_date(datetime.now(UTC)) - timedelta(days=1)
    options = SimulatorOptions(
        port=0,
        instruments=INSTRUMENTS,
        every_second=True,
        day=day,
        speed=_SPEED,
        start_when_subscribed=INSTRUMENTS,
    )
    with ExitStack() as stack:
        kite = stack.enter_context(kite_server.running(options))
        fyers = stack.enter_context(fyers_server.running(options))
        settings = Settings(
            _env_file=None,
            simulator_url=kite.url,
            standby_simulator_url=fyers.url,
            market_pipeline_home=home,
            flush_interval_seconds=0.05,
        ).with_brokers("simulator,fyers_simulator")
        master = prepare_market(settings, database)
        names = master.select(pl.format("{}:{}", "exchange", "symbol")).to_series().to_list()
        instruments.subscribe(database, settings.broker, names)
        opens_at = datetime.fromtimestamp(kite.server.clock.now() + 1, UTC)  # still paused
        with _streaming(database, settings):
            yield TwoBrokers(kite, fyers, database, settings, opens_at)


@contextmanager
def _streaming(database: Database, settings: Settings) -> Iterator[None]:
    stop, pool = Event(), ThreadPoolExecutor(1)
    brokers = [open_broker(each) for each in settings.each_broker]
    run: Future[StopReason] = pool.submit(
        supervisor.run_stream,
        f"{settings.broker.value}-0",
        "run",
        brokers,
        database,
        settings,
        stop,
        lambda _: None,
        lambda: False,
    )
    try:
        yield
    finally:
        stop.set()
        pool.shutdown()
    assert run.result() is StopReason.STOPPED
