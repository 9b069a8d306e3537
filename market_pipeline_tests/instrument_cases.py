"""What the tests of the instrument master share: rows of it, syncs, the dumps of a real broker."""

import gzip
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from market_pipeline.brokers.fyers_master import parse_master
from market_pipeline.brokers.kite_rest import parse_instruments
from market_pipeline.market import INSTRUMENT_SCHEMA
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline.storage.instruments import SyncCounts
from market_pipeline_tests.builders import TODAY, fetch

TOMORROW = TODAY + timedelta(days=1)
LATER = TODAY + timedelta(days=2)
Row = Mapping[str, Any]

_DUMPS = Path(__file__).parents[2] / "shared" / "data" / "instruments"
_FILES = ["kite_2025-12_NSE.csv.gz", "kite_2025-12_NFO.csv.gz"]
DUMP_DAY = date(2025, 12, 22)


def equity(token: int, symbol: str, **more: Any) -> Row:
    return {
        "token": token,
        "broker_symbol": symbol,
        "exchange": "NSE",
        "segment": "CM",
        "exchange_token": str(token >> 8),
        "symbol": symbol,
        "name": f"{symbol} LIMITED",
        "kind": "EQ",
        "underlying": None,
        "expiry": None,
        "strike": None,
        "lot_size": 1,
        "tick_size": 0.05,
    } | more


def index(token: int, symbol: str, **more: Any) -> Row:
    sizes = {"lot_size": None, "tick_size": None}
    return equity(token, symbol, segment="INDEX", kind="INDEX", name=symbol, **sizes, **more)


def future(token: int, symbol: str, expiry: date, **more: Any) -> Row:
    contract = {"exchange": "NFO", "segment": "FO", "kind": "FUT", "underlying": "INFY"}
    return equity(token, symbol, **{**contract, "expiry": expiry, **more})


INFY, TCS, SBIN = equity(257, "INFY"), equity(513, "TCS"), equity(769, "SBIN")
OTHERS = [equity(n << 8 | 1, f"OTHER{n}") for n in range(101, 109)]
"""So many that the master is not taken for broken when some of the rest are missing."""


def numbered(exchange: str, count: int, first: int = 1) -> list[Row]:
    """Make equities of an exchange whose tokens no other exchange has."""
    code = {"NSE": 1, "BSE": 4}[exchange]
    places = range(first, first + count)
    return [equity(n << 8 | code, f"{exchange}{n}", exchange=exchange) for n in places]


def sync(database: Database, *rows: Row, day: date = TODAY, broker: str = "kite") -> SyncCounts:
    master = pl.DataFrame(list(rows), schema=INSTRUMENT_SCHEMA)
    return instruments.sync(database, broker, master, day)


def counted(total: int, **counts: int) -> SyncCounts:
    """Make counts that are zero unless given."""
    return SyncCounts(total, *[counts.get(name, 0) for name in SyncCounts._fields[1:]])


def contents(database: Database) -> list[list[tuple[Any, ...]]]:
    """Return all that the master is, table by table."""
    return [
        fetch(database, "SELECT * FROM instruments ORDER BY instrument_id"),
        fetch(database, "SELECT * FROM broker_instruments ORDER BY instrument_id, valid_from"),
        fetch(database, "SELECT * FROM instrument_history ORDER BY instrument_id, valid_to"),
    ]


def real_master() -> pl.DataFrame:
    """Read Kite's dumps of a day, 46,000 rows; skips the test where they are not at hand."""
    missing = [name for name in _FILES if not (_DUMPS / name).exists()]
    if missing:
        pytest.skip(f"no instrument dumps at {_DUMPS}: {', '.join(missing)}")
    files = [gzip.decompress((_DUMPS / name).read_bytes()) for name in _FILES]
    return pl.concat(map(parse_instruments, files))


def real_fyers_master() -> pl.DataFrame:
    """Read Fyers' cash market and currencies of a day; skip where the files are absent."""
    files = [_DUMPS / f"fyers_2025-11-10_{segment}.csv.gz" for segment in ("NSE_CM", "NSE_CD")]
    missing = [file.name for file in files if not file.exists()]
    if missing:
        pytest.skip(f"no instrument masters at {_DUMPS}: {', '.join(missing)}")
    return pl.concat([parse_master(gzip.decompress(file.read_bytes())) for file in files])
