"""Sends a client that comes back what was committed while it was away, exactly once, then joins
it to what comes now.

What is old is read out of the database piece by piece, each when the client has taken the one
before, so a long absence takes no memory. The client joins the others at an instant at which
nothing is left to be read of any stream.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

import numpy as np

from market_pipeline.api.live.hub import Hub, missing
from market_pipeline.api.live.subscriber import MESSAGE_TICKS, Subscriber
from market_pipeline.api.live.ticks import live_ticks
from market_pipeline.errors import DatabaseError
from market_pipeline.market import Mode
from market_pipeline.storage.reading import Reader
from market_pipeline.storage.tick_batches import TickBatch, unpacked
from market_pipeline.storage.tick_feed import Hole

_CATCH_UP_TRIES, _CATCH_UP_SECONDS = 100, 0.02


async def resume(
    hub: Hub,
    reader: Reader,
    subscriber: Subscriber,
    labels: Mapping[int, str],
    mode: Mode,
) -> None:
    """Subscribe instruments from behind `subscriber.behind`, and have no other begin there.

    Streams that it does not name have begun since: they are sent from their beginning.

    Raises:
        DatabaseError: nothing is subscribed; `behind` says up to where ticks were sent.
    """
    assert subscriber.behind is not None
    subscriber.behind = cursor = await _cursor(hub, subscriber, subscriber.behind)
    subscriber.modes |= dict.fromkeys(labels, mode)
    try:
        while streams := [s for s, end in hub.positions.items() if cursor.setdefault(s, 0) < end]:
            for stream in streams:
                async for batch in _old(hub, reader, subscriber, stream):
                    await _send(subscriber, batch, labels)
    except DatabaseError:
        for instrument_id in labels:
            del subscriber.modes[instrument_id]
        raise
    hub.subscribe(subscriber, labels, mode)
    subscriber.behind = None
    subscriber.tell("resumed", seq=subscriber.seq())


async def _cursor(hub: Hub, subscriber: Subscriber, seen: Mapping[str, int]) -> dict[str, int]:
    """Return where to begin, once this process has come as far as the one before had."""
    ahead = dict(seen)
    for _ in range(_CATCH_UP_TRIES):
        ahead = {s: number for s, number in ahead.items() if number > hub.positions.get(s, 0)}
        if not ahead:
            return dict(seen)
        await asyncio.sleep(_CATCH_UP_SECONDS)
    # Then the numbers were begun anew: what was missed is not known.
    now = datetime.now(UTC)
    holes = [Hole(s, number, hub.positions.get(s, 0), now) for s, number in ahead.items()]
    subscriber.tell("resume_failed", **missing(holes))
    return dict(seen) | {hole.stream: hole.end for hole in holes}


async def _send(subscriber: Subscriber, batch: TickBatch, labels: Mapping[int, str]) -> None:
    """Let a client have old ticks, and wait until it has taken them."""
    assert subscriber.behind is not None
    for tick in live_ticks(batch, np.array(sorted(labels), np.int64), labels):
        subscriber.offer(tick)
    subscriber.behind[batch.stream] = batch.end
    subscriber.rouse()
    await subscriber.room(is_all=True)


async def _old(
    hub: Hub, reader: Reader, subscriber: Subscriber, stream: str
) -> AsyncIterator[TickBatch]:
    """Yield ticks of a stream up to where the hub is now, in pieces of one message."""
    assert subscriber.behind is not None
    cursor, until = subscriber.behind, hub.positions[stream]
    while cursor[stream] < until:
        rows = await reader.rows(
            "tick_batches_between", stream=stream, first=cursor[stream], until=until
        )
        if not rows:
            _skip(subscriber, stream, until, datetime.now(UTC))
        for row in rows:
            _skip(subscriber, stream, row["first_arrival"], row["written_at"])
            whole = unpacked(stream, row["first_arrival"], row["payload"]).until(until)
            while cursor[stream] < whole.end:
                yield whole.since(cursor[stream]).until(cursor[stream] + MESSAGE_TICKS)


def _skip(subscriber: Subscriber, stream: str, first: int, written_at: datetime) -> None:
    """Go on at the first tick that can be had, and tell which before it cannot."""
    assert subscriber.behind is not None
    if first > subscriber.behind[stream]:
        hole = Hole(stream, subscriber.behind[stream], first, written_at)
        subscriber.tell("resume_failed", **missing([hole]))
        subscriber.behind[stream] = first
