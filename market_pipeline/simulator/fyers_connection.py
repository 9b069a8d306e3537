"""One client of Fyers' data socket: its topics, and what it knows of each."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from market_pipeline.brokers import fyers_wire
from market_pipeline.market import PACKET_COLUMNS, Columns, Mode
from market_pipeline.simulator import fyers_values
from market_pipeline.simulator.connection import Connection, Frame
from market_pipeline.simulator.dispatch import Dispatch
from market_pipeline.simulator.fyers_symbols import DEPTH, FEED, Symbol, Symbols
from market_pipeline.simulator.noise import Int

_ITEMS_A_FRAME = 400  # the envelope's length has sixteen bits
_ENVELOPE_BYTES = 9
_MULTIPLIER = 1


@dataclass
class _Topic:
    """A subscription: the number that stands for it, and the values the client was sent."""

    number: int
    name: str
    channel: int
    sent: list[int] | None = None  # None until a snapshot

    def item(self, values: list[int], symbol: Symbol, is_lite: bool) -> bytes | None:
        """Write what is new to the client, None if nothing is."""
        sent = self.sent
        if sent is None:
            self.sent = values
            market = symbol.market
            names = (market.name, symbol.exchange_token, symbol.short)
            return fyers_wire.snapshot_item(
                self.number, self.name, values, _MULTIPLIER, market.precision, *names
            )
        if is_lite:
            if sent[0] == values[0]:
                return None
            self.sent = [values[0], *sent[1:]]
            return fyers_wire.lite_item(self.number, values[0])
        if sent == values:
            return None
        self.sent = values
        changed = [new if new != old else None for old, new in zip(sent, values, strict=True)]
        return fyers_wire.update_item(self.number, changed)


class FyersConnection(Connection):
    """Sends a snapshot of each topic, then what changes.

    What a client makes of a change depends on all that it has read before. So the ledger's packets
    are those of a decoder that reads the same bytes as the client.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        request: web.Request,
        muted: NDArray[np.bool_],
        dispatch: Dispatch | None,
        symbols: Symbols,
    ) -> None:
        super().__init__(socket, request, muted, dispatch)
        self.is_deaf = "Authorization" in request.headers  # nothing such a client asks is answered
        self.is_logged_in = False
        self.is_lite = False
        self.paused: set[int] = set()  # channels
        self.last_ping = self.last_sent
        self.acknowledged = 0  # the number of the last frame that the client says it has
        self._symbols = symbols
        self._topics: dict[tuple[int, int], _Topic] = {}  # by row, and FEED or DEPTH
        self._numbers = 0
        self._frames = 0
        self._reader = fyers_wire.Decoder()

    def fits(self, topics: dict[tuple[int, int], str], most: int) -> bool:
        """Tell whether so many topics, by row and kind, may be added."""
        return len(self._topics.keys() | topics.keys()) <= most

    def subscribe(self, topics: dict[tuple[int, int], str], channel: int) -> None:
        """Add topics, or begin them anew: each is due a snapshot."""
        for key, name in topics.items():
            known = self._topics.get(key)
            if known is None:
                self._numbers += 1
            number = known.number if known else self._numbers
            self._topics[key] = _Topic(number, name, channel)
            self.modes[key[0]] |= key[1]

    def unsubscribe(self, topics: dict[tuple[int, int], str]) -> None:
        """Take topics away."""
        for row, kind in topics:
            self._topics.pop((row, kind), None)
            self.modes[row] &= ~kind

    def pause(self, channel: int, on: bool) -> None:
        """Send nothing of the topics of a channel, or go on."""
        (self.paused.add if on else self.paused.discard)(channel)

    async def send_packets(self, rows: Int, packets: Columns) -> None:
        """Send what is new of the topics that are subscribed to, prices before books."""
        for kind in (FEED, DEPTH):
            chosen = np.flatnonzero((self.modes[rows] & kind > 0) & ~self._muted[rows])
            if chosen.size:
                part = {name: values[chosen] for name, values in packets.items()}
                await self._send_kind(kind, rows[chosen], part)

    async def _send_kind(self, kind: int, rows: Int, packets: Columns) -> None:
        items: list[bytes] = []
        places: list[int] = []
        is_lite = self.is_lite and kind == FEED
        values = self._values(kind, rows, packets)
        for place, row in enumerate(rows.tolist()):
            topic = self._topics[row, kind]
            if topic.channel not in self.paused:
                item = topic.item(values[place], self._symbols.rows[row], is_lite)
                if item is not None:
                    items.append(item)
                    places.append(place)
        own = packets | {"token": self._symbols.token[rows]}
        for start in range(0, len(items), _ITEMS_A_FRAME):
            chosen = slice(start, start + _ITEMS_A_FRAME)
            carried = places[chosen] if kind == FEED else []
            columns = {name: own[name][carried] for name in PACKET_COLUMNS}
            await self._disturb_or_send(self._frame(items[chosen], columns))

    def _values(self, kind: int, rows: Int, packets: Columns) -> list[list[int]]:
        scale = self._symbols.scale[rows]
        if kind == DEPTH:
            return fyers_values.depth(packets, scale).tolist()  # type: ignore[no-any-return]
        values: list[list[int]] = fyers_values.prices(packets, scale).tolist()
        indices = fyers_values.index_values(packets, scale).tolist()
        for place in np.flatnonzero(self._symbols.is_index[rows]).tolist():
            values[place] = indices[place]
        return values

    def _frame(self, items: list[bytes], packets: Columns) -> Frame:
        self._frames += 1
        sizes = np.cumsum([_ENVELOPE_BYTES, *map(len, items)])
        payload = fyers_wire.data_frame(items, self._frames)
        mode = Mode.LTP if self.is_lite else Mode.FULL
        size = len(packets["token"])
        return Frame(payload, packets, mode, size, tuple(sizes.tolist()))

    def _read(self, payload: bytes) -> Columns:
        return self._reader.decode([payload]).packets

    def _record_of(self, frame: Frame) -> tuple[Columns, NDArray[np.bool_]]:
        if not frame.whole:
            return frame.packets, np.ones(frame.size, bool)
        read = self._read(frame.payload)
        unread = Counter(frame.packets["token"].tolist())
        unread.subtract(read["token"].tolist())
        lost = _last_of_each(frame.packets["token"], unread)
        columns = {name: np.concatenate((read[name], frame.packets[name][lost])) for name in read}
        return columns, np.arange(len(columns["token"])) >= len(read["token"])


def _last_of_each(tokens: Int, counts: Counter[int]) -> list[int]:
    """Return the places of so many of each token, the last ones."""
    chosen = []
    for place, token in reversed(list(enumerate(tokens.tolist()))):
        if counts[token] > 0:
            counts[token] -= 1
            chosen.append(place)
    return chosen[::-1]
