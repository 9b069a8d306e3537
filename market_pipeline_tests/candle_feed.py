"""Ticks for candles: stored as a stream stores them, and remembered."""

from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import Batch, TickStore
from market_pipeline_tests.builders import Tick, tick_columns


class Feed:
    """Stores ticks as a stream does and remembers them."""

    def __init__(self, database: Database, stream: str = "test-0") -> None:
        self._store = TickStore(database.url, stream, "run")
        self._position = self._store.open().position
        self.ticks: list[Tick] = []

    def send(self, *ticks: Tick) -> None:
        columns = tick_columns(list(ticks), len(self.ticks))
        self.ticks += ticks
        self._store.commit(Batch(self._position, self._position + 1, len(self.ticks), columns))
        self._position += 1

    def send_in_batches(self, ticks: list[Tick], size: int) -> None:
        for start in range(0, len(ticks), size):
            self.send(*ticks[start : start + size])

    def close(self) -> None:
        self._store.close()
