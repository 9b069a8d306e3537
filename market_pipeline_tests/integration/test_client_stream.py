"""`async for tick in client.stream(...)` goes on over whatever interrupts it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, closing

import pytest

from market_pipeline import client_stream
from market_pipeline.client import Client
from market_pipeline.client_stream import Loss, TickStream
from market_pipeline.errors import ApiKeyRefused, ApiUnknownInstrument
from market_pipeline.storage.database import Database
from market_pipeline_tests import builders
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.live_cases import STREAM, Api, Feed, running
from market_pipeline_tests.live_cases import api as api
from market_pipeline_tests.live_cases import feed as feed
from market_pipeline_tests.live_cases import hurried_feed as hurried_feed
from market_pipeline_tests.stream_cases import prepare

pytestmark = pytest.mark.needs_real_server("waits for notifications on a connection of its own")

KEY = "k" * 32


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_stream, "_FIRST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(client_stream, "_LONGEST_WAIT_SECONDS", 0.2)


class Reading:
    """A stream that is read a few ticks at a time; ticks are committed between."""

    def __init__(self, api: Api, feed: Feed, stream: TickStream) -> None:
        self.api, self.feed, self.stream = api, feed, stream
        self._ticks: AsyncIterator[client_stream.Tick] = aiter(stream)
        self._next: asyncio.Future[client_stream.Tick] | None = None

    async def begin(self) -> None:
        """Connect, and wait until the first tick has come."""
        first = asyncio.ensure_future(anext(self._ticks))
        for _ in range(200):
            await asyncio.to_thread(self.feed.commit, builders.Tick(price=0))
            done, _ = await asyncio.wait({first}, timeout=0.1)
            if done:
                break
        assert (await first).last_price == 0

    async def prices(self, *wanted: float) -> list[float]:
        """Read until the last of some prices has come; leave out those of `begin`."""
        seen: list[float] = []
        async with asyncio.timeout(20):
            while wanted[-1] not in seen:
                tick = await anext(self._ticks)
                seen += [tick.last_price] if tick.last_price else []
        return seen

    async def commit(self, *prices: float) -> None:
        await asyncio.to_thread(self.feed.commit, *(builders.Tick(price=price) for price in prices))


async def reading(api: Api, feed: Feed) -> Reading:
    made = Reading(api, feed, Client(api.url).stream(["NSE:INFY"]))
    await made.begin()
    return made


def test_ticks_are_typed(api: Api, feed: Feed) -> None:
    async def read() -> client_stream.Tick:
        opened = await reading(api, feed)
        await opened.commit(5)
        while (tick := await anext(opened._ticks)).last_price != 5:
            pass
        return tick

    tick = asyncio.run(read())
    assert (tick.instrument, tick.volume, tick.bid_price) == ("NSE:INFY", 1, None)
    assert tick.time.isoformat() == "2026-11-20T03:45:00+00:00"


def test_a_restart_of_the_api_is_not_noticed(api: Api, feed: Feed) -> None:
    async def read() -> tuple[list[float], list[Loss]]:
        opened = await reading(api, feed)
        await opened.commit(1, 2)
        seen = await opened.prices(2)
        following = asyncio.ensure_future(opened.prices(6))
        await asyncio.to_thread(api.stop)
        await opened.commit(3, 4)
        await asyncio.to_thread(api.start)
        await opened.commit(5, 6)
        return seen + await following, opened.stream.losses

    assert asyncio.run(read()) == ([1, 2, 3, 4, 5, 6], [])


@pytest.mark.parametrize("is_early", [True, False], ids=["known stream", "new stream"])
def test_a_connection_that_is_lost_before_the_first_tick_loses_none(
    database: Database, api: Api, is_early: bool
) -> None:
    async def read() -> float:
        feeds = [await asyncio.to_thread(Feed, database)] if is_early else []
        stream = Client(api.url).stream(["NSE:INFY"])
        first = asyncio.ensure_future(anext(aiter(stream)))
        while not stream._is_begun:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(api.stop)
        feeds = feeds or [await asyncio.to_thread(Feed, database)]
        with closing(feeds[0]) as feed:
            await asyncio.to_thread(feed.commit, builders.Tick(price=1))
            await asyncio.to_thread(api.start)
            await asyncio.to_thread(feed.commit, builders.Tick(price=2))
            async with asyncio.timeout(20):
                return (await first).last_price

    assert asyncio.run(read()) == 1


def test_who_stops_within_a_message_and_goes_on_gets_the_rest_of_it_once(
    api: Api, feed: Feed
) -> None:
    async def read() -> list[float]:
        opened = await reading(api, feed)
        await opened.commit(1, 2, 3)
        seen = await opened.prices(1)
        await opened.commit(4)
        async with asyncio.timeout(20):
            for last in (2, 4):  # each time with a new iterator
                async for tick in opened.stream:
                    seen.append(tick.last_price)
                    if tick.last_price == last:
                        break
        return seen

    assert asyncio.run(read()) == [1, 2, 3, 4]


def test_what_cannot_be_had_any_more_is_told(database: Database, api: Api, feed: Feed) -> None:
    async def read() -> list[Loss]:
        opened = await reading(api, feed)
        await opened.commit(1)
        await opened.prices(1)
        following = asyncio.ensure_future(opened.prices(3))
        await asyncio.to_thread(api.stop)
        await opened.commit(2)
        await asyncio.to_thread(fetch, database, "DELETE FROM tick_batches")
        await asyncio.to_thread(api.start)
        await opened.commit(3)
        assert await following == [3]
        return opened.stream.losses

    (loss,) = asyncio.run(read())
    assert (loss.stream, loss.ticks) == (STREAM, None) and loss.until is not None


def test_a_misspelt_name_is_refused_with_near_ones(api: Api) -> None:
    async def read() -> None:
        async with aclosing(aiter(Client(api.url).stream(["INFI"]))) as ticks:  # type: ignore[type-var]
            await anext(ticks)

    with pytest.raises(ApiUnknownInstrument, match="INFI, like NSE:INFY"):
        asyncio.run(read())


def test_a_wrong_key_is_refused_at_once(database: Database, hurried_feed: None) -> None:
    prepare(database)

    async def read(guarded: Api, key: str | None) -> None:
        async for _ in Client(guarded.url, key).stream(["INFY"]):
            pass

    with running(database, api_keys=f"charts:read:{KEY}") as guarded:
        for key in (None, "x" * 32):
            with pytest.raises(ApiKeyRefused):
                asyncio.run(read(guarded, key))
