"""Files of an archive get their names at once, and what goes wrong is said in our errors."""

import errno
import os
from pathlib import Path

import pytest

from market_pipeline.archive.layout import STAGED
from market_pipeline.archive.store import FolderStore, RemoteStore, Store, open_store, translated
from market_pipeline.errors import (
    ArchiveFileMissing,
    ArchiveRefused,
    ArchiveUnavailable,
    ConfigurationError,
    is_transient,
)
from market_pipeline_tests.archive_s3 import s3_server as s3_server
from market_pipeline_tests.archive_s3 import s3_url as s3_url

PATH = "ticks/exchange=NSE/date=2026-11-20/part-1.parquet"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "file"
    written.write_bytes(b"12345")
    return written


@pytest.fixture(params=["folder", "s3"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path / "archive")
    return open_store(request.getfixturevalue("s3_url"), tmp_path)


def test_a_staged_file_has_not_its_name_yet(archive: Store, file: Path) -> None:
    archive.stage(file, PATH)
    with pytest.raises(ArchiveFileMissing, match="part-1"):
        archive.size(PATH)
    assert archive.size(PATH + STAGED) == 5


def test_a_published_file_is_read_by_its_name(archive: Store, file: Path) -> None:
    archive.stage(file, PATH)
    archive.publish(PATH)
    with archive.open(PATH) as opened:
        opened.seek(1)
        assert (opened.read(2), opened.read(), opened.tell()) == (b"23", b"45", 5)
    assert archive.list(PATH.rpartition("/")[0]) == [PATH]


def test_a_file_is_deleted_published_or_staged(archive: Store, file: Path) -> None:
    archive.stage(file, PATH)
    archive.delete(PATH)
    archive.delete(PATH)
    assert archive.list(PATH.rpartition("/")[0]) == []


def test_a_file_that_is_not_there_is_missing(archive: Store) -> None:
    with pytest.raises(ArchiveFileMissing, match="part-1.parquet is missing"), archive.open(PATH):
        pass


def test_a_folder_that_is_not_there_has_no_files(archive: Store) -> None:
    assert archive.list("nowhere") == []


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, file: Path) -> None:
    (tmp_path / "archive").write_text("a file, not a folder")
    with pytest.raises(ArchiveUnavailable, match="directory"):
        FolderStore(tmp_path / "archive").stage(file, PATH)


def test_a_read_only_file_system_is_not_worth_another_try() -> None:
    with pytest.raises(ArchiveRefused, match="the scratch folder: Read-only") as raised:
        with translated("the scratch folder"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/var/lib/archive_scratch")
    assert not is_transient(raised.value)


def test_a_server_that_does_not_answer_is_worth_another_try(tmp_path: Path, file: Path) -> None:
    options = {
        "endpoint": "http://127.0.0.1:9",
        "access_key_id": "a",
        "secret_access_key": "b",
        "client_options": {"allow_http": True},
        "retry_config": {"max_retries": 0},
    }
    store = RemoteStore("s3://ticks", tmp_path, options)
    with pytest.raises(ArchiveUnavailable) as raised:
        store.stage(file, PATH)
    assert is_transient(raised.value)
    assert file.exists()


def test_a_kind_of_store_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ARCHIVE_URL"):
        open_store("ftp://archive", tmp_path)


def test_the_archive_is_in_the_pipelines_home_unless_it_is_told(tmp_path: Path) -> None:
    assert open_store("", tmp_path).location == str(tmp_path / "archive")
    assert open_store(f"file://{tmp_path}/other", tmp_path).location == f"{tmp_path}/other"
    assert open_store("s3://ticks/", tmp_path).location == "s3://ticks"
