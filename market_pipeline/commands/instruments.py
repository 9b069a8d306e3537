"""Commands about instruments: synchronise, search, show one, list what has changed."""

import json
from datetime import UTC, date, datetime
from itertools import combinations
from typing import Annotated, Any

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from market_pipeline import brokers
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.config import Settings
from market_pipeline.errors import MarketPipelineError, UnknownInstrument
from market_pipeline.market import Exchange, Kind
from market_pipeline.sessions import trading_date
from market_pipeline.storage import (
    instrument_history,
    instrument_search,
    instruments,
    joined_masters,
)
from market_pipeline.storage.budgets import DatabaseBudgets
from market_pipeline.storage.database import Database
from market_pipeline.storage.instrument_search import Filters
from market_pipeline.storage.instruments import SyncCounts

instruments_app = typer.Typer(no_args_is_help=True, help="Look after the instrument master.")

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

_MOST_ROWS = 100
"""Changes that are shown one by one; programs get all."""


@instruments_app.command("sync")
def sync() -> None:
    """Bring the instruments in line with each broker's master of today.

    Where one of two fails, the other is synchronised nevertheless; the exit code is not 0 then.
    """
    settings = configured()
    errors: list[MarketPipelineError] = []
    with market_database(settings) as database:
        for each in settings.each_broker:
            try:
                counts = _synchronised(database, each)
            except MarketPipelineError as error:
                typer.echo(f"{each.broker.value} was not synchronised", err=True)
                errors.append(error)
                continue
            whose = [f"broker={each.broker.value}"] if settings.standby_broker else []
            told = [f"{name}={count}" for name, count in counts._asdict().items()]
            typer.echo("  ".join(whose + told))
    for earlier in errors[:-1]:
        typer.echo(f"error: {earlier}", err=True)
    if errors:
        raise errors[-1]


def _synchronised(database: Database, settings: Settings) -> SyncCounts:
    broker = settings.broker
    master = brokers.open_broker(settings, DatabaseBudgets(database)).instruments()
    return instruments.sync(database, broker.value, master, _today(), broker.yields_to)


@instruments_app.command("search")
def search(  # noqa: PLR0913 - each is an option of the command line
    text: Annotated[
        list[str], typer.Argument(help='As in: nifty 24200 ce, or "reliance dec fut".')
    ],
    exchange: Annotated[Exchange | None, typer.Option(case_sensitive=False)] = None,
    kind: Annotated[Kind | None, typer.Option(case_sensitive=False)] = None,
    underlying: Annotated[str | None, typer.Option(help="As in NIFTY or RELIANCE.")] = None,
    expiry: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])] = None,
    expired: Annotated[bool, typer.Option("--expired", help="Also what is gone for good.")] = False,
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Find instruments by symbol, name, underlying, strike, month or kind, best first.

    Exit code 1 when nothing is found.
    """
    settings = configured()
    filters = Filters(
        exchange=exchange,
        kind=kind,
        underlying=underlying,
        expiry=expiry.date() if expiry else None,
        with_expired=expired,
    )
    words = " ".join(text)
    with market_database(settings) as database:
        brokers = [each.broker.value for each in settings.each_broker]
        found = instrument_search.search(database, brokers, words, _today(), limit, filters)
    if as_json:
        typer.echo(_json(found.to_dicts()))
    elif not found.is_empty():
        is_similar = found["is_similar"].any()
        title = f"Nothing is called {words}; this is similar" if is_similar else None
        _print(found.drop("instrument_id", "segment", "rank", "is_similar"), title)
    if found.is_empty():
        typer.echo(f"{settings.broker.value} has nothing like {words}", err=True)
        raise typer.Exit(1)


@instruments_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="EXCHANGE:SYMBOL, a symbol, or the broker's token.")],
    on: Annotated[
        datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="As of this day.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell all that is known of an instrument on a day, its tokens and its history.

    A name means what it meant on that day: brokers give tokens of expired contracts to new ones.
    """
    settings = configured()
    day = on.date() if on else _today()
    with market_database(settings) as database:
        found = instrument_history.as_of(database, settings.broker.value, name, day)
        if found.is_empty():
            raise UnknownInstrument(_unknown(database, settings.broker.value, name, day))
        known = found.row(0, named=True)
        tokens = instrument_history.tokens(database, known["instrument_id"])
        versions = instrument_history.versions(database, known["instrument_id"])
    if as_json:
        content = known | {"tokens": tokens.to_dicts(), "history": versions.to_dicts()}
        typer.echo(_json(content | {"day": day}))
        return
    _print_one(known, f"on {day}")
    _print(tokens, "tokens")
    _print(versions, "history")


@instruments_app.command("changes")
def changes(
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Today if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what the syncs have changed: names, sizes, and which contracts came and went."""
    settings = configured()
    today = _today()
    with market_database(settings) as database:
        found = instrument_history.changes(
            database, settings.broker.value, since.date() if since else today, today
        )
    if as_json:
        typer.echo(_json(found.to_dicts()))
    elif found.is_empty():
        typer.echo("Nothing has changed.")
    else:
        _print_changes(found)


@instruments_app.command("compare")
def compare(as_json: AsJson = False) -> None:
    """Tell how the instruments of two brokers go together, and of which they say otherwise.

    Exit code 1 when they disagree about a lot, a tick or an expiry.
    """
    settings = configured()
    with market_database(settings) as database:
        pairs = combinations(joined_masters.brokers(database), 2)
        found = [joined_masters.joined(database, *pair) for pair in pairs]
    if as_json:
        content = {f"{each.first},{each.second}": each.counts.to_dicts() for each in found}
        typer.echo(_json(content))
    elif not found:
        typer.echo("The instruments of one broker at most are known: name two in BROKER, and sync.")
    for each in found if not as_json else []:
        _print(each.counts, f"first: {each.first}, second: {each.second}")
        if not each.conflicts.is_empty():
            _print(each.conflicts, "some of the conflicts")
    if any(each.conflict_count for each in found):
        raise typer.Exit(1)


def _print_changes(found: pl.DataFrame) -> None:
    """Count everything; list each but what comes and goes by the thousand with every expiry."""
    counts = found.group_by("day", "change", maintain_order=True).len("count")
    _print(counts)
    is_cash = pl.col("kind").is_in([Kind.EQ, Kind.INDEX])
    told = found.filter((pl.col("change") != "expired") & ((pl.col("change") != "added") | is_cash))
    if not told.is_empty():
        _print(told.head(_MOST_ROWS).drop("instrument_id", "kind"))
    if told.height > _MOST_ROWS:
        typer.echo(f"{told.height - _MOST_ROWS} more: see them all with --json")


def _unknown(database: Database, broker: str, name: str, day: date) -> str:
    """Say when a name has meant something, or what is similar."""
    message = f"{broker} had no instrument {name} on {day}"
    known = instrument_history.meanings(database, broker, name)
    if not known.is_empty():
        start, end = known.row(-1, named=True)["valid_from"], known.row(-1, named=True)["valid_to"]
        return f"{message}: it meant one from {start} {f'to {end}' if end else 'on'}; see --on"
    near = instrument_search.search(database, [broker], name, _today(), 5)
    if near.is_empty():
        return f"{message}; run `market-pipeline instruments sync` if the master is old"
    names = [f"{row['exchange']}:{row['symbol']}" for row in near.to_dicts()]
    return f"{message}; did you mean {', '.join(names)}?"


def _print(rows: pl.DataFrame, title: str | None = None) -> None:
    table = Table(title=title)
    for name in rows.columns:
        table.add_column(name.replace("_", " "))
    for row in rows.iter_rows():
        table.add_row(*map(_shown, row))
    Console().print(table)


def _print_one(row: dict[str, Any], title: str) -> None:
    table = Table(title=title, show_header=False)
    for name, value in row.items():
        table.add_row(name.replace("_", " "), _shown(value))
    Console().print(table)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return "" if value is None else str(value)


def _json(content: object) -> str:
    return json.dumps(content, indent=2, default=str)


def _today() -> date:
    return trading_date(datetime.now(UTC))
