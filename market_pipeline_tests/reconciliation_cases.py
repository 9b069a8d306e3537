"""Candles of one session on either side, and the instruments they are of."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from market_pipeline import reconciliation
from market_pipeline.market import Segment
from market_pipeline.tolerances import FIELDS, PRICES, Tolerances
from market_pipeline_tests.builders import OPEN

STOCK, FUTURE, INDEX = 1, 2, 9
MINUTES = 375
PACKAGED = Tolerances.load(None)

_TIME = pl.Datetime("us", "UTC")
_CANDLE: dict[str, Any] = {
    "instrument_id": pl.Int64,
    "time": _TIME,
    **dict.fromkeys(PRICES, pl.Float64),
    **dict.fromkeys(FIELDS[4:], pl.Int64),
}
_LIVE = {**_CANDLE, "trades": pl.Int64, "has_gap": pl.Boolean}
_BROKER = {**_CANDLE, "fetched_at": _TIME, "has_gap": pl.Boolean}


@dataclass(frozen=True)
class Candle:
    """A candle `at` minutes after the opening, flat unless told otherwise, fetched next day."""

    at: int = 10
    price: float = 100.0
    volume: int | None = 1000
    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    open_interest: int | None = None
    instrument: int = STOCK
    has_gap: bool = False
    fetched_after: float = 86_400  # seconds after the end of the minute

    def but(self, **values: Any) -> "Candle":
        return replace(self, **values)

    @property
    def row(self) -> dict[str, Any]:
        begins = datetime.fromtimestamp(OPEN + 60 * self.at, UTC)
        given = {name: getattr(self, name) for name in PRICES}
        prices = {name: self.price if told is None else told for name, told in given.items()}
        counts = {"volume": self.volume, "open_interest": self.open_interest}
        return {"instrument_id": self.instrument, "time": begins, **prices, **counts}


def live(*candles: Candle) -> pl.DataFrame:
    rows = [{**each.row, "trades": 5, "has_gap": each.has_gap} for each in candles]
    return pl.DataFrame(rows, schema=_LIVE)


def broker(*candles: Candle) -> pl.DataFrame:
    rows = []
    for each in candles:
        row = each.row
        fetched = row["time"] + timedelta(seconds=60 + each.fetched_after)
        rows.append(row | {"fetched_at": fetched, "has_gap": each.has_gap})
    return pl.DataFrame(rows, schema=_BROKER)


def instruments(*wanted: int) -> pl.DataFrame:
    """Describe some instruments, by default all."""
    known = [
        (STOCK, "NSE:INFY", Segment.CM.value, 0.05, 1),
        (FUTURE, "NFO:NIFTY26DECFUT", Segment.FO.value, 0.1, 75),
        (INDEX, "NSE:NIFTY 50", Segment.INDEX.value, None, None),
    ]
    opening = OPEN // 60
    frame = pl.DataFrame(
        known,
        schema={
            "instrument_id": pl.Int64,
            "name": pl.String,
            "segment": pl.String,
            "tick_size": pl.Float64,
            "lot_size": pl.Int64,
        },
        orient="row",
    ).with_columns(
        pl.lit(list(range(opening, opening + MINUTES)), pl.List(pl.Int64)).alias("continuous"),
        pl.lit(opening, pl.Int64).alias("opening"),
    )
    return frame.filter(pl.col("instrument_id").is_in(wanted)) if wanted else frame


def verdicts(
    ours: list[Candle], theirs: list[Candle], tolerances: Tolerances = PACKAGED
) -> pl.DataFrame:
    return reconciliation.verdicts(live(*ours), broker(*theirs), instruments(), tolerances)


def verdict(ours: Candle | None, theirs: Candle | None) -> dict[str, Any]:
    """Compare one minute, on a day of which the broker has another."""
    either = ours or theirs or Candle()
    last = either.but(at=370, volume=0, fetched_after=86_400)
    found = verdicts([ours] if ours else [], [theirs, last] if theirs else [last])
    return found.row(by_predicate=pl.col("time") == either.row["time"], named=True)
