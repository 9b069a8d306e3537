"""What `doctor` looks at in the database: what it is, who may what, and what streams do in it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from market_pipeline import brokers
from market_pipeline.commands.doctor_machine import clock
from market_pipeline.commands.findings import Check, Finding, Patient, ok, problem, warning
from market_pipeline.errors import DatabaseError
from market_pipeline.sessions import trading_date
from market_pipeline.storage import embedded, migrations, roles, timescaledb
from market_pipeline.storage.database import Database, run
from market_pipeline.storage.timescaledb import Policies

_INIT = "run `market-pipeline db init` as the owner of the database"
_SILENT_SECONDS = 30.0
_RUNNING = ("starting", "connecting", "streaming", "awaiting_login", "journal_full", "stopping")
_TROUBLE = {
    "awaiting_login": "run `market-pipeline login`",
    "journal_full": "make room for the journal, and see why the database does not take ticks",
    "failed": "see its run in Dagster, or its log in MARKET_PIPELINE_HOME/logs",
}


def reach(patient: Patient) -> tuple[Database | None, Finding]:
    """Return the database if it answers, and what is to be said of it; starts no server."""
    settings = patient.settings
    is_embedded = settings.database_url is None
    try:
        if settings.database_url is None:
            database = Database(embedded.url(settings.market_pipeline_home))
        else:
            database = Database(settings.database_url.get_secret_value())
        server = database.query("server_status").row(0, named=True)
    except DatabaseError as error:
        if is_embedded:
            return None, warning("database", str(error), "start it, and ask again")
        return None, problem("database", str(error), "check DATABASE_URL, and that the server runs")
    kind = "its own PostgreSQL" if is_embedded else "PostgreSQL"
    return database, ok("database", f"{kind} {server['server_version']} answers")


def pending(patient: Patient) -> Iterator[Finding]:
    """Say which migrations are pending."""
    database = _database(patient)
    names = [
        each.name
        for each in migrations.status(database.url)
        if each.applied_at is None and each.is_needed
    ]
    if names:
        yield problem("migrations", f"pending: {', '.join(names)}", _INIT)
    else:
        yield ok("migrations", "none is pending")


def timescale(patient: Patient) -> Iterator[Finding]:
    """Say what is wrong with TimescaleDB's policies, if it is used."""
    database = _database(patient)
    version = database.query("timescaledb_version")
    if version.is_empty():
        yield ok("TimescaleDB", "is not used: streams and Dagster do its work")
        return
    wrong = timescaledb.problems(database, Policies.of(patient.settings))
    yield from (problem("TimescaleDB", each, _INIT) for each in wrong)
    if not wrong:
        yield ok("TimescaleDB", f"{version.item()}, with all policies")


def access(patient: Patient) -> Iterator[Finding]:
    """Say which roles there are, and whether each has its rights."""
    database = _database(patient)
    states = roles.states(database)
    if missing := [role for role, state in states.items() if state == "missing"]:
        told = f"{', '.join(missing)}: not there, so everything runs as the owner"
        yield warning("roles", told, "have somebody create them who may, then run `db init`")
    wrong = roles.problems(database)
    yield from (problem("roles", each, _INIT) for each in wrong)
    if not missing and not wrong:
        able = [role for role, state in states.items() if state == "can log in"]
        yield ok("roles", f"have their rights; {', '.join(able) or 'none'} can log in")


def streams(patient: Patient) -> Iterator[Finding]:
    """Say which streams live, and what ails those that do not."""
    rows = _database(patient).query("stream_status").to_dicts()
    if not rows:
        yield ok("streams", "none has ever run")
    wanted = _wanted_streams(patient) if rows else set()
    for row in rows:
        name, state, age = f"stream {row['stream']}", row["state"], row["heartbeat_age"]
        is_silent = state not in _RUNNING or age > _SILENT_SECONDS
        if is_silent and row["stream"] not in wanted:
            yield ok(name, f"{state}, and nobody wants it any more")
        elif state in _RUNNING and is_silent:
            told = f"says that it is {state}, but gave no sign of life for {age:.0f} s"
            yield problem(name, told, "see whether the pipeline runs: `market-pipeline up`")
        elif state in _TROUBLE:
            yield problem(name, f"{state}: {row['detail']}", _TROUBLE[state])
        elif row["stale_instruments"]:
            told = (
                f"nothing comes of {row['stale_instruments']} of {row['instruments']} instruments"
            )
            yield warning(name, told, "see streams.stale_instruments; are they still traded?")
        else:
            yield ok(name, f"{state}, {row['instruments']} instruments, {row['ticks']} ticks")


def _wanted_streams(patient: Patient) -> set[str]:
    """Return those that the subscriptions need of the brokers that are set, open or not."""
    each_broker = patient.settings.each_broker
    opened = [brokers.open_broker(each) for each in each_broker]
    rows = _database(patient).query(
        "desired_streams",
        brokers=[each.broker.value for each in each_broker],
        per_stream=min(broker.max_tokens_per_stream for broker in opened),
    )
    return set(rows["stream"])


def archive(patient: Patient) -> Iterator[Finding]:
    """Say which days of ticks are in no archive though they should be, and which are damaged."""
    keep = timedelta(days=patient.settings.tick_retention_days)
    rows = _database(patient).query("archive_states", before=trading_date(patient.now) - keep)
    for row in rows.to_dicts():
        name = f"archive of {row['day']}"
        if row["damage"]:
            yield problem(name, row["damage"], "restore its files from a copy")
        elif not row["is_archived"]:
            told = "none, and its ticks are past TICK_RETENTION_DAYS"
            yield warning(name, told, f"`market-pipeline archive write {row['day']}` says why")
        else:
            told = f"lacks ticks that came after {row['changed_at']:%d %b %H:%M} UTC"
            yield warning(name, told, f"`market-pipeline archive write {row['day']}`")
    if rows.is_empty():
        yield ok("archive", "no day is damaged, outdated or overdue")


def clock_of_the_database(patient: Patient) -> Iterator[Finding]:
    """Compare this machine's clock with that of the database's server."""
    database = _database(patient)
    with database.session() as connection:  # to open it takes longer than to ask
        asked_at = datetime.now(UTC)
        row = run(connection, "server_clock").fetchone()
    assert row is not None
    yield clock("clock of the database", (asked_at - row[0]).total_seconds())


def _database(patient: Patient) -> Database:
    assert patient.database is not None, "checked before"
    return patient.database


CHECKS: list[Check] = [
    pending,
    timescale,
    access,
    streams,
    archive,
    clock_of_the_database,
]
