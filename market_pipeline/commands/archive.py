"""Commands about the archive: what it has, whether it is whole, and ticks back from it."""

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from market_pipeline.archive.day import write_day
from market_pipeline.archive.dropping import drop_day
from market_pipeline.archive.moving import take_over
from market_pipeline.archive.restoring import restore_day
from market_pipeline.archive.store import Store, open_store
from market_pipeline.archive.verifying import look
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.config import Settings
from market_pipeline.errors import ArchiveError, ConfigurationError
from market_pipeline.sessions import trading_date
from market_pipeline.storage import retention
from market_pipeline.storage.archives import Certificate
from market_pipeline.storage.database import Database

archive_app = typer.Typer(no_args_is_help=True, help="Ticks as files outside the database.")

_Day = Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], metavar="DAY")]
_AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
_KeepDays = Annotated[
    int, typer.Option(min=1, help="For how many days it stays before it is dropped again.")
]


@archive_app.command("list")
def list_days(as_json: _AsJson = False) -> None:
    """List the archived days, the newest first, and whether their ticks are stored as well."""
    with _opened() as (_, database, _):
        rows = database.query("list_archives").to_dicts()
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=_text))
        return
    for row in rows:
        typer.echo(
            f"{row['day']}  {row['ticks']:,} ticks, {row['standby_ticks']:,} on stand-by, "
            f"{row['bytes'] / 1e6:,.1f} MB, {_state(row)}"
        )
    if not rows:
        typer.echo("No day is archived.")


@archive_app.command()
def write(day: _Day, as_json: _AsJson = False) -> None:
    """Archive a day that is over, unless it is archived as the database has it."""
    console = Console(stderr=True)
    with _opened() as (_, database, store), console.status(f"{day:%Y-%m-%d}") as status:
        certificate = write_day(
            database, store, day.date(), lambda stage: status.update(f"{day:%Y-%m-%d}: {stage}")
        )
    _show(certificate, as_json, "is archived")


@archive_app.command()
def verify(
    day: Annotated[datetime | None, typer.Argument(formats=["%Y-%m-%d"], metavar="[DAY]")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every archived day.")] = False,
    as_json: _AsJson = False,
) -> None:
    """Read the files of a day, or of all, and compare them with what was certified.

    Exit code 1 when a file is missing or is not what it was; it is named. So are files that are in
    no certificate, which are no damage.
    """
    if (day is None) is not every:
        raise ConfigurationError("name one day, or --all")
    with _opened() as (_, database, store):
        days = [day.date()] if day else database.query("list_archives")["day"].to_list()
        found = _each(days, "verifying", lambda day: _verified(database, store, day))
    _tell(found, as_json)


def _verified(database: Database, store: Store, day: date) -> str | None:
    looked = look(database, store, day)
    if looked.foreign is not None:
        typer.echo(f"{day}: {looked.foreign}", err=True)
    return looked.damage


def _tell(found: dict[date, str | None], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({str(each): damage for each, damage in found.items()}, indent=2))
    else:
        for each, damage in found.items():
            typer.echo(f"{each}: {damage or 'as certified'}")
    if any(found.values()):
        raise typer.Exit(1)


@archive_app.command()
def moved(as_json: _AsJson = False) -> None:
    """Take note that the archive's files were copied to where ARCHIVE_URL says.

    Each day whose files are there as certified is from now on looked for there, and added to. Exit
    code 1 when a file is missing or is not what it was; it is named, and its day stays as it was.
    """
    with _opened() as (_, database, store):
        days = database.query("list_archives")["day"].to_list()
        found = _each(days, "verifying", lambda day: take_over(database, store, day))
    _tell(found, as_json)


def _each(
    days: list[date], what: str, work: Callable[[date], str | None]
) -> dict[date, str | None]:
    """Do something for days and return what was wrong with each."""
    found: dict[date, str | None] = {}
    columns = (what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for each in progress.track(days):
            try:
                found[each] = work(each)
            except ArchiveError as error:
                found[each] = str(error)
    return found


@archive_app.command()
def restore(day: _Day, keep_days: _KeepDays = 7, as_json: _AsJson = False) -> None:
    """Bring the ticks of a dropped day back, equal to what was archived. Candles stay."""
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        _opened() as (_, database, store),
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
    ):
        task = progress.add_task("verifying the archive", total=None)
        certificate = restore_day(
            database,
            store,
            day.date(),
            keep_days,
            lambda stage: progress.update(task, description=stage),
            lambda rows, of: progress.update(task, completed=rows, total=of),
        )
    _show(certificate, as_json, f"is back for {keep_days} days")


@archive_app.command()
def drop(day: _Day) -> None:
    """Drop the ticks of a day that is archived, as one that was restored; refused if it is not."""
    with _opened() as (settings, database, store):
        kept = trading_date(datetime.now(UTC)) - timedelta(days=settings.tick_retention_days)
        if day.date() >= kept:
            raise ConfigurationError(
                f"{day:%Y-%m-%d} is not older than TICK_RETENTION_DAYS, "
                f"{settings.tick_retention_days} days"
            )
        drop_day(database, store, day.date())
        if retention.has_ticks(database, day.date()):
            raise ArchiveError(f"ticks of {day:%Y-%m-%d} have come meanwhile: call again")
    typer.echo(f"The ticks of {day:%Y-%m-%d} are in the archive alone.")


@contextlib.contextmanager
def _opened() -> Iterator[tuple[Settings, Database, Store]]:
    settings = configured()
    store = open_store(settings.archive_url, settings.market_pipeline_home)
    with market_database(settings) as database:
        yield settings, database, store


def _show(certificate: Certificate, as_json: bool, what: str) -> None:
    if as_json:
        typer.echo(json.dumps(certificate._asdict(), indent=2, default=_text))
        return
    typer.echo(
        f"{certificate.day} {what}: {certificate.ticks:,} ticks, {certificate.standby_ticks:,} on "
        f"stand-by, {certificate.bytes / 1e6:,.1f} MB, content {certificate.sha256[:16]}"
    )


def _state(row: dict[str, Any]) -> str:
    if row["damage"] is not None:
        return f"damaged: {row['damage']}"
    if row["changed_at"] is not None:
        return "ticks came later: to be archived again"
    if not row["is_stored"]:
        return "in the archive alone"
    if row["keep_until"] is not None:
        return f"restored until {_text(row['keep_until'])}"
    return "in the database as well"


def _text(value: date | datetime) -> str:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)
