"""What `doctor` asks others for: whose a token is, and whether an archive can be written."""

from collections import namedtuple
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from market_pipeline import brokers
from market_pipeline.commands import doctor_machine
from market_pipeline.commands.findings import Check, Finding, Patient, Verdict, examine
from market_pipeline.config import Settings
from market_pipeline.simulator.kite_server import SimulatorOptions, running
from market_pipeline_tests.archive_s3 import s3_server as s3_server
from market_pipeline_tests.archive_s3 import s3_url as s3_url

OK, PROBLEM = Verdict.OK, Verdict.PROBLEM

Examined = Callable[..., list[Finding]]


@pytest.fixture
def examined(tmp_path: Path) -> Examined:
    def made(check: Check, is_online: bool = True, **changed: Any) -> list[Finding]:
        settings = Settings(_env_file=None, market_pipeline_home=tmp_path / "home", **changed)
        return examine(Patient(settings, datetime.now(UTC), is_online=is_online), [check])

    return made


def test_the_account_of_a_token_is_told_when_brokers_may_be_asked(
    examined: Examined, tmp_path: Path
) -> None:
    with running(SimulatorOptions(port=0, instruments=10)) as simulator:
        given: dict[str, Any] = {"simulator_url": simulator.url}
        (without,) = examined(doctor_machine.account, **given)
        settings = Settings(_env_file=None, market_pipeline_home=tmp_path / "home", **given)
        brokers.log_in_to_simulator(settings)
        (found,) = examined(doctor_machine.account, **given)
        assert examined(doctor_machine.account, is_online=False, **given) == []
    (unanswered,) = examined(doctor_machine.account, **given)
    assert (without.verdict, without.told) == (OK, "`up` logs in to the simulated exchange")
    assert (found.verdict, "is that of SIM001" in found.told) == (OK, True)
    assert (unanswered.verdict, "not known" in unanswered.told) == (PROBLEM, True)


def test_a_token_that_is_not_good_is_a_problem(examined: Examined) -> None:
    (found,) = examined(
        doctor_machine.account, broker="kite", kite_api_key="key", kite_api_secret="s"
    )
    assert (found.verdict, found.remedy) == (PROBLEM, "run `market-pipeline login kite`")


@pytest.mark.parametrize(("free", "verdict"), [(0.5, PROBLEM), (10, OK)])
def test_an_archive_on_a_full_disk_is_told(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, free: float, verdict: Verdict
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage(0, 0, free * 1e9))
    (found,) = examined(doctor_machine.archive)
    assert (found.verdict, "are free for" in found.told) == (verdict, True)


def test_an_archive_that_may_not_be_written_is_a_problem(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Where the tests run as root nothing is closed to them.
    monkeypatch.setattr("os.access", lambda place, mode: Path(place) != tmp_path)
    (found,) = examined(doctor_machine.archive, archive_url=str(tmp_path / "archive"))
    assert (found.verdict, found.told) == (PROBLEM, f"{tmp_path} cannot be written to")


def test_an_object_store_is_asked_when_others_may_be(examined: Examined, s3_url: str) -> None:
    (unasked,) = examined(doctor_machine.archive, is_online=False, archive_url=s3_url)
    (found,) = examined(doctor_machine.archive, archive_url=s3_url)
    assert [unasked.verdict, found.verdict] == [OK, OK]
    assert ("see --online" in unasked.told, found.told.endswith("answers")) == (True, True)


def test_a_bucket_that_is_not_there_is_a_problem(examined: Examined, s3_url: str) -> None:
    (found,) = examined(doctor_machine.archive, archive_url="s3://nowhere/archive")
    assert found.verdict is PROBLEM
    assert found.told.startswith("s3://nowhere/archive: ")
    assert "404 Not Found" in found.told
