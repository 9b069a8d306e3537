"""Each check of `doctor` in the database finds what it is there for."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from market_pipeline.commands import doctor_database, doctor_machine
from market_pipeline.commands.doctor import diagnose
from market_pipeline.commands.findings import Check, Finding, Patient, Verdict, examine
from market_pipeline.config import Settings
from market_pipeline.storage import schema
from market_pipeline.storage.database import Database
from market_pipeline_tests.api_cases import settings_of
from market_pipeline_tests.builders import fetch

pytestmark = pytest.mark.needs_plain_server("it examines either in the same way")

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OK, WARNING, PROBLEM = Verdict.OK, Verdict.WARNING, Verdict.PROBLEM
ARCHIVED = (
    "INSERT INTO archives"
    " (day, location, ticks, standby_ticks, candles, bytes, sha256, verified_at)"
    " VALUES (%s, 'file:///archive', 1, 0, 1, 1, '', now())"
)


@pytest.fixture
def patient(shared_database: Database, tmp_path: Path) -> Patient:
    fetch(shared_database, "TRUNCATE streams, instruments CASCADE")
    fetch(shared_database, "DELETE FROM archives")
    fetch(shared_database, "SELECT drop_tick_day(day) FROM tick_days")
    settings = settings_of(shared_database, tmp_path)
    schema.prepare(shared_database.url, settings)
    return Patient(settings, NOW, shared_database)


def findings(check: Check, patient: Patient) -> list[Finding]:
    return examine(patient, [check])


def only(check: Check, patient: Patient) -> Finding:
    (finding,) = findings(check, patient)
    return finding


def database_of(patient: Patient) -> Database:
    assert patient.database is not None
    return patient.database


def stream(patient: Patient, state: str, seconds: int = 0, stale: int = 0) -> None:
    fetch(
        database_of(patient),
        "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at,"
        " instruments, stale_instruments) VALUES ('simulator-0', 'simulator', 'run', %s, now(),"
        " now() - make_interval(secs => %s), 50, array_fill(1::bigint, ARRAY[%s]))",
        state,
        seconds,
        stale,
    )


def subscribe(patient: Patient) -> None:
    """Subscribe an instrument, so that stream simulator-0 is wanted."""
    database = database_of(patient)
    ((number,),) = fetch(
        database,
        "INSERT INTO instruments (exchange, segment, exchange_token, symbol, name, kind)"
        " VALUES ('NSE', 'CM', '1', 'INFY', 'Infosys', 'EQ') RETURNING instrument_id",
    )
    fetch(
        database,
        "INSERT INTO broker_instruments (broker, token, broker_symbol, instrument_id)"
        " VALUES ('simulator', 1, 'INFY', %s)",
        number,
    )
    fetch(database, "INSERT INTO subscriptions (instrument_id) VALUES (%s)", number)


def test_a_sound_database_has_neither_problem_nor_warning(patient: Patient) -> None:
    found = examine(patient, doctor_database.CHECKS)
    assert [each for each in found if each.verdict is not OK] == []
    assert len(found) == len(doctor_database.CHECKS)


def test_pending_migrations_are_a_problem(
    new_database: Callable[..., str], patient: Patient
) -> None:
    empty = replace(patient, database=Database(new_database()))
    found = only(doctor_database.pending, empty)
    assert (found.verdict, "instruments" in found.told) == (PROBLEM, True)
    everything = diagnose(replace(empty, settings=settings_of(database_of(empty), Path("/tmp"))))
    assert "migrations" in {each.what for each in everything}


def test_rights_that_are_missing_are_a_problem(patient: Patient) -> None:
    fetch(database_of(patient), "REVOKE SELECT ON gaps FROM market_reader")
    found = only(doctor_database.access, patient)
    assert (found.verdict, "market_reader lacks SELECT" in found.told) == (PROBLEM, True)


def test_roles_that_are_missing_are_a_warning(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market_pipeline.storage.roles.states", lambda _: {"market_api": "missing"})
    found = only(doctor_database.access, patient)
    assert (found.verdict, "market_api" in found.told) == (WARNING, True)


@pytest.mark.needs_timescale
def test_policies_that_are_not_as_settings_say_are_a_problem(patient: Patient) -> None:
    changed = patient.settings.model_copy(update={"tick_retention_days": 2})
    found = findings(doctor_database.timescale, replace(patient, settings=changed))
    assert {each.verdict for each in found} == {PROBLEM}


@pytest.mark.parametrize(
    ("state", "seconds", "stale", "verdict"),
    [
        ("streaming", 0, 0, OK),
        ("streaming", 120, 0, PROBLEM),
        ("streaming", 0, 3, WARNING),
        ("stopped", 9999, 0, OK),
        ("awaiting_login", 0, 0, PROBLEM),
        ("journal_full", 0, 0, PROBLEM),
        ("failed", 9999, 0, PROBLEM),
    ],
)
def test_streams_that_ail_are_told(
    patient: Patient, state: str, seconds: int, stale: int, verdict: Verdict
) -> None:
    subscribe(patient)
    stream(patient, state, seconds, stale)
    found = only(doctor_database.streams, patient)
    assert (found.verdict, found.what) == (verdict, "stream simulator-0")


@pytest.mark.parametrize("state", ["failed", "streaming"])
def test_a_stream_that_nobody_wants_any_more_ails_nobody(patient: Patient, state: str) -> None:
    stream(patient, state, seconds=9999)
    found = only(doctor_database.streams, patient)
    assert (found.verdict, found.told) == (OK, f"{state}, and nobody wants it any more")


def test_a_day_past_its_time_without_an_archive_is_a_warning(patient: Patient) -> None:
    overdue, young = date(2026, 11, 2), date(2026, 11, 19)
    for day in (overdue, young):
        database_of(patient).execute("ensure_tick_day", day=day)
    found = only(doctor_database.archive, patient)
    assert (found.verdict, found.what) == (WARNING, f"archive of {overdue}")
    fetch(database_of(patient), ARCHIVED, overdue)
    assert only(doctor_database.archive, patient).verdict is OK
    fetch(database_of(patient), "UPDATE archives SET changed_at = now()")
    assert "lacks ticks" in only(doctor_database.archive, patient).told
    fetch(database_of(patient), "UPDATE archives SET damage = 'a.parquet is not what it was'")
    assert only(doctor_database.archive, patient).verdict is PROBLEM


def test_a_clock_that_is_not_the_server_s_is_a_problem() -> None:
    assert doctor_machine.clock("clock", 60).verdict is PROBLEM
    assert doctor_machine.clock("clock", -60).told.endswith("60.0 s slow")
    assert doctor_machine.clock("clock", 0.5).verdict is OK


def test_a_server_s_clock_is_read(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(minutes=5)

    monkeypatch.setattr(doctor_database, "datetime", Late)
    found = only(doctor_database.clock_of_the_database, patient)
    assert (found.verdict, found.told.endswith("s fast")) == (PROBLEM, True)


def test_the_password_of_the_database_is_not_told(patient: Patient) -> None:
    url = SecretStr("postgresql://me:sesame@127.0.0.1:1/market")
    settings = Settings(_env_file=None, database_url=url)
    assert "sesame" not in str(doctor_database.reach(replace(patient, settings=settings)))
