"""A year of minutes of 50 instruments within the broker's limits: part of `make bench`."""

import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from market_pipeline.brokers.kite import Kite
from market_pipeline.brokers.limits import RequestKind
from market_pipeline_tests.history_drill import drill, world

_INSTRUMENTS, _DAYS, _KILLS = 50, 365, 5


def run(console: Console) -> None:
    """Fetch them with the real command, killed five times, and show what it took."""
    with tempfile.TemporaryDirectory(prefix="market_pipeline_", dir="/tmp") as folder:
        home = Path(folder)
        home.chmod(0o755)  # PostgreSQL runs under another account when root benchmarks
        with world(home, _INSTRUMENTS) as there:
            done = drill(there, _DAYS, _KILLS)
    table = Table(
        title=f"{_DAYS} days of minutes of {_INSTRUMENTS} instruments, killed {_KILLS} times"
    )
    for heading in ("what", "found", "against"):
        table.add_column(heading)
    allowed = Kite.budgets[RequestKind.HISTORY].rate
    for row in (
        ("requests", f"{done.asked:,}", f"{done.least:,} at least"),
        ("refused with 429", f"{done.refused:,}", "0"),
        ("made again after a kill", f"{done.repeated:,}", f"{_KILLS} kills"),
        ("candles stored", f"{done.candles:,}", f"{done.expected:,} traded"),
        ("candles that differ, of three instruments", f"{done.differing:,}", "0"),
        ("requests a second", f"{done.rate:.2f}", f"{done.rate / allowed:.1%} of {allowed:g}"),
        ("candles a second", f"{done.rows_per_second:,.0f}", "as many as the requests bring"),
        ("most memory of the command", f"{done.most_megabytes:,.0f} MB", ""),
    ):
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    run(Console())
