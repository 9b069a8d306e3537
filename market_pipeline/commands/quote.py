"""The command that tells what instruments stand at now."""

import json
from datetime import datetime
from typing import Any

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from market_pipeline import brokers
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.commands.instruments import AsJson
from market_pipeline.commands.market import Names
from market_pipeline.config import Settings
from market_pipeline.dashboard import price_text
from market_pipeline.sessions import to_ist
from market_pipeline.storage import instruments
from market_pipeline.storage.budgets import DatabaseBudgets
from market_pipeline.storage.database import Database

_PRICES = ("last_price", "day_open", "day_high", "day_low", "previous_close")
_COLUMNS = (
    "last change open high low previous_close volume bid ask open_interest last_trade".split()
)


def quote(names: Names, as_json: AsJson = False) -> None:
    """Tell what instruments stand at now, as the preferred broker says.

    Exit code 1 when it says nothing of one of them.
    """
    settings = configured()
    with market_database(settings) as database:
        found = _quoted(database, settings, names)
    told = found.filter(pl.col("last_price").is_not_null())
    if as_json:
        typer.echo(json.dumps(told.to_dicts(), indent=2, default=str))
    elif not told.is_empty():
        Console().print(_table(told))
    for row in found.filter(pl.col("last_price").is_null()).iter_rows(named=True):
        broker = settings.broker.value
        typer.echo(f"{broker} has no quote of {row['exchange']}:{row['symbol']}", err=True)
    if told.height < found.height:
        raise typer.Exit(1)


def _quoted(database: Database, settings: Settings, names: list[str]) -> pl.DataFrame:
    """Return exchange, symbol and the columns of QUOTE_SCHEMA, null where there is no quote."""
    broker = settings.broker.value
    ids = [instrument_id for instrument_id, _ in instruments.resolve(database, broker, names)]
    wanted = instruments.current_tokens(database, broker, ids).drop("instrument_id")
    source = brokers.open_broker(settings, DatabaseBudgets(database))
    quotes = source.quotes(wanted["token"].to_list())
    joined = wanted.join(quotes, on="token", how="left", maintain_order="left")
    return joined.select("exchange", "symbol", *quotes.columns)


def _table(quotes: pl.DataFrame) -> Table:
    rows = {f"{row['exchange']}:{row['symbol']}": row for row in quotes.iter_rows(named=True)}
    table = Table(title="Quotes, times of Asia/Kolkata")
    table.add_column("instrument", min_width=max(map(len, rows)))  # names are never cut
    for name in _COLUMNS:
        table.add_column(name.replace("_", " "), justify="right")
    for name, row in rows.items():
        table.add_row(name, *_cells(row))
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    last, *day = (price_text(row[name]) for name in _PRICES)
    return [
        last,
        _change(row["last_price"], row["previous_close"]),
        *day,
        _count(row["day_volume"]),
        _side(row["bid_price"], row["bid_quantity"]),
        _side(row["ask_price"], row["ask_quantity"]),
        _count(row["open_interest"]),
        _clock(row["last_trade_time"]),
    ]


def _change(last: float, previous: float | None) -> str:
    return f"{(last / previous - 1) * 100:+.2f} %" if previous else ""


def _side(price: float | None, quantity: int | None) -> str:
    """Show the best of one side of the book; of an empty one nothing."""
    return f"{quantity:,} at {price_text(price)}" if quantity else ""


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _clock(instant: datetime | None) -> str:
    return "" if instant is None else f"{to_ist(instant):%d %b %H:%M:%S}"
