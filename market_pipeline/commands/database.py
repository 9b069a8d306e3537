"""Commands about the database: bring it up to date, tell how it is."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from market_pipeline.commands.connected import configured, market_database
from market_pipeline.config import Settings
from market_pipeline.storage import migrations, roles, schema, timescaledb
from market_pipeline.storage.database import Database
from market_pipeline.storage.migrations import MigrationStatus
from market_pipeline.storage.timescaledb import Policies

database_app = typer.Typer(no_args_is_help=True, help="Look after the database.")

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@database_app.command("init")
def init() -> None:
    """Create the tables, or bring them up to date. Safe to repeat at any time."""
    settings = configured()
    with market_database(settings) as database:
        applied = schema.prepare(database.url, settings)
    typer.echo("\n".join(applied) or "The database is up to date.")


@database_app.command("status")
def status(as_json: AsJson = False) -> None:
    """Tell what the database is and what is missing.

    Exit code 1 when migrations are pending or something is wrong with what the server does itself.
    """
    settings = configured()
    with market_database(settings) as database:
        found = migrations.status(database.url)
        content = _status(settings, database, found)
    if as_json:
        typer.echo(json.dumps(content, indent=2, default=_iso))
    else:
        _show(content)
    if content["pending"] or content.get("problems"):
        raise typer.Exit(1)


def _status(settings: Settings, database: Database, found: list[MigrationStatus]) -> dict[str, Any]:
    pending = [each.name for each in found if each.applied_at is None and each.is_needed]
    server = database.query("server_status").row(0, named=True)
    version = database.query("timescaledb_version")
    content = {
        "embedded": settings.database_url is None,
        **server,
        "timescaledb": None if version.is_empty() else version.item(),
        "applied": [each._asdict() for each in found if each.applied_at is not None],
        "pending": pending,
    }
    if not pending:  # its tables are there only then
        name = "storage_status" if version.is_empty() else "storage_status_timescaledb"
        content |= database.query(name).row(0, named=True)
        content["roles"] = roles.states(database)
        content["problems"] = [
            *timescaledb.problems(database, Policies.of(settings)),
            *roles.problems(database),
        ]
    return content


def _show(content: dict[str, Any]) -> None:
    table = Table(show_header=False)
    for name, value in content.items():
        if name == "applied":
            value = "\n".join(f"{each['name']} {_iso(each['applied_at'])}" for each in value)
        elif name in ("pending", "problems"):
            value = "\n".join(value) or "none"
        elif name == "roles":
            value = "\n".join(f"{role} {state}" for role, state in value.items())
        elif name.endswith("_bytes"):
            value = "none" if value is None else f"{value / 1e6:,.1f} MB"
        table.add_row(name.removesuffix("_bytes").replace("_", " "), str(value))
    Console().print(table)


def _iso(value: datetime) -> str:
    return value.isoformat(timespec="seconds")
