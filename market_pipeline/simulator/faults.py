"""What can go wrong at a broker, on demand: in process or through POST /simulator/faults/{name}."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from market_pipeline.simulator import disturbances
from market_pipeline.simulator.lines import Lines

logger = logging.getLogger(__name__)

MALFORMED_FRAME = bytes.fromhex("0003 0008 0000 0001 0000")
"""Declares three packets and ends within the first."""


class Accounts(Protocol):
    """The users of a broker."""

    def expire_tokens(self) -> None: ...


class Budgets(Protocol):
    """How many requests a broker takes."""

    def throttle(self, seconds: float) -> None: ...


@dataclass
class HistoryFaults:
    """What is wrong with requests for candles."""

    seconds: float = 0.0
    failures: int = 0  # still to come
    failure_status: int | None = 502
    corrupt: int = 0  # answers still to come
    empty_tokens: frozenset[int] = field(default_factory=frozenset)


class Faults:
    """Switches. Each takes the parameters of a JSON body."""

    def __init__(self, ticker: Lines[Any], accounts: Accounts, budgets: Budgets) -> None:
        self._ticker = ticker
        self._accounts = accounts
        self._budgets = budgets
        self.outage = False
        self.history = HistoryFaults()
        self._by_name: dict[str, Callable[..., Awaitable[None]]] = {
            "drop": self.drop,
            "silence": self.silence,
            "mute": self.mute,
            "bias": self.bias,
            "refuse_upgrade": self.refuse_upgrade,
            "slow_handshake": self.slow_handshake,
            "outage": self.switch_outage,
            "malformed": self.malformed,
            "text": self.text,
            "duplicate": self.duplicate,
            "late": self.late,
            "cut": self.cut,
            "garbage_length": self.garbage_length,
            "half_frame": self.half_frame,
            "expire_tokens": self.expire_tokens,
            "throttle": self.throttle,
            "slow_history": self.slow_history,
            "fail_history": self.fail_history,
            "corrupt_history": self.corrupt_history,
            "empty_history": self.empty_history,
            "clear": self.clear,
        }

    @property
    def names(self) -> list[str]:
        return sorted(self._by_name)

    async def apply(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Run a fault by name.

        Raises:
            KeyError: there is no such fault.
            TypeError: the parameters do not fit it.
        """
        logger.info("fault %s %s", name, dict(parameters))
        await self._by_name[name](**parameters)

    async def drop(self) -> None:
        """Cut all connections without a closing handshake."""
        self._ticker.drop_all("fault: drop")

    async def silence(self, on: bool = True) -> None:
        """Keep connections open and send nothing on them, not even heartbeats."""
        self._ticker.silent = on

    async def mute(self, tokens: list[int]) -> None:
        """Send nothing of these instruments, whoever has subscribed to them; [] mutes none."""
        self._ticker.mute(tokens)

    async def bias(self, price: float) -> None:
        """Tell every last price too high by so many rupees; 0 tells them right again."""
        self._ticker.bias = float(price)

    async def refuse_upgrade(self, status: int | None = 403) -> None:
        """Answer new connections with an HTTP status; None accepts them again."""
        self._ticker.refuse_with = status

    async def slow_handshake(self, seconds: float = 5.0) -> None:
        """Let new connections wait for the answer to their upgrade."""
        self._ticker.handshake_seconds = seconds

    async def switch_outage(self, on: bool = True) -> None:
        """Answer REST requests with a gateway's HTML page and status 502."""
        self.outage = on

    async def malformed(self, payload: str = MALFORMED_FRAME.hex()) -> None:
        """Send a frame of any bytes, given in hexadecimal, to all connections."""
        await self._ticker.broadcast(bytes.fromhex(payload))

    async def text(self, message: str) -> None:
        """Send a text message to all connections."""
        await self._ticker.broadcast(message)

    async def duplicate(self, frames: int = 1) -> None:
        """Send the next frames of packets of each open connection twice."""
        self._ticker.disturb(disturbances.DUPLICATE, frames)

    async def late(self, frames: int = 1, seconds: float = 2.0) -> None:
        """Hold the next frames back for `seconds`, while newer ones go ahead."""
        self._ticker.disturb(disturbances.late(float(seconds)), frames)

    async def cut(self, frames: int = 1) -> None:
        """End the next frames with more than one packet in the middle of a packet."""
        self._ticker.disturb(disturbances.CUT, frames)

    async def garbage_length(self, frames: int = 1) -> None:
        """Overwrite the length of a packet in the middle of the next frames."""
        self._ticker.disturb(disturbances.GARBAGE_LENGTH, frames)

    async def half_frame(self) -> None:
        """Write half of the next WebSocket frame of each connection, and cut the line."""
        self._ticker.disturb(disturbances.HALF_FRAME, 1)

    async def expire_tokens(self) -> None:
        """Make all access tokens invalid; open connections stay."""
        self._accounts.expire_tokens()

    async def throttle(self, seconds: float = 5.0) -> None:
        """Refuse all REST requests with 429 for a while; a Retry-After header says how long."""
        self._budgets.throttle(float(seconds))

    async def slow_history(self, seconds: float = 1.0) -> None:
        """Let requests for candles wait for their answer."""
        self.history.seconds = float(seconds)

    async def fail_history(self, count: int = 1, status: int | None = 502) -> None:
        """Fail the next requests for candles: 500 as JSON, another status as a page of HTML.

        None answers 200 with neither content nor content type.
        """
        self.history.failures, self.history.failure_status = int(count), status

    async def corrupt_history(self, count: int = 1) -> None:
        """End the next answers with candles in the middle."""
        self.history.corrupt = int(count)

    async def empty_history(self, tokens: list[int]) -> None:
        """Have no candles of these instruments; [] ends it."""
        self.history.empty_tokens = frozenset(tokens)

    async def clear(self) -> None:
        """Return every switch to normal; frames that are held back are still sent."""
        self.outage = False
        self.history = HistoryFaults()
        self._budgets.throttle(0)
        self._ticker.silent = False
        self._ticker.mute([])
        self._ticker.bias = 0.0
        self._ticker.refuse_with = None
        self._ticker.handshake_seconds = 0.0
        self._ticker.disturb_no_more()
