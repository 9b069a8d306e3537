"""What a replay tells whoever started it."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import typer
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from market_pipeline.replay.comparing import Comparison
from market_pipeline.replay.order import Order, Progress
from market_pipeline.sessions import to_ist
from market_pipeline.storage.scratch import Scratch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Result:
    """What came of a replay."""

    order: Order
    scratch: Scratch
    progress: Progress
    seconds: float
    compared: list[Comparison]

    def content(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "day": str(self.order.day),
            "schema": self.scratch.schema,
            "ticks": self.progress.ticks,
            "standby_ticks": self.progress.standby_ticks,
            "seconds": round(self.seconds, 3),
            "candles": [_told(each) for each in self.compared],
        }


def _told(compared: Comparison) -> dict[str, Any]:
    live, replayed = compared.hashes
    return {
        "which": compared.name,
        "live": {"rows": compared.live.height, "sha256": live},
        "replayed": {"rows": compared.replayed.height, "sha256": replayed},
        "equal": live == replayed,
    }


def begun(console: Console, order: Order, scratch: Scratch, url: str | None) -> None:
    """Say what is replayed, and where it is served."""
    speed = "as fast as it goes" if order.speed is None else f"at {order.speed:g} times its speed"
    console.print(f"{order.day} {speed}, in schema {scratch.schema}", highlight=False)
    if url:
        console.print(f"API at {url}/docs, live page at {url}/", highlight=False)


@contextlib.contextmanager
def progress(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Show how far the replay is."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("begins")

        def advanced(made: Progress) -> None:
            at = to_ist(_EPOCH + timedelta(microseconds=made.received_at // 1000))
            bar.update(task, description=f"{at:%H:%M:%S}  {made.ticks:,} ticks")

        yield advanced


def ended(result: Result, as_json: bool) -> None:
    """Say how many ticks there were, and whether the candles are those of the live day."""
    if as_json:
        typer.echo(json.dumps(result.content(), indent=2))
        return
    made = result.progress
    standby = f" and {made.standby_ticks:,} that stood by" if made.standby_ticks else ""
    rate = made.ticks / result.seconds
    typer.echo(f"{made.ticks:,} ticks{standby} in {result.seconds:.1f} s, {rate:,.0f} a second")
    for compared in result.compared:
        live, replayed = compared.hashes
        typer.echo(f"candles of a minute, {compared.name}:")
        typer.echo(f"  live      {compared.live.height:>9,} rows  sha256 {live}")
        typer.echo(f"  replayed  {compared.replayed.height:>9,} rows  sha256 {replayed}")
        typer.echo("  equal" if live == replayed else f"  different: {compared.differing()}")


def kept(console: Console, found: pl.DataFrame, as_json: bool) -> None:
    """List the schemas of replays."""
    if as_json:
        typer.echo(json.dumps(found.to_dicts(), indent=2, default=str))
        return
    table = Table("day", "schema", "MB")
    for row in found.iter_rows(named=True):
        table.add_row(str(row["day"]), row["schema"], f"{row['bytes'] / 1e6:,.0f}")
    console.print(table)
