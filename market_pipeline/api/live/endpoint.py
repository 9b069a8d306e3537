"""WS /api/ws/ticks: committed ticks and the candles they make, as they come.

Who may: an API key as X-API-Key or Authorization: Bearer, as sub-protocols `market-pipeline` and
`key.<KEY>`, or as `?api_key=`. All messages are JSON objects, one a text frame. A client asks:

{"action": "subscribe", "instruments": ["NSE:RELIANCE", 738561, "id:42"], "mode": "full"}
    EXCHANGE:SYMBOL, symbol, the broker's token, or id: and our instrument_id; mode ltp (default),
    quote or full. Asking again changes the mode. At most 5,000 instruments a connection.
{"action": "unsubscribe", "instruments": [...]}
    ticks and candles.
{"action": "candles", "instruments": [...], "interval": "1m"}
    the candle of the current minute at once and whenever it changes.
{"action": "resume", "seq": {"kite-0": 120034}}
    first of all on a connection, with the newest `seq` of the one before: what is subscribed first
    begins behind it, so ask for all in one request. What is subscribed later begins now, since one
    `seq` cannot say two places. After an error nothing is subscribed: what is asked for again goes
    on behind the newest `seq`. What was committed within the last minute is there.

and is told, by `type`:

subscribed, unsubscribed, candles_subscribed
    `instruments`: what each name means; `unknown`: names that mean nothing, with near ones. The
    others are taken. `seq` of subscribed: behind which ticks come; to resume with it is to lose and
    to repeat none.
ticks
    `ticks` in the order of their arrival; `seq`: up to where each stream was sent; `lost`: how many
    ticks since the message before were left out because the client was slow. Then it has the
    newest of each instrument.
candles
    `candles`: as view candles_1m shows them; `is_closed` when a tick of a later minute has come. A
    late tick makes a closed minute be sent again. `lost`: how many closed minutes since the message
    before were left out because the client was slow.
resumed
    everything that was missed is sent, and what comes now follows.
resume_failed, missed
    `streams`: ticks numbered from `first` up to before `end`, committed before `until`, cannot be
    sent; `rest` says where they can be read. With resume_failed they are some of those after `seq`,
    and each stretch is told on its own.
heartbeat
    every 5 seconds, also while ticks wait: `time`, `database`, `seq`, `streams` with what they do.
status
    `database` is unavailable: nothing comes for now; or available: it goes on by itself.
error
    `problem` as in the REST API. The connection stays.

A client that takes nothing for 30 seconds is closed with code 1013, and 5 seconds later without
any; of a server that stops with 1012. Either may come back and resume.
"""

import asyncio
import contextlib
import http
import logging
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from market_pipeline.api import auth, errors
from market_pipeline.api.auth import KeyName, Scope
from market_pipeline.api.context import Context, context_of
from market_pipeline.api.live.hub import Hub
from market_pipeline.api.live.serving import answers
from market_pipeline.api.live.subscriber import Subscriber
from market_pipeline.errors import MarketPipelineError

log = logging.getLogger(__name__)

router = APIRouter()

PROTOCOL = "market-pipeline"
HEARTBEAT_SECONDS = 5.0
STALLED_SECONDS = 30.0
_CLOSING_SECONDS = 5.0
_TRY_AGAIN, _BROKEN = 1013, 1011
_KEY_PREFIX = "key."


@router.websocket("/api/ws/ticks")
async def ticks(websocket: WebSocket) -> None:
    """Serve one client; see the module."""
    works = context_of(websocket)
    key = _presented(websocket)
    try:
        name = works.keys.check(key, Scope.READ)
        works.keys.spend(name)
    except errors.Refused as error:
        status, kind, headers = errors.of_error(error)
        answer = errors.problem(websocket.scope, status, kind, str(error), headers)
        await websocket.send_denial_response(answer)
        return
    offered = PROTOCOL in websocket.scope["subprotocols"]
    await websocket.accept(subprotocol=PROTOCOL if offered else None)
    hub: Hub = websocket.app.state.live
    with contextlib.suppress(WebSocketDisconnect):
        await _serve(websocket, hub, works, name)


def _presented(websocket: WebSocket) -> str | None:
    for protocol in websocket.scope["subprotocols"]:
        if protocol.startswith(_KEY_PREFIX):
            return str(protocol.removeprefix(_KEY_PREFIX))
    in_query: str | None = websocket.state.key_in_query
    return auth.presented(websocket) or in_query


async def _serve(websocket: WebSocket, hub: Hub, works: Context, name: KeyName) -> None:
    """Receive and send until either ends, or the hub does."""
    subscriber = hub.join()
    tasks = {
        asyncio.create_task(_receive(websocket, hub, subscriber, works, name)),
        asyncio.create_task(_send(websocket, hub, subscriber)),
    }
    try:
        done, _ = await asyncio.wait({*tasks, hub.task}, return_when=asyncio.FIRST_COMPLETED)
        if hub.task in done:
            await _close(websocket, _BROKEN, "the server cannot read ticks: see its log")
        for task in done & tasks:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        hub.leave(subscriber)


async def _receive(
    websocket: WebSocket, hub: Hub, subscriber: Subscriber, works: Context, name: KeyName
) -> None:
    """Answer requests, one after the other."""
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        try:
            if (text := message.get("text")) is None:
                raise errors.NotAsked("message: binary; send a JSON object as text")
            works.keys.spend(name)
            await answers(hub, works, subscriber, text)
        except MarketPipelineError as error:
            subscriber.tell("error", problem=_problem(error))
        await subscriber.room()


def _problem(error: MarketPipelineError) -> dict[str, Any]:
    status, kind, _ = errors.of_error(error)
    return {
        "type": f"urn:market-pipeline:problem:{kind}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": str(error),
    }


async def _send(websocket: WebSocket, hub: Hub, subscriber: Subscriber) -> None:
    """Send what waits, and heartbeats; close the connection of a client that takes nothing."""
    clock = asyncio.get_running_loop().time
    beat_at = clock() + HEARTBEAT_SECONDS
    try:
        while True:
            if clock() >= beat_at:  # whatever else waits
                hub.beat(subscriber)
                beat_at = clock() + HEARTBEAT_SECONDS
            if (message := subscriber.take()) is not None:
                async with asyncio.timeout(STALLED_SECONDS):
                    await websocket.send_text(message)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(beat_at):
                    await subscriber.wake.wait()
    except TimeoutError:
        log.warning("a client of live ticks has taken nothing for %g s", STALLED_SECONDS)
        await _close(websocket, _TRY_AGAIN, f"nothing was taken for {STALLED_SECONDS:g} s")


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    """Close with a code, and let go of the socket even if the client does not take that: the
    server would hold it, and what was not taken, for as long as the client is there."""
    if transport := websocket.state.transport:
        asyncio.get_running_loop().call_later(_CLOSING_SECONDS, transport.abort)
    with contextlib.suppress(TimeoutError, WebSocketDisconnect):
        async with asyncio.timeout(_CLOSING_SECONDS):
            await websocket.close(code, reason)
