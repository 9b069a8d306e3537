"""How long Grafana waits for each panel: `python -m market_pipeline_tests.bench_panels`.

A day of 1,000 instruments, shares and options of an index, with as many ticks as such a day has;
everything that dashboards and alerts ask, over that day and as role market_grafana, a few times.
"""

import argparse
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import psutil
import psycopg
from rich.console import Console
from rich.table import Table

from market_pipeline.config import Settings
from market_pipeline.storage import schema
from market_pipeline.storage.database import Database
from market_pipeline_tests import bench_archive
from market_pipeline_tests import grafana_cases as cases
from market_pipeline_tests import grafana_days as days
from market_pipeline_tests.grafana_cases import Grafana
from market_pipeline_tests.grafana_macros import Range

MINUTES = 375
SHARES, STRIKES, WEEKS = 498, 125, 2  # with index, future, calls and puts 1,000 instruments
WANTED_MILLISECONDS = 300
_SHOWN = 25

_SESSION = """
    INSERT INTO trading_sessions
    SELECT exchange, (%s::timestamptz AT TIME ZONE 'Asia/Kolkata')::date, %s, %s
    FROM unnest(ARRAY['NSE', 'NFO']) AS exchange
"""
# Two weeks of a stream's samples, and the requests of a backfill of a year.
_OLDER = """
    INSERT INTO stream_samples
    SELECT
        date_bin(INTERVAL '15 seconds', now(), TIMESTAMPTZ '2000-01-01')
            - n * INTERVAL '15 seconds',
        'simulator-0', 'streaming', 1000, 0, 7, 250, 40, 90, 600, 900, 1000, 0
    FROM generate_series(200, 80640) AS n
    ON CONFLICT DO NOTHING;
    INSERT INTO backfills
        (broker, instrument_id, minutes, starts_at, ends_at, purpose, asked_at, outcome, candles)
    SELECT 'simulator', instrument_id, 1, now() - n * INTERVAL '60 days', now(), 'broker_candles',
        now() - n * INTERVAL '20 minutes' - instrument_id * INTERVAL '1 second', 'complete', 22000
    FROM instruments, generate_series(1, 6) AS n;
    ANALYZE stream_samples, backfills;
"""


def make_days(database: Database, now: datetime, every: timedelta) -> tuple[int, int]:
    """Make a day up to now and the last hour of the one before; return instruments and ticks."""
    made = days.make_instruments(database, now.date() + timedelta(days=5), SHARES, STRIKES, WEEKS)
    end = now.replace(second=0, microsecond=0)
    start = end - timedelta(minutes=MINUTES)
    with psycopg.connect(database.url) as connection:
        for closes_at in (end - timedelta(days=1), end + timedelta(hours=1)):
            opens_at = closes_at - timedelta(minutes=MINUTES)
            connection.execute(_SESSION, [opens_at, opens_at, closes_at])
    days.make_ticks(database, end - timedelta(days=1, hours=1), 60, timedelta(seconds=30))
    ticks = days.make_ticks(database, start, MINUTES, every)
    days.make_notes(database)
    with psycopg.connect(database.url) as connection:
        connection.execute(_OLDER)
    cases.grant(database)
    return made, ticks


class Times(NamedTuple):
    """The milliseconds that one answer took, and what of them the server's process computed."""

    taken: float
    computed: float


def measure(grafana: Grafana, url: str, rounds: int) -> dict[str, list[Times]]:
    """Return the times of each query on an open connection, once it was asked to warm up."""
    variables = {board["title"]: grafana.variables(board) for board in cases.dashboards()}
    found: dict[str, list[Times]] = {}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE market_grafana")
        server = psutil.Process(connection.info.backend_pid)
        for statement in cases.statements():
            sql = grafana.text(statement, variables.get(statement.owner, {}))
            for number in range(rounds + 1):
                began, computed = time.perf_counter(), _computed(server)
                cases.answer(connection, sql)
                if number:
                    taken = (time.perf_counter() - began) * 1000
                    times = Times(taken, (_computed(server) - computed) * 1000)
                    found.setdefault(str(statement), []).append(times)
    return found


def _computed(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def show(console: Console, found: dict[str, list[Times]], shown: int) -> None:
    """Print the slowest; the processor's time is the same on a busy machine, in steps of 10 ms."""
    table = Table(title=f"The slowest of {len(found)} queries of panels and alerts, in ms")
    for heading in ("query", "p50", f"max ({WANTED_MILLISECONDS})", "processor, mean"):
        table.add_column(heading, justify="left" if heading == "query" else "right")
    medians = {
        name: statistics.median(each.taken for each in times) for name, times in found.items()
    }
    for name in sorted(medians, key=lambda name: -medians[name])[:shown]:
        most = max(each.taken for each in found[name])
        computed = statistics.mean(each.computed for each in found[name])
        table.add_row(name, f"{medians[name]:.0f}", f"{most:.0f}", f"{computed:.0f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=float, default=4.0, help="seconds between ticks of each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shown", type=int, default=_SHOWN, help="how many of the slowest")
    options = parser.parse_args()
    console = Console()
    with bench_archive.serving() as url:
        schema.prepare(url, Settings(_env_file=None))
        database = Database(url)
        began, now = time.monotonic(), datetime.now(UTC)
        made, ticks = make_days(database, now, timedelta(seconds=options.every))
        seconds = time.monotonic() - began
        console.print(f"{ticks:,} ticks of {made:,} instruments, made in {seconds:.0f} s")
        shown = Range(now - timedelta(minutes=MINUTES), now + timedelta(minutes=1))
        found = measure(Grafana(database, shown), url, options.rounds)
        show(console, found, options.shown)


if __name__ == "__main__":
    main()
