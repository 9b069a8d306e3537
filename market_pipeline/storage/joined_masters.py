"""How the instruments of two brokers go together: one contract is one instrument to both."""

from typing import NamedTuple

import polars as pl

from market_pipeline.storage.database import Database

_CONFLICTS = ("lot_differs", "tick_differs", "expiry_differs")


class Joined(NamedTuple):
    """What two brokers offer, by exchange and segment, and some contracts they describe otherwise.

    `counts`: exchange, segment, matched, only_first, only_second, lot_differs, tick_differs,
    expiry_differs. `conflicts`: name, first_lot, second_lot, first_tick, second_tick.
    """

    first: str
    second: str
    counts: pl.DataFrame
    conflicts: pl.DataFrame

    @property
    def conflict_count(self) -> int:
        """How many contracts they describe otherwise, once for each way."""
        return sum(int(self.counts[name].sum()) for name in _CONFLICTS)


def joined(database: Database, first: str, second: str, most: int = 50) -> Joined:
    """Compare the masters of two brokers as they are in force."""
    brokers = {"first": first, "second": second}
    return Joined(
        first,
        second,
        database.query("joined_masters", **brokers),
        database.query("conflicting_instruments", **brokers, most=most),
    )


def brokers(database: Database) -> list[str]:
    """Return the brokers whose instruments are known."""
    names: list[str] = database.query("brokers_with_masters")["broker"].to_list()
    return names
