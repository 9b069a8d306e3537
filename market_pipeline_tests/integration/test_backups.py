"""A dump comes back as README says, on a server that has never seen the pipeline."""

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from market_pipeline.storage import candles, embedded, embedded_binaries, roles, schema
from market_pipeline.storage.database import Database
from market_pipeline_tests.acceptance.demo import ROOT
from market_pipeline_tests.builders import Tick, fetch
from market_pipeline_tests.candle_feed import Feed

pytestmark = pytest.mark.needs_plain_server("servers of its own")


@pytest.fixture
def servers() -> Iterator[tuple[Database, Database]]:
    """One with ticks and candles in it, and a new one in which there is nothing."""
    folder = Path(tempfile.mkdtemp(prefix="market_pipeline_backup_", dir="/tmp"))
    folder.chmod(0o755)  # for PostgreSQL's account, where root runs the tests
    old, new = folder / "old", folder / "new"
    with embedded.running(old) as old_url, embedded.running(new) as new_url:
        yield Database(old_url), Database(new_url)
    shutil.rmtree(folder, ignore_errors=True)


def written(program: str) -> str:
    """Return the command line of README that runs a program, without its comment."""
    text = (ROOT / "README.md").read_text("utf-8")
    (line,) = re.findall(rf"^{program} [^#\n]*", text, re.MULTILINE)
    return str(line).strip()


def run(program: str, database: Database, dump: Path) -> None:
    line = written(program).replace("$DATABASE_URL", database.url)
    words = shlex.split(line.replace("market.dump", str(dump)))
    folder = embedded_binaries.find().folder
    done = subprocess.run(
        [str(folder / words[0]), *words[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_dump_is_restored_by_the_commands_of_the_readme(
    servers: tuple[Database, Database], tmp_path: Path
) -> None:
    old, new = servers
    schema.prepare(old.url)
    feed = Feed(old)
    feed.send(*[Tick(at=at) for at in range(0, 600, 20)])
    feed.close()
    candles.refresh(old)
    run("pg_dump", old, tmp_path / "market.dump")
    run("pg_restore", new, tmp_path / "market.dump")
    schema.prepare(new.url)
    for query in ("SELECT * FROM ticks ORDER BY seq", "SELECT * FROM candles_1m ORDER BY time"):
        kept = fetch(old, query)
        assert kept
        assert fetch(new, query) == kept
    assert roles.problems(new) == []
    with psycopg.connect(new.url) as connection:
        connection.execute("SELECT * FROM dashboard_streams")
