"""What can happen to the database under a stream. Each function causes one fault."""

import random
import signal
import time

import psycopg

from market_pipeline import processes
from market_pipeline_tests.builders import Outage, fetch
from market_pipeline_tests.faults import run
from market_pipeline_tests.faults.disk import SmallDisk
from market_pipeline_tests.faults.proxy import Proxy
from market_pipeline_tests.faults.world import World, poll

BACK = 15.0  # seconds from the end of an outage until what arrives is stored at once again

# A commit that lasts: rows and position are written, and not yet safe.
_SLOW_COMMIT = (
    "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$; "
    "CREATE CONSTRAINT TRIGGER lingers AFTER UPDATE ON journal_positions "
    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION linger()"
)


def slow_commits(world: World, seconds: float) -> None:
    """Let every commit of ticks take so long."""
    with psycopg.connect(world.database.url) as connection:
        connection.execute(_SLOW_COMMIT.format(seconds=seconds).encode())


def killed_in_commit(world: World, outage: Outage) -> None:
    slow_commits(world, 0.2)
    chance = random.Random(3)
    for _ in range(10 if world.full else 2):
        time.sleep(chance.uniform(0.5, 2))
        run.kill(outage.processes())
        outage.end()
        world.recover()
    assert world.starts == 1, "the stream ended with the database"
    assert world.causes() == [], world.causes()


def unreachable(world: World, proxy: Proxy) -> None:
    proxy.cut()
    world.let_pass(60 * 50 if world.full else 500)
    proxy.mend()
    world.recover()
    assert world.starts == 1, "the stream ended with the database"
    assert world.causes() == [], world.causes()


def frozen(world: World, outage: Outage) -> None:
    """Every process of the server stands still: connections stay open and nothing is answered."""
    victims = outage.processes()
    processes.signal_all(victims, signal.SIGSTOP)
    world.let_pass(2000 if world.full else 500)
    processes.signal_all(victims, signal.SIGCONT)
    world.recover()
    assert world.causes() == [], world.causes()


def read_only(world: World) -> None:
    name = world.value("SELECT current_database()")
    administer(world, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    _end_connections(world)
    world.let_pass(2000 if world.full else 300)
    stored = world.value("SELECT count(*) FROM ticks")
    time.sleep(1)
    assert world.value("SELECT count(*) FROM ticks") == stored, "the database was not read-only"
    administer(world, f"ALTER DATABASE {name} RESET default_transaction_read_only")
    _end_connections(world)
    world.recover()
    assert world.starts == 1, "the stream ended with the database"
    assert world.causes() == [], world.causes()


def disk_full(world: World, disk: SmallDisk) -> None:
    disk.fill()
    poll(
        60, lambda: "No space left on device" in world.log.read_text("utf-8", "replace"), world.say
    )
    world.let_pass(2000 if world.full else 300)
    disk.empty()
    world.recover()
    assert world.starts == 1, "the stream ended with the database"
    assert world.causes() == [], world.causes()


def every_commit_takes_two_seconds(world: World) -> None:
    slow_commits(world, 2)
    world.let_pass(60_000 if world.full else 10_000)
    world.recover()
    assert world.causes() == [], world.causes()


def administer(world: World, statement: str) -> None:
    with psycopg.connect(world.database.url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(statement.encode())


def _end_connections(world: World) -> None:
    fetch(
        world.database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
