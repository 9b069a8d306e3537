"""Migrations are applied once, in order, whole or not at all."""

import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from market_pipeline.errors import (
    DatabaseError,
    DatabaseTooOld,
    DatabaseUnavailable,
    MigrationEdited,
)
from market_pipeline.storage import embedded, migrations, sql_files


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A folder that root's substitute account can reach; pytest's tmp_path is closed to it."""
    home = Path(tempfile.mkdtemp(dir="/tmp", prefix="migrations-"))
    home.chmod(0o755)
    with embedded.running(home) as url:
        yield url
    shutil.rmtree(home)


@pytest.fixture
def url(server: str) -> str:
    """A database of the test's own."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return server.removesuffix("market") + name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two migrations."""
    (tmp_path / "0001_prices.sql").write_text("CREATE TABLE prices (price int);")
    (tmp_path / "0002_first_price.sql").write_text(
        "INSERT INTO prices VALUES (1); INSERT INTO prices VALUES (2); -- 100 % of them\n"
    )
    return tmp_path


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_missing_migrations_are_applied_in_order(url: str, folder: Path) -> None:
    applied = migrations.migrate(url, folder)
    assert [migration.file for migration in applied] == ["0001_prices.sql", "0002_first_price.sql"]
    assert rows(url, "SELECT price FROM prices ORDER BY price") == [(1,), (2,)]


def test_a_migration_is_applied_once(url: str, folder: Path) -> None:
    migrations.migrate(url, folder)
    assert migrations.migrate(url, folder) == []
    assert rows(url, "SELECT count(*) FROM prices") == [(2,)]


def test_only_what_is_new_is_applied(url: str, folder: Path) -> None:
    migrations.migrate(url, folder)
    (folder / "0003_volumes.sql").write_text("CREATE TABLE volumes ();")
    assert [each.name for each in migrations.migrate(url, folder)] == ["volumes"]


def test_the_status_tells_what_is_applied_and_what_is_not(url: str, folder: Path) -> None:
    assert [each.applied_at for each in migrations.status(url, folder)] == [None, None]
    migrations.migrate(url, folder)
    (folder / "0003_volumes.sql").write_text("CREATE TABLE volumes ();")
    first, _, last = migrations.status(url, folder)
    assert first.applied_at is not None
    assert first.applied_at.tzinfo is not None
    assert last == migrations.MigrationStatus(3, "volumes", None)


def test_the_status_changes_nothing(url: str, folder: Path) -> None:
    migrations.status(url, folder)
    assert rows(url, "SELECT FROM pg_tables WHERE schemaname = 'public'") == []


def test_an_edited_migration_is_refused_by_name(url: str, folder: Path) -> None:
    before = migrations.migrate(url, folder)[0].sha256
    (folder / "0001_prices.sql").write_text("CREATE TABLE prices (price bigint);")
    after = sql_files.load(folder)[0].sha256
    expected = f"0001_prices.sql has checksum {after[:12]}, .*{before[:12]}:"
    with pytest.raises(MigrationEdited, match=expected):
        migrations.migrate(url, folder)


def test_line_ends_do_not_count_as_an_edit(url: str, folder: Path) -> None:
    migrations.migrate(url, folder)
    file = folder / "0002_first_price.sql"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert migrations.migrate(url, folder) == []


def test_a_failing_migration_leaves_nothing_of_itself(url: str, folder: Path) -> None:
    (folder / "0003_broken.sql").write_text("CREATE TABLE volumes ();\n\nSELECT nonsense;")
    with pytest.raises(DatabaseError, match=r"0003_broken.sql failed in line 3 and was undone"):
        migrations.migrate(url, folder)
    assert rows(url, "SELECT to_regclass('volumes')") == [(None,)]
    assert rows(url, "SELECT max(number) FROM schema_migrations") == [(2,)]


def test_a_failed_migration_can_be_corrected(url: str, folder: Path) -> None:
    (folder / "0003_broken.sql").write_text("SELECT nonsense;")
    with pytest.raises(DatabaseError):
        migrations.migrate(url, folder)
    (folder / "0003_broken.sql").write_text("SELECT 1;")
    assert [each.number for each in migrations.migrate(url, folder)] == [3]


def test_a_migration_must_not_end_its_transaction(url: str, folder: Path) -> None:
    (folder / "0003_commits.sql").write_text("COMMIT;")
    with pytest.raises(DatabaseError, match="0003_commits.sql ends the transaction"):
        migrations.migrate(url, folder)


def test_settings_of_one_migration_do_not_reach_the_next(url: str, folder: Path) -> None:
    (folder / "0003_moves.sql").write_text("SET search_path = '';")
    (folder / "0004_stays.sql").write_text("SELECT price FROM prices;")
    assert len(migrations.migrate(url, folder)) == 4


def test_a_database_newer_than_this_version_is_refused(url: str, folder: Path) -> None:
    migrations.migrate(url, folder)
    (folder / "0002_first_price.sql").unlink()
    with pytest.raises(DatabaseError, match="0002_first_price, .* upgrade market-pipeline"):
        migrations.migrate(url, folder)


def test_of_concurrent_migrators_one_does_the_work(url: str, folder: Path) -> None:
    (folder / "0003_slow.sql").write_text("SELECT pg_sleep(0.2);")
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrations.migrate, [url] * 4, [folder] * 4))
    assert sorted(len(each) for each in applied) == [0, 0, 0, 3]


def test_a_server_that_is_too_old_is_refused(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "OLDEST_SERVER", 99)
    with pytest.raises(DatabaseTooOld, match=r"PostgreSQL \d+\.\d+: 99 or newer"):
        migrations.migrate(url, folder)


def test_an_unreachable_server_is_named_without_the_password(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DatabaseUnavailable, match=f"127.0.0.1:{port}") as caught:
        migrations.migrate(f"postgresql://me:sesame@127.0.0.1:{port}/market", folder)
    assert "sesame" not in str(caught.value)


def test_a_malformed_url_is_not_quoted(folder: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="DATABASE_URL is malformed") as caught:
        migrations.migrate("postgresql://me:sesame@[::1/market", folder)
    assert "sesame" not in str(caught.value)


def test_a_wrong_password_is_not_quoted(url: str, folder: Path) -> None:
    wrong = re.sub(r":[^:@/]+@", ":sesame@", url)
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as caught:
        migrations.status(wrong, folder)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("name", ["0003-dash.sql", "3_short.sql", "0003_Upper.sql"])
def test_a_badly_named_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).touch()
    with pytest.raises(DatabaseError, match=f"{name} is not named like a migration"):
        sql_files.load(folder)


@pytest.mark.parametrize("name", ["0004_gap.sql", "0002_same.sql", "0000_zero.sql"])
def test_gaps_and_duplicates_are_refused(folder: Path, name: str) -> None:
    (folder / name).touch()
    with pytest.raises(DatabaseError, match="was expected here"):
        sql_files.load(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="nowhere does not exist"):
        sql_files.load(tmp_path / "nowhere")


def test_the_repository_has_the_folder_sql() -> None:
    assert (sql_files.sql_folder() / "migrations").is_dir()


@pytest.mark.parametrize(
    ("taken", "following"), [([], 1), ([1], 2), ([1, 2], 3), ([1, 31000], 2), ([32767], 1)]
)
def test_numbers_of_brokers_that_were_used_up_for_nothing_are_free_again(
    url: str, tmp_path: Path, taken: list[int], following: int
) -> None:
    before = tmp_path / "before"
    shutil.copytree(sql_files.sql_folder() / "migrations", before)
    for file in before.glob("00[2-9]*.sql"):
        file.unlink()
    migrations.migrate(url, before)
    add = "INSERT INTO feeds (broker) VALUES ('new') RETURNING feed"
    with psycopg.connect(url) as connection:
        for feed in taken:
            old = "INSERT INTO feeds (feed, broker) OVERRIDING SYSTEM VALUE VALUES (%s, %s)"
            connection.execute(old, [feed, f"broker {feed}"])
        connection.execute("SELECT setval(pg_get_serial_sequence('feeds', 'feed'), 32767)")
    with pytest.raises(psycopg.errors.SequenceGeneratorLimitExceeded):
        rows(url, add)
    migrations.migrate(url)
    assert rows(url, add) == [(following,)]
