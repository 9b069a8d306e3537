"""What `market-pipeline archive` says and does, and its exit codes."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from market_pipeline import config
from market_pipeline.__main__ import app
from market_pipeline.archive.store import FolderStore
from market_pipeline.errors import ConfigurationError
from market_pipeline.storage.database import Database
from market_pipeline_tests import retention_cases as cases
from market_pipeline_tests.builders import fetch


@pytest.fixture
def folder(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FolderStore:
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("MARKET_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setattr(config, "settings", config.load)
    return FolderStore(tmp_path / "archive")


def archive(*words: str) -> Result:
    return CliRunner().invoke(app, ["archive", *words])


def test_a_day_is_written_listed_dropped_and_restored(
    database: Database, folder: FolderStore
) -> None:
    assert archive("list").output == "No day is archived.\n"
    cases.archived(database, folder)
    assert "is archived: 120 ticks, 40 on stand-by" in archive("write", "2026-11-20").output
    assert archive("drop", "2026-11-20").exit_code == 0
    assert fetch(database, cases.TICKS) == []
    (listed,) = json.loads(archive("list", "--json").stdout)
    assert (listed["day"], listed["ticks"], listed["is_stored"]) == ("2026-11-20", 120, False)
    restored = archive("restore", "2026-11-20", "--keep-days", "2", "--json")
    assert json.loads(restored.stdout)["sha256"] == listed["sha256"]
    assert len(fetch(database, cases.TICKS)) == 120
    assert "restored until" in archive("list").output


def test_damage_is_named_and_tells_with_the_exit_code(
    database: Database, folder: FolderStore
) -> None:
    cases.archived(database, folder)
    assert archive("verify", "--all").exit_code == 0
    path = cases.flip_a_byte(folder)
    result = archive("verify", "2026-11-20", "--json")
    assert result.exit_code == 1
    assert path in json.loads(result.stdout)["2026-11-20"]
    assert "damaged" in archive("list").output


def test_a_file_that_is_in_no_certificate_is_named_and_is_no_damage(
    database: Database, folder: FolderStore
) -> None:
    cases.archived(database, folder)
    path = cases.leave_a_file(folder)
    result = archive("verify", "2026-11-20", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"2026-11-20": None}
    assert path in result.stderr


def test_what_to_verify_must_be_said(folder: FolderStore) -> None:
    assert isinstance(archive("verify").exception, ConfigurationError)


def test_a_day_that_is_kept_by_the_settings_is_not_dropped_by_name(
    database: Database, folder: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICK_RETENTION_DAYS", "36500")
    cases.archived(database, folder)
    assert isinstance(archive("drop", "2026-11-20").exception, ConfigurationError)
    assert len(fetch(database, cases.TICKS)) == 120


def test_an_archive_that_was_copied_elsewhere_is_taken_over_if_it_is_whole(
    database: Database, folder: FolderStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cases.dropped(database, folder)
    copied = shutil.copytree(folder.location, tmp_path / "copied")
    monkeypatch.setenv("ARCHIVE_URL", str(copied))
    assert archive("verify", "--all").exit_code == 1
    whole = Path(copied, cases.flip_a_byte(FolderStore(copied)))
    assert archive("moved").exit_code == 1
    shutil.copy(Path(folder.location, whole.relative_to(copied)), whole)
    assert archive("moved").exit_code == 0
    assert archive("verify", "--all").exit_code == 0
    assert "is back" in archive("restore", "2026-11-20").output
