"""Every fault, what it needs around it, and within how many seconds ticks are stored again."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from market_pipeline.config import PROTOCOLS, BrokerName
from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import outage
from market_pipeline_tests.faults import broker_faults as broker
from market_pipeline_tests.faults import database_faults as base
from market_pipeline_tests.faults import failover
from market_pipeline_tests.faults import process_faults as process
from market_pipeline_tests.faults import stack_faults as up
from market_pipeline_tests.faults.disk import can_mount, small_disk
from market_pipeline_tests.faults.exchange import Exchange
from market_pipeline_tests.faults.proxy import Proxy
from market_pipeline_tests.faults.stack_world import StackWorld
from market_pipeline_tests.faults.world import World

NewDatabase = Callable[[], Database]
Scene = Callable[["Fault", bool, NewDatabase, ExitStack], tuple[World, Callable[[], None]]]
"""Builds the world of a fault; returns it with what causes the fault in it."""

_LIBFAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    name: str
    scene: Scene
    limit: float
    instruments: int = 300
    options: tuple[str, ...] = ()
    needs: Callable[[], str | None] = field(default=lambda: None)
    """Says what is missing on this machine, if something is."""
    broker: BrokerName = BrokerName.SIMULATOR
    fyers_limit: float | None = None
    """Where it differs, as Fyers sends no heartbeats."""
    has_standby: bool = False
    """Whether the stream listens to the other broker as well."""
    needs_cores: bool = False
    """Whether recovery would take longer beside another of that kind."""

    def of(self, broker: BrokerName) -> "Fault":
        """Return the same fault at a broker."""
        limit = self.fyers_limit if broker is BrokerName.FYERS_SIMULATOR else None
        return replace(self, broker=broker, limit=limit or self.limit)


@contextmanager
def home_folder() -> Iterator[Path]:
    """Make a folder that PostgreSQL's account can enter; those of pytest are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="market_pipeline_fault_", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _world(
    fault: Fault, full: bool, database: Database, around: ExitStack, url: str | None = None
) -> World:
    home = around.enter_context(home_folder())
    exchange = Exchange(home, fault.instruments, *fault.options, broker=fault.broker)
    around.callback(exchange.stop)
    standby = _standby(fault, home, around) if fault.has_standby else None
    world = World(home, exchange, database, url or database.url, full, standby=standby)
    around.callback(world.kill)
    world.subscribe_all()
    return world


def _standby(fault: Fault, home: Path, around: ExitStack) -> Exchange:
    """Start the other broker in front of the same trades."""
    (other,) = set(PROTOCOLS) - {fault.broker}
    (home / "standby").mkdir()
    exchange = Exchange(home / "standby", fault.instruments, *fault.options, broker=other)
    around.callback(exchange.stop)
    return exchange


def plain(cause: Callable[[World], None]) -> Scene:
    """Nothing special around it."""

    def scene(
        fault: Fault, full: bool, new: NewDatabase, around: ExitStack
    ) -> tuple[World, Callable[[], None]]:
        world = _world(fault, full, new(), around)
        return world, partial(cause, world)

    return scene


def _with_proxy(cause: Callable[[World, Proxy], None]) -> Scene:
    """A database that can be cut off."""

    def scene(
        fault: Fault, full: bool, new: NewDatabase, around: ExitStack
    ) -> tuple[World, Callable[[], None]]:
        database = new()
        proxy = Proxy(database.url)
        around.callback(proxy.cut)
        world = _world(fault, full, database, around, proxy.url)
        return world, partial(cause, world, proxy)

    return scene


def _own_server(cause: Callable[..., None]) -> Scene:
    def scene(
        fault: Fault, full: bool, new: NewDatabase, around: ExitStack
    ) -> tuple[World, Callable[[], None]]:
        server = around.enter_context(outage())
        world = _world(fault, full, server.database, around)
        return world, partial(cause, world, server)

    return scene


def _small_disk_of_database(
    fault: Fault, full: bool, new: NewDatabase, around: ExitStack
) -> tuple[World, Callable[[], None]]:
    server = around.enter_context(outage())
    world = _world(fault, full, server.database, around)
    folder = world.home / "tablespace"
    disk = around.enter_context(small_disk(folder, 64, owner=server.processes()[0].uids().real))
    # The day's partition of ticks is made there.
    base.administer(world, f"CREATE TABLESPACE small LOCATION '{folder}'")
    base.administer(world, "ALTER DATABASE market SET default_tablespace = small")
    return world, partial(base.disk_full, world, disk)


def _small_disk_of_journal(
    fault: Fault, full: bool, new: NewDatabase, around: ExitStack
) -> tuple[World, Callable[[], None]]:
    world = _world(fault, full, new(), around)
    disk = around.enter_context(small_disk(world.home / "journal", 16))
    return world, partial(process.journal_disk_full, world, disk)


def _own_clock(
    fault: Fault, full: bool, new: NewDatabase, around: ExitStack
) -> tuple[World, Callable[[], None]]:
    world = _world(fault, full, new(), around)
    world.clock_file.write_text("+0")
    world.variables = {
        "LD_PRELOAD": str(_LIBFAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(world.clock_file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return world, partial(process.clock_set_back, world)


def _mounting() -> str | None:
    return None if can_mount() else "mounting a small disk takes root on Linux"


def _faketime() -> str | None:
    return None if _LIBFAKETIME else "libfaketime is not installed"


def _before_midnight() -> str:
    """Return a moment shortly before the last midnight of the exchange."""
    today = datetime.now(UTC).astimezone(EXCHANGE_TZ)
    midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
    return f"{midnight - timedelta(seconds=10):%Y-%m-%d %H:%M:%S}"


def stack(cause: Callable[[StackWorld], None]) -> Scene:
    """All of `market-pipeline up`."""

    def scene(
        fault: Fault, full: bool, new: NewDatabase, around: ExitStack
    ) -> tuple[World, Callable[[], None]]:
        home = around.enter_context(home_folder())
        exchange = Exchange(home, fault.instruments, *fault.options, broker=fault.broker)
        around.callback(exchange.stop)
        world = StackWorld(home, exchange, full)
        around.callback(world.kill)
        return world, partial(cause, world)

    return scene


FAULTS = [
    Fault("stream killed -9 at random moments", plain(process.killed_at_random), process.RESTARTED),
    Fault("journal torn in its last record", plain(process.torn_tail), process.RESTARTED),
    Fault("byte flipped in the journal", _with_proxy(process.byte_flipped), process.RESTARTED),
    Fault(
        "clock set back an hour",
        _own_clock,
        process.RESTARTED,
        needs=_faketime,
    ),
    Fault("journal disk full", _small_disk_of_journal, base.BACK, needs=_mounting),
    Fault("stream started twice by hand", plain(process.started_twice_by_hand), 5),
    Fault("database killed -9 in a commit", _own_server(base.killed_in_commit), base.BACK),
    Fault("database unreachable", _with_proxy(base.unreachable), base.BACK),
    Fault("database frozen", _own_server(base.frozen), base.BACK),
    Fault("database read-only", plain(base.read_only), base.BACK),
    Fault("database disk full", _small_disk_of_database, base.BACK, needs=_mounting),
    Fault(
        "every commit takes 2 s, full load",
        plain(base.every_commit_takes_two_seconds),
        base.BACK,
        instruments=1000,
        options=("--every-second",),
        needs_cores=True,
    ),
    Fault("socket dropped", plain(broker.socket_dropped), broker.RECONNECTED),
    Fault(
        "silent but open",
        plain(broker.silent_but_open),
        broker.SILENCE_NOTICED,
        fyers_limit=broker.FYERS_SILENCE_NOTICED,
    ),
    Fault(
        "instruments fall silent",
        plain(broker.instruments_fall_silent),
        broker.SILENT_INSTRUMENTS_TOLD,
    ),
    Fault("half a frame, then dropped", plain(broker.half_a_frame), broker.RECONNECTED),
    Fault("message cut within a packet", plain(broker.cut_message), 2),
    Fault("garbage length in a frame", plain(broker.garbage_length), 2),
    Fault("duplicate frames", plain(broker.duplicate_frames), 2),
    Fault("late frames", plain(broker.late_frames), 2),
    Fault(
        "day rolls over while connected",
        plain(broker.day_rolls_over),
        2,
        options=("--starts-at", _before_midnight()),
    ),
    Fault("token expires, login later", plain(broker.token_expires), broker.RECONNECTED),
    Fault("login refused, same token", plain(broker.login_refused_once), broker.RECONNECTED),
    Fault(
        "too many connections (429)", plain(broker.too_many_connections), broker.REFUSALS_WAITED_OUT
    ),
    Fault("slow handshake", plain(broker.slow_handshake), 10),
    Fault("subscriptions change", plain(broker.subscriptions_change), 2),
    Fault(
        "one of two brokers killed -9",
        plain(failover.preferred_killed),
        failover.TAKEN_OVER,
        has_standby=True,
    ),
    Fault(
        "one of two brokers frozen, and back",
        plain(failover.preferred_frozen),
        failover.TAKEN_OVER,
        has_standby=True,
    ),
    Fault(
        "stream of two brokers killed -9",
        plain(process.killed_at_random),
        process.RESTARTED,
        has_standby=True,
    ),
    Fault(
        "stream killed -9 under Dagster", stack(up.stream_killed), up.RESTARTED, needs_cores=True
    ),
    Fault("Dagster daemon killed -9", stack(up.daemon_killed), up.UNTOUCHED, needs_cores=True),
    Fault("code server killed -9", stack(up.code_server_killed), up.UNTOUCHED, needs_cores=True),
    Fault(
        "stream killed -9 after its code server",
        stack(up.orphan_killed),
        up.REPLACED,
        needs_cores=True,
    ),
    Fault(
        "everything killed -9 at once", stack(up.everything_killed), up.STARTED, needs_cores=True
    ),
]
