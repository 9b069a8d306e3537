"""What one client wants and what is on its way to it: bounded, however slow it is."""

import asyncio
from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any

from market_pipeline.api.live.ticks import LiveTick, to_json
from market_pipeline.market import Mode

MOST_INSTRUMENTS = 5_000
"""That one connection may subscribe, and of which it may have candles."""

MOST_PENDING = 10_000
"""Ticks that wait for one client. Above that only the newest of each instrument is kept."""

MOST_CANDLES = 2 * MOST_INSTRUMENTS
"""That wait for one client. Above that only the newest minute of each instrument is kept."""

MESSAGE_TICKS = 1_000
"""In one message; of candles as many."""

_MOST_NOTICES = 100


class Subscriber:
    """One client. Everything but `room` returns at once, so no client waits for another."""

    def __init__(self, positions: Mapping[str, int]) -> None:
        """Take where each stream is: a mapping that the hub keeps up to date."""
        self._positions = positions
        self._seq = dict(positions)
        self._pending: list[LiveTick] = []
        self._candles: dict[tuple[int, int], str] = {}
        self._notices: deque[str] = deque()
        self._lost = self._lost_candles = 0
        self._is_turn_of_candles = False
        self._has_ticks = False
        self._taken = asyncio.Event()
        self.wake = asyncio.Event()
        self.modes: dict[int, Mode] = {}
        self.candles: set[int] = set()
        self.behind: dict[str, int] | None = None
        """Of a client that has come back: up to where it has ticks, until what it subscribes first
        has come as far as the others; see resume.py."""

    def offer(self, tick: LiveTick) -> None:
        """Let a tick wait for its turn, the last of those of its stream."""
        self._pending.append(tick)
        self._has_ticks = True
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
        if len(self._candles) > MOST_CANDLES:
            self._leave_out_candles()
        self.rouse()

    def _leave_out_candles(self) -> None:
        """Keep the newest minute of each instrument that is still wanted."""
        wanted = {key: text for key, text in self._candles.items() if key[0] in self.candles}
        newest: dict[int, int] = {}
        for instrument_id, minute in wanted:
            newest[instrument_id] = max(minute, newest.get(instrument_id, minute))
        self._candles = {key: text for key, text in wanted.items() if newest[key[0]] == key[1]}
        self._lost_candles += len(wanted) - len(self._candles)

    def tell(self, kind: str, /, **values: Any) -> None:
        """Send a message of some type, before any ticks."""
        self._notices.append(to_json({"type": kind} | values))
        self.rouse()

    def rouse(self) -> None:
        """Let what waits be sent."""
        if self._pending or self._candles or self._notices:
            self.wake.set()

    def take(self) -> str | None:
        """Return the next message to send; None: everything was sent.

        Ticks and candles take turns: neither waits until there is none of the other.
        """
        self._has_ticks = bool(self._pending)  # the messages before were sent
        self._taken.set()
        if self._notices:
            return self._notices.popleft()
        if self._candles and (self._is_turn_of_candles or not self._pending):
            self._is_turn_of_candles = False
            return self._some_candles()
        if self._pending:
            self._is_turn_of_candles = True
            return self._ticks()
        self.wake.clear()
        return None

    def _some_candles(self) -> str:
        keys = list(islice(self._candles, MESSAGE_TICKS))
        texts = ",".join(self._candles.pop(key) for key in keys)
        lost, self._lost_candles = self._lost_candles, 0
        return f'{{"type":"candles","lost":{lost},"candles":[{texts}]}}'

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
        """Wait until the client has taken most of its answers, or also all ticks that wait for it;
        only one may."""
        while len(self._notices) > _MOST_NOTICES or (is_all and self._has_ticks):
            self._taken.clear()
            self.wake.set()
            await self._taken.wait()
