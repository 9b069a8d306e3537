"""Which instruments the names in a request mean."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from market_pipeline.storage.instruments import nearest
from market_pipeline.storage.reading import Reader

_BY_ID = "id:"
_MOST_HELPED = 10
_LONGEST_ID, _LARGEST_ID = 19, 2**63 - 1  # longer ones Python may not even read


class Meaning(NamedTuple):
    """The names that mean an instrument, and those that mean none with what is like them."""

    instruments: dict[str, int]
    labels: dict[int, str]
    unknown: dict[str, list[str]]

    @property
    def ids(self) -> list[int]:
        return list(self.labels)

    def told(self) -> dict[str, Any]:
        """Say it in a message."""
        known = [
            {"asked": asked, "instrument": self.labels[id], "instrument_id": id}
            for asked, id in self.instruments.items()
        ]
        unknown = [{"asked": asked, "near": near} for asked, near in self.unknown.items()]
        return {"instruments": known, "unknown": unknown}


async def meaning(reader: Reader, brokers: Sequence[str], given: Sequence[str | int]) -> Meaning:
    """Look names up: EXCHANGE:SYMBOL, a symbol, the broker's token, or id: and an instrument_id.

    What the first of the brokers does not offer is looked for at the next.

    Raises:
        DatabaseError: see Reader.rows.
    """
    wanted = list(dict.fromkeys(str(name) for name in given))
    by_id = {name: number for name in wanted if (number := _id(name)) is not None}
    names = [name for name in wanted if name not in by_id]
    found = dict(by_id)
    for broker in brokers:
        left = [name for name in names if name not in found]
        rows = await reader.rows("find_instruments", broker=broker, names=left)
        found |= {row["name"]: row["instrument_id"] for row in rows}
    ids = list(dict.fromkeys(found.values()))
    labels = {
        row["instrument_id"]: row["name"]
        for row in await reader.rows("instrument_labels", instrument_ids=ids)
    }
    instruments = {name: found[name] for name in wanted if found.get(name) in labels}
    missing = [name for name in wanted if name not in instruments]
    unknown: dict[str, list[str]] = {name: [] for name in missing} | {
        name: await _near(reader, brokers[0], name) for name in missing[:_MOST_HELPED]
    }
    return Meaning(instruments, labels, unknown)


def _id(name: str) -> int | None:
    number = name.removeprefix(_BY_ID)
    if number == name or not number.isdecimal() or len(number) > _LONGEST_ID:
        return None
    return int(number) if int(number) <= _LARGEST_ID else None


async def _near(reader: Reader, broker: str, name: str) -> list[str]:
    rows = await reader.rows("near_instruments", broker=broker, name=name)
    candidates = [label for row in rows for label in row.values()]
    return await asyncio.to_thread(nearest, name, candidates)  # takes long for thousands
