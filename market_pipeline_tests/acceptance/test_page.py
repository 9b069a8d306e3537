"""Dagster's page in a real browser: the graph a newcomer clicks to."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from market_pipeline.services import lineage_url
from market_pipeline_tests.acceptance.demo import Demo

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(420)]

ASSETS = {
    *("instruments", "ticks", "candles_1m", "candles_5m", "candles_15m", "candles_1d"),
    *("broker_candles", "expiring_contracts", "reconciled_candles"),
}
PNG = b"\x89PNG\r\n\x1a\n"


def browse(chromium: str, profile: Path, address: str, *options: str) -> bytes:
    """Open a page without a window and return what the browser prints."""
    quiet = "--disable-background-networking --disable-component-update --disable-sync"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += [*quiet.split(), f"--user-data-dir={profile}", "--window-size=1900,700"]
    command += ["--virtual-time-budget=60000", *options, address]
    return subprocess.run(command, capture_output=True, timeout=180, check=True).stdout


def test_the_graph_shows_every_asset(start: Callable[[], Demo], tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("chromium is not installed")
    assert chromium is not None, "CI must have chromium: see .ci/run"
    demo = start()
    demo.wait_until_ready()
    address = lineage_url(f"http://127.0.0.1:{demo.port}")
    picture = tmp_path / "graph.png"

    page = browse(chromium, tmp_path / "profile", address, "--dump-dom").decode()
    browse(chromium, tmp_path / "profile", address, f"--screenshot={picture}")

    assert set(re.findall(rf">({'|'.join(ASSETS)})<", page)) == ASSETS
    assert picture.read_bytes().startswith(PNG)
