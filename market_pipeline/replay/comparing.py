"""Whether the candles of a replay are those of the day when it was live, by their hash.

It is the archive's: see archive/digest.py.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from market_pipeline.archive.digest import Digest
from market_pipeline.replay.order import Order
from market_pipeline.storage.database import Database

_MINUTE = timedelta(minutes=1)
_SHOWN = 5


@dataclass(frozen=True)
class Comparison:
    """Candles of a minute as they were, and as the replay has made them."""

    name: str
    live: pl.DataFrame
    replayed: pl.DataFrame

    @property
    def hashes(self) -> tuple[str, str]:
        """The SHA-256 of the live candles, and of the replayed ones."""
        return digest(self.live), digest(self.replayed)

    @property
    def is_equal(self) -> bool:
        return self.hashes[0] == self.hashes[1]

    def differing(self) -> pl.DataFrame:
        """Return the first candles that only one of both has so, with column `side`."""
        sides = {"live": (self.live, self.replayed), "replayed": (self.replayed, self.live)}
        parts = [
            own.join(other, on=own.columns, how="anti", nulls_equal=True).select(
                pl.lit(side).alias("side"), pl.all()
            )
            for side, (own, other) in sides.items()
        ]
        return pl.concat(parts).sort("instrument_id", "time", "side").head(_SHOWN)


def digest(candles: pl.DataFrame) -> str:
    """Return the SHA-256 of candles, sorted by instrument and time; see archive/digest.py."""
    found = Digest()
    for batch in candles.to_arrow().to_batches():
        found.add(batch)
    return found.content()


def as_known_then(database: Database, order: Order) -> pl.DataFrame:
    """Return the candles of an order's whole minutes as the ticks made them."""
    return database.query("replay_candles", **_period(order))


def as_known_now(database: Database, order: Order) -> pl.DataFrame:
    """Return the candles of an order's whole minutes as readers get them, with their state."""
    return database.query("replay_repaired_candles", **_period(order))


def _period(order: Order) -> dict[str, Any]:
    starts_at, ends_at = whole_minutes(order)
    ids = order.instrument_ids
    return {
        "starts_at": starts_at,
        "ends_at": ends_at,
        "instrument_ids": None if ids is None else list(ids),
    }


def whole_minutes(order: Order) -> tuple[datetime, datetime]:
    """Return when the first minute that is wholly replayed begins, and when the last ends."""
    starts_at, ends_at = order.starts_at.astimezone(UTC), order.ends_at.astimezone(UTC)
    floors = [each.replace(second=0, microsecond=0) for each in (starts_at, ends_at)]
    return floors[0] + _MINUTE * (floors[0] < starts_at), floors[1]
