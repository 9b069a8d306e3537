"""Dagster archives each day that is over, those it missed too, and looks after the archive."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from market_pipeline.archive.day import write_day
from market_pipeline.archive.dropping import drop_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.config import Settings
from market_pipeline.definitions import defs
from market_pipeline.orchestration import archive
from market_pipeline.sessions import trading_date
from market_pipeline.storage import archives
from market_pipeline.storage.database import Database
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.dagster_cases import instance as instance
from market_pipeline_tests.dagster_cases import store as store


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARCHIVE_URL", str(tmp_path / "archive"))
    return tmp_path / "archive"


def run(
    instance: dg.DagsterInstance, store: Database, day: date = cases.DAY
) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("archive").execute_in_process(
        partition_key=str(day),
        instance=instance,
        resources=cases.resources(store),
        raise_on_error=False,
    )


def requests(instance: dg.DagsterInstance, store: Database) -> list[str]:
    """Return the days that the schedule would archive now."""
    with dg.build_schedule_context(
        instance, scheduled_execution_time=datetime.now(UTC), resources=cases.resources(store)
    ) as context:
        found = archive.archive_days(context)
    if isinstance(found, dg.SkipReason):
        return []
    assert isinstance(found, list)
    return [str(request.partition_key) for request in found]


def test_a_day_is_archived_and_found_whole(instance: dg.DagsterInstance, store: Database) -> None:
    cases.store_ticks(store, cases.DAY, minutes=2)
    result = run(instance, store)
    assert result.success and not cases.failed_checks(result)
    (event,) = result.asset_materializations_for_node("tick_archive")
    metadata = {name: value.value for name, value in event.metadata.items()}
    certificate = archives.certificate(store, cases.DAY)
    assert certificate is not None
    assert metadata["dagster/row_count"] == certificate.ticks == 480
    assert metadata["sha256"] == certificate.sha256
    assert metadata["bytes"] == certificate.bytes


def test_damage_to_the_archive_fails_its_check(
    instance: dg.DagsterInstance, store: Database, folder: Path
) -> None:
    cases.store_ticks(store, cases.DAY, minutes=1)
    run(instance, store)
    next(folder.glob("ticks/**/*.parquet")).unlink()
    checked = cases.evaluate_checks(instance, store, archive.archive_is_whole)
    assert checked == {"archive_is_whole": False}


def test_a_file_that_is_in_no_certificate_is_told_as_a_warning(
    instance: dg.DagsterInstance, store: Database, folder: Path
) -> None:
    cases.store_ticks(store, cases.DAY, minutes=1)
    run(instance, store)
    found = next(folder.glob("ticks/**/*.parquet"))
    found.with_name("part-0.parquet").write_bytes(found.read_bytes())
    (check,) = run(instance, store).get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "part-0.parquet" in str(check.metadata["in no certificate"].value)


def test_every_day_that_is_over_and_not_archived_is_asked_for(
    instance: dg.DagsterInstance, store: Database
) -> None:
    today = trading_date(datetime.now(UTC))
    days = [cases.DAY, cases.DAY + timedelta(days=4), today]
    for day in days:
        cases.store_ticks(store, day, minutes=1)
    assert requests(instance, store) == [str(day) for day in days[:2]]
    run(instance, store, days[0])
    assert requests(instance, store) == [str(days[1])]


def test_a_day_with_late_ticks_is_asked_for_again(
    instance: dg.DagsterInstance, store: Database
) -> None:
    cases.store_ticks(store, cases.DAY, minutes=1)
    run(instance, store)
    assert requests(instance, store) == []
    store.execute("reopen_archives", days=[cases.DAY])
    assert requests(instance, store) == [str(cases.DAY)]


def test_ticks_of_a_day_that_is_no_partition_are_archived_with_another(
    instance: dg.DagsterInstance, store: Database
) -> None:
    odd = date(2025, 12, 25)
    cases.store_ticks(store, odd, minutes=1)
    (last,) = requests(instance, store)
    assert run(instance, store, date.fromisoformat(last)).success
    assert archives.certificate(store, odd) is not None
    assert requests(instance, store) == []


def test_what_is_wrong_with_such_a_day_is_told_after_the_result_of_the_other(
    instance: dg.DagsterInstance, store: Database, tmp_path: Path
) -> None:
    odd = date(2025, 12, 25)
    cases.store_ticks(store, odd, minutes=1)
    elsewhere = FolderStore(tmp_path / "elsewhere")
    write_day(store, elsewhere, odd)
    drop_day(store, elsewhere, odd)
    cases.store_ticks(store, odd, minutes=1)  # late, so that it is to be archived here
    cases.store_ticks(store, cases.DAY, minutes=1)
    result = run(instance, store)
    assert not result.success
    (event,) = result.asset_materializations_for_node("tick_archive")
    certificate = archives.certificate(store, cases.DAY)
    assert certificate is not None and certificate.location != elsewhere.location
    (failure,) = result.get_step_failure_events()
    assert f"{odd} is archived at {elsewhere.location}" in str(failure.event_specific_data)


def test_a_day_that_is_not_over_is_refused(instance: dg.DagsterInstance, store: Database) -> None:
    today = trading_date(datetime.now(UTC))
    cases.store_ticks(store, today, minutes=1)
    assert not run(instance, store, today).success
    assert archives.certificate(store, today) is None


def test_the_archive_is_where_the_settings_say(folder: Path) -> None:
    assert archive.store_of(Settings(_env_file=None)).location == str(folder)
