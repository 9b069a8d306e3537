"""Does what a client asks for."""

from market_pipeline.api.context import Context
from market_pipeline.api.errors import NotAsked
from market_pipeline.api.live import requests
from market_pipeline.api.live.hub import Hub
from market_pipeline.api.live.names import Meaning, meaning
from market_pipeline.api.live.requests import Candles, Resume, Subscribe, Unsubscribe
from market_pipeline.api.live.resume import resume
from market_pipeline.api.live.subscriber import MOST_INSTRUMENTS, Subscriber


async def answers(hub: Hub, works: Context, subscriber: Subscriber, text: str) -> None:
    """Do it and tell the client.

    Raises:
        NotAsked: the request makes no sense; nothing was changed.
        DatabaseError: nothing was changed.
    """
    request = requests.read(text)
    if isinstance(request, Resume):
        _resume_later(subscriber, request)
        return
    meant = await meaning(works.reader, works.brokers, request.instruments)
    await hub.begun.wait()  # or what is committed before it has begun would be missed
    hub.name(meant.labels)
    match request:
        case Subscribe():
            await _subscribe(hub, works, subscriber, request, meant)
        case Candles():
            _refuse_too_many(subscriber.candles | set(meant.ids))
            subscriber.tell("candles_subscribed", interval=request.interval, **meant.told())
            hub.subscribe_candles(subscriber, meant.ids)
        case Unsubscribe():
            hub.unsubscribe(subscriber, meant.ids)
            hub.unsubscribe_candles(subscriber, meant.ids)
            subscriber.tell("unsubscribed", **meant.told())


def _resume_later(subscriber: Subscriber, request: Resume) -> None:
    if subscriber.modes:
        raise NotAsked(
            "resume: something is subscribed already; make a new connection and send it first"
        )
    subscriber.behind = dict(request.seq)


async def _subscribe(
    hub: Hub, works: Context, subscriber: Subscriber, request: Subscribe, meant: Meaning
) -> None:
    _refuse_too_many(subscriber.modes.keys() | set(meant.ids))
    subscriber.tell("subscribed", mode=request.mode, seq=subscriber.seq(), **meant.told())
    new = {id: label for id, label in meant.labels.items() if id not in subscriber.modes}
    if subscriber.behind is not None and new:
        await resume(hub, works.reader, subscriber, new, request.mode)
    hub.subscribe(subscriber, meant.ids, request.mode)


def _refuse_too_many(instruments: set[int]) -> None:
    if len(instruments) > MOST_INSTRUMENTS:
        raise NotAsked(
            f"instruments: {len(instruments):,} in all, and a connection may have "
            f"{MOST_INSTRUMENTS:,}: open another for the rest"
        )
