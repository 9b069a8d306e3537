"""A home of its own for each demo, and the end of whatever a failed test leaves behind."""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from market_pipeline import processes
from market_pipeline_tests.acceptance.demo import Demo, postgres


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: PostgreSQL cannot run as root, and its account cannot enter root's folders.
    folder = Path(tempfile.mkdtemp(prefix="market-pipeline-demo-"))
    folder.chmod(0o755)
    try:
        yield folder.resolve()
    finally:
        leftovers = processes.marked("MARKET_PIPELINE_STACK_HOME", str(folder.resolve() / "demo"))
        processes.signal_all([*leftovers, *postgres(folder.resolve() / "demo")], signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(home: Path) -> Iterator[Callable[[], Demo]]:
    started: list[Demo] = []

    def start() -> Demo:
        started.append(Demo(home))
        return started[-1]

    yield start
    for demo in started:
        if demo.process.poll() is None:
            demo.process.kill()
        demo.process.wait(10)
