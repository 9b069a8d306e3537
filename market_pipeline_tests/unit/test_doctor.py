"""Each check of `doctor` on this machine finds what it is there for, and spoils no other."""

import http.server
import json
import socket
import threading
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from market_pipeline import brokers, config
from market_pipeline.__main__ import app
from market_pipeline.commands import doctor_machine
from market_pipeline.commands.doctor import diagnose
from market_pipeline.commands.findings import Check, Finding, Patient, Verdict, examine, ok
from market_pipeline.config import BrokerName, Settings

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
OK, WARNING, PROBLEM = Verdict.OK, Verdict.WARNING, Verdict.PROBLEM


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def settings_of(home: Path, **changed: Any) -> Settings:
    values: dict[str, Any] = {"broker": "kite", "market_pipeline_home": home, **changed}
    return Settings(_env_file=None, **values)


def findings(check: Check, home: Path, now: datetime = NOW, **changed: Any) -> list[Finding]:
    is_online = changed.pop("is_online", False)
    return examine(Patient(settings_of(home, **changed), now, is_online=is_online), [check])


def only(found: list[Finding]) -> Finding:
    (finding,) = found
    return finding


def test_a_check_that_breaks_is_a_problem_and_keeps_none_from_the_others(home: Path) -> None:
    def broken_thing(patient: Patient) -> Iterator[Finding]:
        yield ok("half", "done")
        raise ZeroDivisionError("of all things")

    def sound(patient: Patient) -> list[Finding]:
        return [ok("sound", "indeed")]

    half, broken, other = examine(Patient(settings_of(home), NOW), [broken_thing, sound])
    assert (half.verdict, broken.verdict, other.verdict) == (OK, PROBLEM, OK)
    assert (broken.what, broken.told) == (
        "broken thing",
        "cannot be checked: ZeroDivisionError: of all things",
    )


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (datetime(2026, 6, 1, tzinfo=UTC), OK),
        (datetime(2026, 11, 20, tzinfo=UTC), WARNING),
        (datetime(2026, 12, 25, tzinfo=UTC), PROBLEM),
    ],
)
def test_a_calendar_that_soon_ends_is_told_in_time(
    home: Path, now: datetime, verdict: Verdict
) -> None:
    found = only(findings(doctor_machine.calendar, home, now))
    assert found.verdict is verdict
    assert verdict is OK or "CALENDAR_FILE" in found.remedy


def test_keys_that_are_not_set_are_named(home: Path) -> None:
    found = only(findings(doctor_machine.broker_keys, home))
    assert found.verdict is PROBLEM
    assert "KITE_API_KEY is not set" in found.told


def test_a_library_that_is_not_installed_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(doctor_machine._LIBRARIES, BrokerName.KITE, "no-such-library")
    keys: dict[str, Any] = {"kite_api_key": "key", "kite_api_secret": SecretStr("secret")}
    missing, _ = findings(doctor_machine.broker_keys, home, **keys)
    assert (missing.verdict, "no-such-library" in missing.told) == (PROBLEM, True)


@pytest.mark.parametrize(("hours", "verdict"), [(None, PROBLEM), (-1, PROBLEM), (1, OK)])
def test_a_token_that_is_not_there_or_has_ended_is_a_problem(
    home: Path, hours: int | None, verdict: Verdict
) -> None:
    if hours is not None:
        store = brokers.token_store(settings_of(home))
        store.save("kite", SecretStr("sesame"), NOW, NOW + timedelta(hours=hours))
    found = only(findings(doctor_machine.tokens, home))
    assert found.verdict is verdict
    assert verdict is OK or found.remedy == "run `market-pipeline login kite`"
    assert "sesame" not in str(found)


def test_a_token_file_that_cannot_be_read_is_a_problem(home: Path) -> None:
    (home / "tokens").mkdir(parents=True)
    (home / "tokens" / "kite.json").write_text("{")
    found = only(findings(doctor_machine.tokens, home))
    assert (found.verdict, "delete it and log in again" in found.told) == (PROBLEM, True)


@pytest.mark.parametrize(("free", "verdict"), [(0.5, PROBLEM), (10, WARNING), (30, OK)])
def test_a_disk_without_room_for_the_journal_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, free: float, verdict: Verdict
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage(0, 0, free * 1e9))
    assert only(findings(doctor_machine.disk, home)).verdict is verdict


def test_an_api_for_other_machines_without_keys_is_a_problem(home: Path) -> None:
    found = only(findings(doctor_machine.access_to_the_api, home, api_host="0.0.0.0"))
    assert (found.verdict, "API_KEYS is empty" in found.told) == (PROBLEM, True)


def test_who_may_use_an_api_without_keys_is_known_where_it_runs(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as api:
        port = api.getsockname()[1]
        running = only(findings(doctor_machine.access_to_the_api, home, api_port=port))
    assert running.told.endswith("for everybody on this machine")
    elsewhere = only(findings(doctor_machine.access_to_the_api, home, api_port=port))
    assert (elsewhere.verdict, "not known here" in elsewhere.told) == (OK, True)
    keys = "desk:control:" + "k" * 40
    keyed = only(findings(doctor_machine.access_to_the_api, home, api_port=port, api_keys=keys))
    assert keyed.told.endswith("for those with a key")


def test_other_versions_than_were_tested_are_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_machine, "tested_versions", lambda: {"typer": "0.0.1"})
    found = only(findings(doctor_machine.versions, home))
    assert (found.verdict, "instead of 0.0.1" in found.told) == (WARNING, True)


def test_a_python_that_is_not_supported_is_a_problem(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10, 0))
    assert only(findings(doctor_machine.versions, home)).verdict is PROBLEM


@pytest.fixture
def hour_behind() -> Iterator[str]:
    """A server whose clock is an hour behind."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return f"{datetime.now(UTC) - timedelta(hours=1):%a, %d %b %Y %H:%M:%S} GMT"

        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_clock_that_is_not_the_broker_s_is_a_problem_when_brokers_may_be_asked(
    home: Path, hour_behind: str
) -> None:
    asked: dict[str, Any] = {"broker": "simulator", "simulator_url": hour_behind}
    assert findings(doctor_machine.clock_of_the_broker, home, **asked) == []
    found = only(findings(doctor_machine.clock_of_the_broker, home, is_online=True, **asked))
    assert (found.verdict, "s fast" in found.told) == (PROBLEM, True)


def test_a_broker_that_does_not_answer_is_a_problem(home: Path) -> None:
    asked: dict[str, Any] = {"broker": "simulator", "simulator_url": "http://127.0.0.1:1"}
    found = only(findings(doctor_machine.clock_of_the_broker, home, is_online=True, **asked))
    assert (found.verdict, "ConnectError" in found.told) == (PROBLEM, True)


def test_a_database_that_does_not_answer_is_a_problem_and_the_rest_is_examined(home: Path) -> None:
    url = SecretStr("postgresql://me:sesame@127.0.0.1:1/market")
    found = diagnose(Patient(settings_of(home, database_url=url), NOW))
    (database,) = [each for each in found if each.what == "database"]
    assert (database.verdict, "DATABASE_URL" in database.remedy) == (PROBLEM, True)
    assert len(found) > 5
    assert "sesame" not in str(found)


def test_an_embedded_database_that_does_not_run_is_a_warning(home: Path) -> None:
    (database,) = [
        each for each in diagnose(Patient(settings_of(home), NOW)) if each.what == "database"
    ]
    assert (database.verdict, "is not running" in database.told) == (WARNING, True)
    assert not home.exists()


@pytest.mark.parametrize(("broker", "code"), [("simulator", 0), ("kite", 1)])
def test_the_exit_code_tells_of_problems(
    home: Path, monkeypatch: pytest.MonkeyPatch, broker: str, code: int
) -> None:
    chosen = settings_of(home, broker=broker, journal_max_gigabytes=0.1)
    monkeypatch.setattr(config, "settings", lambda: chosen)
    ran = CliRunner().invoke(app, ["doctor", "--json"])
    verdicts = {each["what"]: each["verdict"] for each in json.loads(ran.stdout)}
    assert ran.exit_code == code, ran.stdout
    assert (verdicts["broker keys"] == "problem") is bool(code)
    assert CliRunner().invoke(app, ["doctor"]).exit_code == code
