"""Reads minutes out of the database for the candle book: where to begin, and what changed late."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from market_pipeline.api.live.candles import CandleBook, LiveCandle
from market_pipeline.api.live.ticks import at
from market_pipeline.errors import DatabaseError
from market_pipeline.storage.reading import Reader, Row

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_AT_ONCE = 500

Wanted = tuple[int, int | None]
"""An instrument, and a minute in microseconds since 1970; None: that of its newest tick."""


class CandleReader:
    """Apart from the hub, so that a slow query delays no tick."""

    def __init__(
        self,
        reader: Reader,
        book: CandleBook,
        tell: Callable[[int, LiveCandle, bool], None],
        tell_changes: Callable[[], None],
    ) -> None:
        """Take what tells clients of a candle, and of what has changed in the book."""
        self._reader, self._book = reader, book
        self._tell, self._tell_changes = tell, tell_changes
        self._wanted: dict[Wanted, None] = {}
        self._wake = asyncio.Event()

    def start(self, instrument_ids: Iterable[int]) -> None:
        """Read where instruments are that the book has begun with."""
        self._ask((instrument_id, None) for instrument_id in instrument_ids)

    def read_again(self, minutes: Iterable[tuple[int, int]]) -> None:
        """Read and tell closed minutes that late ticks have changed."""
        self._ask(minutes)

    def _ask(self, wanted: Iterable[Wanted]) -> None:
        self._wanted |= dict.fromkeys(wanted)
        if self._wanted:
            self._wake.set()

    async def run(self) -> None:
        """Go on for ever; what cannot be read now is read later."""
        while True:
            await self._wake.wait()
            wanted = list(self._wanted)[:_AT_ONCE]
            for each in wanted:
                del self._wanted[each]
            awaited = {id: self._book.awaited(id) for id, minute in wanted if minute is None}
            try:
                self._accept(awaited, await self._read(wanted))
            except DatabaseError as error:
                log.warning("live candles wait for the database: %s", error)
                self._ask(wanted)
                await asyncio.sleep(_RETRY_SECONDS)
            if not self._wanted:
                self._wake.clear()

    async def _read(self, wanted: Sequence[Wanted]) -> list[Row]:
        return await self._reader.rows(
            "live_candles",
            instrument_ids=[instrument_id for instrument_id, _ in wanted],
            minutes=[None if minute is None else at(minute) for _, minute in wanted],
        )

    def _accept(self, awaited: Mapping[int, int | None], rows: Iterable[Row]) -> None:
        """Tell closed minutes, and go on from where instruments are that were awaited before the
        rows were read; those that are awaited since are read again."""
        for row in rows:
            instrument_id, positions = row.pop("instrument_id"), row.pop("positions")
            is_newest, candle = row.pop("is_newest"), LiveCandle(**row)
            generation = self._book.awaited(instrument_id)
            if not is_newest:
                self._tell(instrument_id, candle, True)
            elif generation is not None and generation == awaited[instrument_id]:
                started = self._book.start(instrument_id, candle, positions)
                self._tell(instrument_id, started, False)
            elif generation is not None:
                self.start([instrument_id])
        self._tell_changes()  # which ticks have made that came while this was read
