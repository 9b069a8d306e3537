"""Half an hour with a random fault every twenty seconds; then every packet counted.

All of `market-pipeline up` runs against the simulated exchange. `make soak` starts this.
"""

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
from rich.console import Console

from market_pipeline import processes
from market_pipeline_tests.faults import run, table
from market_pipeline_tests.faults.exchange import Exchange
from market_pipeline_tests.faults.matrix import home_folder
from market_pipeline_tests.faults.stack_faults import CODE_SERVER, DAEMON
from market_pipeline_tests.faults.stack_world import StackWorld
from market_pipeline_tests.faults.table import Row

_EVERY_SECONDS = 20.0
_LIMIT = 90.0  # the slowest of the faults: the database's death while the stream starts
_FROZEN_SECONDS = 6.0


class Soak:
    """A world and the faults that befall it."""

    def __init__(self, world: StackWorld, seed: int) -> None:
        self._world, self._chance = world, random.Random(seed)
        self.caused: dict[str, int] = {}
        self.memory: list[tuple[float, float, float]] = []
        self.faults: dict[str, Callable[[], None]] = {
            "socket dropped": lambda: world.exchange.fault("drop"),
            "half a frame": lambda: world.exchange.fault("half_frame"),
            "frames cut": lambda: world.exchange.fault("cut", frames=3),
            "garbage length": lambda: world.exchange.fault("garbage_length", frames=3),
            "frames twice": lambda: world.exchange.fault("duplicate", frames=5),
            "frames late": lambda: world.exchange.fault("late", frames=5, seconds=2.0),
            "silence": self._silence,
            "token expired": self._expire_token,
            "stream killed": lambda: run.kill([world.stream]),
            "daemon killed": lambda: run.kill([world.service(*DAEMON)]),
            "code server killed": lambda: run.kill([world.service(*CODE_SERVER)]),
            "database killed": lambda: run.kill(_postgres(world)),
            "database frozen": self._freeze,
        }

    def next(self) -> str:
        """Cause one fault and return its name."""
        name = self._chance.choice(list(self.faults))
        self.caused[name] = self.caused.get(name, 0) + 1
        self.faults[name]()
        return name

    def note_memory(self, minutes: float) -> None:
        """Remember what the stream and its database use now, in megabytes."""
        stream = sum(_rss(each) for each in run.writers_of(self._world.journal))
        others = sum(_rss(each) for each in self._world.members())
        self.memory.append((minutes, stream, others))

    def _silence(self) -> None:
        self._world.exchange.fault("silence")
        time.sleep(12)
        self._world.exchange.fault("silence", on=False)

    def _expire_token(self) -> None:
        self._world.exchange.fault("expire_tokens")
        self._world.exchange.fault("drop")
        time.sleep(3)
        self._world.log_in()

    def _freeze(self) -> None:
        victims = _postgres(self._world)
        processes.signal_all(victims, signal.SIGSTOP)
        time.sleep(_FROZEN_SECONDS)
        processes.signal_all(victims, signal.SIGCONT)


def _postgres(world: StackWorld) -> list[psutil.Process]:
    pid = int((world.home / "postgres/data/postmaster.pid").read_text().split()[0])
    postmaster = psutil.Process(pid)
    return [postmaster, *postmaster.children(recursive=True)]


def _rss(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 1e6 if processes.is_alive(process) else 0.0
    except psutil.Error:
        return 0.0


def soak(minutes: float, instruments: int, seed: int, console: Console) -> tuple[Row, Soak]:
    """Run it and count; the row is of all faults together."""
    with ExitStack() as around:
        home = around.enter_context(home_folder())
        exchange = Exchange(home, instruments)
        around.callback(exchange.stop)
        world = StackWorld(home, exchange, full=True)
        around.callback(world.kill)
        world.start()
        running = Soak(world, seed)
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < minutes * 60:
            due = time.monotonic() + _EVERY_SECONDS
            name = running.next()
            seconds = world.await_live()
            world.recovered_in = max(world.recovered_in, seconds)
            running.note_memory(passed / 60)
            console.print(f"{passed / 60:5.1f} min  {name:20} live again after {seconds:5.1f} s")
            time.sleep(max(due - time.monotonic(), 0))
        world.await_live()
        world.stop()
        verdict = world.count()
        if not verdict.is_proven:
            console.print(verdict.faults)
        return Row.of("soak", world, verdict, _LIMIT), running


def report(row: Row, running: Soak, minutes: float) -> str:
    """Write the outcome as Markdown."""
    caused = ", ".join(f"{name} {times}" for name, times in sorted(running.caused.items()))
    third = max(len(running.memory) // 3, 1)
    begin, end = running.memory[:third], running.memory[-third:]
    lines = [
        table.markdown([row]),
        f"{minutes:g} minutes; faults: {caused}.",
        "",
        "memory in MB, mean | first third | last third",
        "--- | ---: | ---:",
        f"stream | {_mean(begin, 1):.0f} | {_mean(end, 1):.0f}",
        f"all of the stack | {_mean(begin, 2):.0f} | {_mean(end, 2):.0f}",
    ]
    return "\n".join(lines) + "\n"


def _mean(samples: list[tuple[float, float, float]], column: int) -> float:
    return sum(sample[column] for sample in samples) / len(samples)


def main() -> None:
    """Read the command line, run, and exit with 1 if a packet is not accounted for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--instruments", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    console = Console()
    row, running = soak(options.minutes, options.instruments, options.seed, console)
    text = report(row, running, options.minutes)
    console.print(text, soft_wrap=True)
    if options.table is not None:
        options.table.parent.mkdir(parents=True, exist_ok=True)
        options.table.write_text(text, "utf-8")
    sys.exit(0 if row.is_proven else 1)


if __name__ == "__main__":
    main()
