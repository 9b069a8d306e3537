"""What one client wants and what is on its way to it: bounded, however slow it is."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from market_pipeline.api.live.ticks import LiveTick, to_json
from market_pipeline.market import Mode

MOST_INSTRUMENTS = 5_000
"""That one connection may subscribe, and of which it may have candles."""

MOST_PENDING = 10_000
"""Ticks that wait for one client. Above that only the newest of each instrument is kept."""

MESSAGE_TICKS = 1_000
_MOST_NOTICES = 100


@dataclass
class Resuming:
    """From where a client that has come back goes on with what it subscribes, and until when."""

    seq: dict[str, int]
    until: float  # on the clock of the event loop


class Subscriber:
    """One client. Everything but `room` returns at once, so no client waits for another."""

    def __init__(self, positions: Mapping[str, int]) -> None:
        """Take where each stream is: a mapping that the hub keeps up to date."""
        self._positions = positions
        self._seq = dict(positions)
        self._pending: list[LiveTick] = []
        self._candles: dict[tuple[int, int], str] = {}
        self._notices: deque[str] = deque()
        self._lost = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.wake = asyncio.Event()
        self.modes: dict[int, Mode] = {}
        self.candles: set[int] = set()
        self.resuming: Resuming | None = None
        self.behind: dict[str, int] | None = None
        """How far old ticks were offered, until all are; see resume.py."""

    def offer(self, tick: LiveTick) -> None:
        """Let a tick wait for its turn, the last of those of its stream."""
        self._pending.append(tick)
        if len(self._pending) > MOST_PENDING:
            self._conflate()

    def _conflate(self) -> None:
        """Keep the newest tick of each instrument, in the order of arrival."""
        newest: dict[int, LiveTick] = {}
        for tick in reversed(self._pending):
            newest.setdefault(tick.instrument_id, tick)
        self._lost += len(self._pending) - len(newest)
        self._pending = list(reversed(newest.values()))

    def offer_candle(self, instrument_id: int, minute: int, text: str) -> None:
        """Let a candle wait, in place of what was to be told of it before."""
        self._candles[instrument_id, minute] = text
        self.rouse()

    def tell(self, kind: str, /, **values: Any) -> None:
        """Send a message of some type, before any ticks."""
        self._notices.append(to_json({"type": kind} | values))
        self.rouse()

    def rouse(self) -> None:
        """Let what waits be sent."""
        if self._pending or self._candles or self._notices:
            self._idle.clear()
            self.wake.set()

    def take(self) -> str | None:
        """Return the next message to send; None: everything was sent."""
        if self._notices:
            return self._notices.popleft()
        if self._pending:
            return self._ticks()
        if self._candles:
            texts = ",".join(self._candles.values())
            self._candles.clear()
            return f'{{"type":"candles","candles":[{texts}]}}'
        self.wake.clear()
        self._idle.set()
        return None

    def _ticks(self) -> str:
        taken, self._pending = self._pending[:MESSAGE_TICKS], self._pending[MESSAGE_TICKS:]
        lost, self._lost = self._lost, 0
        self._move(taken)
        modes = self.modes
        texts = (
            tick.text(modes[tick.instrument_id]) for tick in taken if tick.instrument_id in modes
        )
        seq = to_json(self._seq)
        return f'{{"type":"ticks","seq":{seq},"lost":{lost},"ticks":[{",".join(texts)}]}}'

    def _move(self, taken: list[LiveTick]) -> None:
        """Say up to where everything is sent once these are."""
        if not self._pending:
            self._seq = dict(self._positions if self.behind is None else self.behind)
        elif self.behind is None:
            self._seq |= {tick.stream: tick.number + 1 for tick in taken}

    def seq(self) -> dict[str, int]:
        """Return up to where everything of each stream was taken."""
        if not self._pending:
            self._move([])
        return self._seq

    async def room(self, is_all: bool = False) -> None:
        """Wait until the client has taken its answers, or all that waits for it."""
        while len(self._notices) > _MOST_NOTICES or (is_all and not self._idle.is_set()):
            self.rouse()
            await self._idle.wait()
