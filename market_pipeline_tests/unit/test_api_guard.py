"""Without keys: a WebSocket is for this machine and its own pages, like everything else."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from market_pipeline.api.guard import Guard

PAGE = "https://charts.example.com"


def answer(**headers: str) -> list[Message]:
    """Return what a handshake with these headers is answered."""
    sent: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    given = {"host": "127.0.0.1:8000", **headers}
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    asyncio.run(Guard(application, origins=(PAGE,))(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    "headers", [{}, {"origin": "http://127.0.0.1:8000"}, {"origin": PAGE}, {"host": "localhost"}]
)
def test_programs_own_pages_and_those_that_are_named_may_connect(headers: dict[str, str]) -> None:
    assert answer(**headers) == [{"type": "websocket.accept"}]


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example.com"}, {"host": "evil.example.com"}]
)
def test_pages_of_other_sites_and_other_names_are_turned_away(headers: dict[str, str]) -> None:
    (message,) = answer(**headers)
    assert (message["type"], message["code"]) == ("websocket.close", 1008)
    assert message["reason"]
