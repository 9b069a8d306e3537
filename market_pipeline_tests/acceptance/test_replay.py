"""Real candles through exchange, broker library, journal, database and back: nothing changes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_DATA = Path(__file__).parents[3] / "shared" / "data"
_FILES = [_DATA / f"candles_1m_{symbol}.csv" for symbol in ("RELIANCE", "SBIN", "PAGEIND")]

_MADE_UP = """symbol,time,open,high,low,close,volume
MADEUP,2026-11-20 09:15:00,100.05,101.00,99.95,100.50,1000
MADEUP,2026-11-20 09:16:00,100.50,100.50,100.50,100.50,0
MADEUP,2026-11-20 09:17:00,100.55,100.70,100.40,100.45,3
MADEUP,2026-11-20 15:29:00,100.45,100.45,98.00,98.00,70000
"""


def replay_check(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MARKET_PIPELINE_HOME": str(home), "LOG_LEVEL": "WARNING"}
    environment.pop("DATABASE_URL", None)
    return subprocess.run(
        [sys.executable, "-m", "market_pipeline", "replay-check", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_every_candle_of_a_real_day_comes_back_as_it_was(shared_home: Path) -> None:
    missing = [file.name for file in _FILES if not file.exists()]
    if missing:
        pytest.skip(f"no market data at {_DATA}: {', '.join(missing)}")
    result = replay_check(shared_home, *map(str, _FILES))
    assert result.returncode == 0, result.stdout + result.stderr
    for symbol in ("RELIANCE", "SBIN", "PAGEIND"):
        assert f"{symbol}: 375 of 375 candles equal" in result.stdout


def test_a_file_of_ones_own_is_replayed_and_compared(shared_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "candles.csv"
    file.write_text(_MADE_UP)
    result = replay_check(shared_home, str(file))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "MADEUP: 4 of 4 candles equal (1 minutes without a trade)" in result.stdout


def test_a_file_without_a_column_is_refused_by_name(shared_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "candles.csv"
    file.write_text(_MADE_UP.replace(",volume", ",turnover"))
    result = replay_check(shared_home, str(file))
    assert result.returncode == 2
    assert "no column volume" in result.stderr
