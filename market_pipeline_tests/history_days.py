"""A trading day of the simulated exchange in the database, whole or with something missing.

The exchange answers for its history; of the ticks of each minute four are stored, which make the
very candle that it traded: open, high, low, close, and the volume in the last of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from unittest import mock

import polars as pl
import psycopg

from market_pipeline import brokers
from market_pipeline.brokers.kite import Kite
from market_pipeline.brokers.limits import Budget, RequestKind, Window
from market_pipeline.config import Settings
from market_pipeline.history.backfill import MINUTE, Backfill, Scope
from market_pipeline.history.fetching import Source, Totals
from market_pipeline.history.reconciling import Reconciled, Reconciler
from market_pipeline.history.repairing import Filled, Repairer
from market_pipeline.sessions import Calendar, Session, bounds
from market_pipeline.simulator import kite_server
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions
from market_pipeline.storage import candles, instruments
from market_pipeline.storage.budgets import DatabaseBudgets
from market_pipeline.storage.database import Database
from market_pipeline.tolerances import Tolerances
from market_pipeline_tests.dagster_cases import rows, run_sql

DAY = date(2026, 11, 20)
EVENING = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
NAMES = ("NSE:INFY", "NSE:RELIANCE", "NSE:SBIN")
_UNPACED = Budget("unpaced", (Window(1000, 1.0),))
_MOMENTS = {"open": 0, "high": 15, "low": 30, "close": 59}


@dataclass
class Day:
    """The exchange, what is stored of it, and what is asked of both."""

    exchange: RunningSimulator
    database: Database
    settings: Settings
    ids: Mapping[str, int]

    @property
    def session(self) -> Session:
        session = Calendar().session("NSE", DAY)
        assert session is not None
        return session

    def minute(self, number: int) -> datetime:
        """Return when a minute after the opening begins."""
        return self.session.opens_at + timedelta(minutes=number)

    def truth(self, name: str) -> pl.DataFrame:
        """Return the minutes of an instrument as the exchange traded them, without idle ones."""
        exchange = self.exchange.server.exchange
        token = exchange.listing.securities[exchange.listing.row_by_name[name]].token
        opens, closes = (
            int(at.timestamp()) for at in (self.session.opens_at, self.session.closes_at)
        )
        found = pl.DataFrame(exchange.candles(token, 1, opens, closes - 60, closes + 3600))
        return found.filter(pl.col("volume") > 0)

    def store_ticks(self, without: Mapping[str, Sequence[int]] | None = None) -> None:
        """Store the ticks of the day, but for some minutes of some instruments."""
        self.database.execute("ensure_tick_day", day=DAY)
        first = int(self.session.opens_at.timestamp()) // 60
        made: list[tuple[Any, ...]] = []
        for name, instrument_id in self.ids.items():
            left_out = set((without or {}).get(name, ()))
            for row in self.truth(name).iter_rows(named=True):
                if row["time"] // 60 - first not in left_out:
                    made += _ticks(instrument_id, row)
        with psycopg.connect(self.database.url) as connection, connection.cursor() as cursor:
            with cursor.copy(
                "COPY ticks (time, instrument_id, seq, last_price, volume, high, low, received_at,"
                " is_trade) FROM STDIN"
            ) as copy:
                for tick in made:
                    copy.write_row(tick)
        candles.refresh(self.database, at_least=bounds(DAY)[1])

    def gap(self, begins: datetime, ends: datetime, *names: str) -> int:
        """Record a gap; without names of all instruments."""
        (row,) = rows(
            self.database,
            "INSERT INTO gaps (stream, started_at, ended_at, cause, instruments)"
            " VALUES ('simulator-0', %(begins)s, %(ends)s, 'dropped', %(ids)s) RETURNING gap_id",
            begins=begins,
            ends=ends,
            ids=[self.ids[name] for name in names],
        )
        return int(row["gap_id"])

    def work(self) -> Backfill:
        stop = Event()
        broker = brokers.open_broker(
            self.settings, DatabaseBudgets(self.database), stop=stop.is_set
        )
        source = Source(self.database, "simulator", broker, MINUTE, stop)
        return Backfill(source, self.settings.calendar)

    def fetch(self) -> Totals:
        work = self.work()
        plan = work.plan(work.contracts(Scope()), [DAY], datetime.now(UTC))
        return work.fetch(plan, "daily")

    def reconciler(self) -> Reconciler:
        return Reconciler(self.database, "simulator", self.settings.calendar, Tolerances.load(None))

    def reconcile(self) -> Reconciled:
        return self.reconciler().reconcile(DAY, EVENING)

    def repair(self, now: datetime = EVENING) -> Filled:
        return Repairer(self.database, "simulator", self.work(), self.reconciler()).repair(now)

    def gaps(self) -> list[dict[str, Any]]:
        return rows(self.database, "SELECT * FROM gaps ORDER BY gap_id")

    def repairs(self) -> list[dict[str, Any]]:
        return rows(self.database, "SELECT * FROM candle_repairs ORDER BY instrument_id, time")

    def read(self, name: str) -> pl.DataFrame:
        """Return the minutes that readers get."""
        found = rows(
            self.database,
            "SELECT * FROM candles(%(id)s, '1 minute', %(starts)s, %(ends)s)",
            id=self.ids[name],
            starts=bounds(DAY)[0],
            ends=bounds(DAY)[1],
        )
        return pl.DataFrame(found)

    def is_true(self, name: str) -> bool:
        """Tell whether readers get what the exchange traded."""
        fields = ["open", "high", "low", "close", "volume"]
        ours = self.read(name).select(pl.col("time").dt.epoch("s"), *fields)
        return ours.equals(self.truth(name).select("time", *fields))

    def states(self, name: str) -> dict[str, list[int]]:
        """Return the minutes after the opening of each state but final."""
        first = int(self.session.opens_at.timestamp()) // 60
        found = self.read(name).with_columns(pl.col("time").dt.epoch("s") // 60 - first)
        grouped = found.filter(pl.col("state") != "final").group_by("state").agg("time")
        return {state: sorted(minutes) for state, minutes in grouped.iter_rows()}

    def history_requests(self) -> int:
        asked = self.exchange.server.requests.status()
        return int(asked["accepted"].get("historical", 0))


def _ticks(instrument_id: int, row: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for place, (field, second) in enumerate(_MOMENTS.items()):
        at = row["time"] + second
        price, volume = row[field], row["volume"] if field == "close" else 0
        time = datetime.fromtimestamp(at, UTC)
        seq = (at << 32) + place
        yield time, instrument_id, seq, price, volume, price, price, time, True


@contextmanager
def simulated_day(
    database: Database,
    home: Path,
    starts_at: datetime = EVENING,
    always_open: bool = False,
    recent_listings: int = 0,
    is_paced: bool = False,
) -> Iterator[Day]:
    """Run an exchange, on the evening of the day, with three shares subscribed.

    Neither it nor we keep requests apart, unless ours are to be paced.
    """
    options = SimulatorOptions(
        port=0,
        always_open=always_open,
        starts_at=starts_at,
        rate_limits=False,
        instruments=60,
        recent_listings=recent_listings,
    )
    budgets = Kite.budgets if is_paced else dict.fromkeys(RequestKind, _UNPACED)
    with kite_server.running(options) as exchange, mock.patch.object(Kite, "budgets", budgets):
        settings = Settings(
            _env_file=None,
            simulator_url=exchange.url,
            simulator_always_open=always_open,
            market_pipeline_home=home,
        )
        brokers.log_in_to_simulator(settings)
        master = brokers.open_broker(settings).instruments()
        instruments.sync(database, "simulator", master, DAY)
        instruments.subscribe(database, "simulator", NAMES)
        run_sql(database, "UPDATE subscriptions SET since = since - interval '9 years'")
        found = rows(
            database, "SELECT exchange || ':' || symbol AS name, instrument_id FROM instruments"
        )
        every = {row["name"]: row["instrument_id"] for row in found}
        yield Day(exchange, database, settings, {name: every[name] for name in NAMES})
