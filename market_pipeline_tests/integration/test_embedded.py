"""The embedded server survives whatever is killed; the processes here are really killed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from market_pipeline.errors import EmbeddedServerError
from market_pipeline.storage import embedded, embedded_account, embedded_binaries, embedded_cluster
from market_pipeline.storage.embedded import EmbeddedServer

REPOSITORY = Path(__file__).parents[2]
SUPERVISOR = """
import pathlib, sys, time
from market_pipeline.storage import embedded
with embedded.EmbeddedServer(pathlib.Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(600)
"""
GUEST = """
import pathlib, sys, psycopg
from market_pipeline.storage import embedded
with embedded.running(pathlib.Path(sys.argv[1])) as url, psycopg.connect(url) as connection:
    connection.execute("CREATE TABLE guest ()")
    print(url)
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the account")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that root's substitute account can reach; pytest's tmp_path is closed to it."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="embedded-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(home) as server:
        yield server


@contextmanager
def supervised(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a supervisor in a process of its own; its server is gone when this ends."""
    command = [sys.executable, "-c", SUPERVISOR, str(home)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
    eventually(lambda: not postgres_runs(home), "the server outlived its supervisor")


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def eventually(condition: Callable[[], bool], message: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.01)


def postgres_runs(home: Path) -> bool:
    return any(
        str(home) in argument
        for process in psutil.process_iter(["cmdline"])
        for argument in process.info["cmdline"] or []
        if "postgres" in process.info["cmdline"][0]
    )


def postmaster(home: Path) -> int:
    return int((home / "postgres/data/postmaster.pid").read_text().split()[0])


def write_row(home: Path) -> None:
    with psycopg.connect(embedded.url(home)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def assert_row_is_there(home: Path) -> None:
    with psycopg.connect(embedded.url(home)) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchall() == [(42,)]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("database", ["market", "dagster"])
def test_a_started_server_has_the_database(home: Path, database: str) -> None:
    with psycopg.connect(embedded.url(home, database)) as connection:
        assert connection.info.dbname == database


@pytest.mark.usefixtures("server")
def test_another_process_shares_the_running_server(home: Path) -> None:
    guest = subprocess.check_output(
        [sys.executable, "-c", GUEST, str(home)], cwd=REPOSITORY, text=True
    )
    assert guest.strip() == embedded.url(home)
    with psycopg.connect(embedded.url(home)) as connection:
        assert connection.execute("SELECT FROM guest").rowcount == 0


def test_running_starts_a_server_only_for_its_duration(home: Path) -> None:
    with embedded.running(home) as url, psycopg.connect(url) as connection:
        assert connection.info.dbname == "market"
    assert not postgres_runs(home)


@pytest.mark.usefixtures("server")
def test_the_password_is_needed_and_only_its_owner_can_read_it(home: Path) -> None:
    file = home / "postgres/server.json"
    assert file.stat().st_mode & 0o777 == 0o600
    password = json.loads(file.read_text())["password"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(embedded.url(home).replace(password, "guess"))


def test_a_running_server_is_left_alone(server: EmbeddedServer) -> None:
    assert server.ensure_running() is False


def test_a_killed_postmaster_is_replaced_with_all_acknowledged_rows(
    server: EmbeddedServer, home: Path
) -> None:
    write_row(home)
    before, victim = embedded.url(home), psutil.Process(postmaster(home))
    victim.kill()
    eventually(lambda: victim.status() == psutil.STATUS_ZOMBIE, "the postmaster did not die")
    assert server.ensure_running() is True
    assert embedded.url(home) == before
    assert_row_is_there(home)


def test_a_killed_supervisor_takes_its_server_along_and_leaves_its_rows(home: Path) -> None:
    with supervised(home) as process:
        wait_until_ready(process)
        write_row(home)
        process.kill()
        process.wait()
        eventually(lambda: not postgres_runs(home), "the server outlived its supervisor")
    with EmbeddedServer(home):
        assert_row_is_there(home)


def test_supervisor_and_postmaster_killed_together_start_again_at_once(home: Path) -> None:
    with supervised(home) as process:
        wait_until_ready(process)
        write_row(home)
        os.kill(postmaster(home), signal.SIGKILL)
        process.kill()
        process.wait()
        with EmbeddedServer(home):
            assert_row_is_there(home)


def test_a_half_done_initdb_is_thrown_away(home: Path) -> None:
    def has_begun() -> bool:
        return any((home / "postgres").glob("unfinished-*/PG_VERSION"))

    with supervised(home) as process:
        eventually(has_begun, "initdb did not begin")
        process.kill()
        process.wait()
        assert not (home / "postgres/data").exists()
        with EmbeddedServer(home):
            write_row(home)
            assert_row_is_there(home)
    with EmbeddedServer(home):
        assert not has_begun()


@pytest.mark.usefixtures("server")
def test_a_second_supervisor_is_refused(home: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=f"already running.* pid {os.getpid()}$"):
        EmbeddedServer(home).start()


def test_a_server_that_was_never_started_has_no_url(home: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="not running: `market-pipeline up`"):
        embedded.url(home)


def test_what_a_killed_supervisor_left_behind_is_not_taken_for_a_server(home: Path) -> None:
    with supervised(home) as process:
        wait_until_ready(process)
        process.kill()
        process.wait()
        assert (home / "postgres/server.json").exists()
        with pytest.raises(EmbeddedServerError, match="not running"):
            embedded.url(home)


def test_the_port_is_kept_across_restarts(home: Path) -> None:
    with embedded.running(home) as before:
        pass
    with embedded.running(home) as after:
        assert after == before


def test_a_port_taken_by_another_program_is_left_to_it(home: Path) -> None:
    with EmbeddedServer(home):
        pass
    port = json.loads((home / "postgres/server.json").read_text())["port"]
    with socket.create_server(("127.0.0.1", port)), EmbeddedServer(home):
        assert f":{port}/" not in embedded.url(home)


def test_a_lost_password_is_replaced(home: Path) -> None:
    with EmbeddedServer(home):
        write_row(home)
    (home / "postgres/server.json").unlink()
    with EmbeddedServer(home):
        assert_row_is_there(home)


def test_the_pid_file_of_another_program_is_ignored_and_the_program_spared(home: Path) -> None:
    with EmbeddedServer(home):
        pass
    data = home / "postgres/data"
    with subprocess.Popen(["sleep", "600"], user=data.stat().st_uid) as bystander:
        (data / "postmaster.pid").write_text(f"{bystander.pid}\n")
        with EmbeddedServer(home):
            assert bystander.poll() is None
        bystander.kill()


def test_a_home_that_cannot_be_written_is_named(home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(EmbeddedServerError, match=r"file/x/postgres is not .*MARKET_PIPELINE_HOME"):
        EmbeddedServer(home / "file/x").start()


def test_only_the_main_thread_may_start_the_server(home: Path) -> None:
    errors: list[EmbeddedServerError] = []

    def start() -> None:
        with pytest.raises(EmbeddedServerError) as caught:
            EmbeddedServer(home).start()
        errors.append(caught.value)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


def test_a_server_that_cannot_start_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_RETRY_SECONDS", 0)
    monkeypatch.setitem(embedded_cluster._SETTINGS, "shared_buffers", "nonsense")
    with pytest.raises(EmbeddedServerError, match='invalid value .*"shared_buffers"'):
        EmbeddedServer(home).start()


def test_data_of_a_version_that_is_not_installed_is_refused() -> None:
    with pytest.raises(EmbeddedServerError, match="created by PostgreSQL 9"):
        embedded_binaries.find(9)


@needs_root
def test_a_home_closed_to_the_servers_account_is_named(home: Path) -> None:
    (home / "closed").mkdir(mode=0o700)
    with pytest.raises(EmbeddedServerError, match=r"chmod o\+x \S+/closed`"):
        EmbeddedServer(home / "closed/inner").start()


@needs_root
def test_programs_closed_to_the_servers_account_are_copied(home: Path) -> None:
    installed = embedded_binaries.find()
    package = installed.folder.parents[1]
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, closed / folder.name, symlinks=True)
    account = embedded_account.choose(home / "data")
    hidden = installed._replace(folder=closed / package.name / "pginstall/bin")
    copied = embedded_binaries.for_account(hidden, account, home)
    assert account.run(copied.folder / "initdb", "--version").returncode == 0
    assert closed.stat().st_mode & 0o777 == 0o700
