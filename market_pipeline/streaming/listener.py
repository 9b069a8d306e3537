"""Listens to one broker of a stream, and waits for what it needs: a login, room in the journal."""

import logging
from threading import Event

from market_pipeline.brokers.base import Broker
from market_pipeline.errors import JournalFull, TokenExpired
from market_pipeline.streaming.heartbeat import State
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.records import RecordKind
from market_pipeline.streaming.sink import JournalSink
from market_pipeline.streaming.wanted import Wanted

log = logging.getLogger(__name__)

_TOKEN_POLL_SECONDS = 2.0
_ROOM_POLL_SECONDS = 1.0


class Listener:
    """Runs in a thread of its own until `end` is called.

    While `full` is set the journal takes no more, and whoever stores it should delete from it what
    is stored.
    """

    def __init__(self, broker: Broker, journal: Journal, wanted: Wanted, feed: int = 0) -> None:
        self._broker, self._journal, self._wanted, self._feed = broker, journal, wanted, feed
        self.ending = Event()
        self.full = Event()
        self._line_ends = Event()
        self.sink = JournalSink(journal, self.ending, feed)
        self._waits = State.CONNECTING, ""

    @property
    def state(self) -> tuple[State, str]:
        """What it does now, and what it waits for."""
        return (State.STREAMING, "") if self.sink.is_connected else self._waits

    def end(self) -> None:
        """Listen no more; `run` returns soon."""
        self.ending.set()
        self._line_ends.set()

    def renew(self) -> None:
        """Make the connection anew."""
        self._line_ends.set()

    def begin(self, run_id: str) -> None:
        """Note that a process begins; to be called once for all feeds before they listen."""
        self._note(RecordKind.STARTED, run_id)

    def run(self) -> None:
        """Listen.

        Raises:
            BrokerError: the line is lost for good.
            JournalError: the journal cannot be written.
        """
        while not self.ending.is_set():
            self._line_ends.clear()
            if self.ending.is_set():  # meanwhile
                return
            self._waits = State.CONNECTING, ""
            refused = self._broker.token_fingerprint()
            try:
                self._broker.listen(
                    lambda: self._wanted.modes(self._feed),
                    self.sink,
                    self._line_ends,
                    self._wanted.patience,
                )
            except TokenExpired as error:
                self._await_login(refused, error)
            except JournalFull as error:
                self._await_room(error)
                self._note(RecordKind.DISCONNECTED, str(error))

    def _await_login(self, refused: str, error: TokenExpired) -> None:
        log.warning("%s", error)
        self._waits = State.AWAITING_LOGIN, str(error)
        while self._broker.token_fingerprint() == refused:
            if self.ending.wait(_TOKEN_POLL_SECONDS):
                return

    def _note(self, kind: RecordKind, text: str) -> None:
        """Write a record that must not be missing, however long that takes."""
        while not self.ending.is_set():
            try:
                self._journal.append(kind, text.encode(), feed=self._feed)
                return
            except JournalFull as error:
                self._await_room(error)

    def _await_room(self, error: JournalFull) -> None:
        """Wait until the journal can grow again.

        Nothing is received until then: that is a gap, with this error as its cause.
        """
        log.error("%s", error)
        self._waits = State.JOURNAL_FULL, str(error)
        self.full.set()
        while not self._journal.has_room and not self.ending.wait(_ROOM_POLL_SECONDS):
            pass
        self.full.clear()
