"""Where a broker puts what arrives: straight into the journal."""

from threading import Event

from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.records import RecordKind


class JournalSink:
    """Puts what arrives of one feed into the journal."""

    def __init__(self, journal: Journal, stopping: Event, feed: int = 0) -> None:
        self._journal, self._stopping, self._feed = journal, stopping, feed
        self.frames = 0
        self.connections = 0
        self.is_connected = False
        self.connected_at = 0  # in the journal, the last time

    def connected(self) -> None:
        self.connected_at = self._append(RecordKind.CONNECTED, b"")
        self.connections += 1
        self.is_connected = True

    def frame(self, payload: bytes) -> None:
        self._append(RecordKind.FRAME, payload)
        self.frames += 1

    def text(self, message: str) -> None:
        self._append(RecordKind.TEXT, message.encode())

    def disconnected(self, cause: str) -> None:
        self.is_connected = False
        if not self._stopping.is_set():  # an orderly end has a record of its own
            self._append(RecordKind.DISCONNECTED, cause.encode())

    def _append(self, kind: RecordKind, payload: bytes) -> int:
        return self._journal.append(kind, payload, feed=self._feed)
