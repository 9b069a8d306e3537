"""Listens to one broker of a stream, and waits for what it needs: a login, room in the journal."""

import contextlib
import logging
import time
from collections.abc import Callable
from threading import Event

from market_pipeline.brokers.base import Broker
from market_pipeline.errors import BrokerError, JournalFull, TokenExpired
from market_pipeline.streaming.heartbeat import State
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.outages import NOT_RUNNING
from market_pipeline.streaming.records import RecordKind
from market_pipeline.streaming.sink import JournalSink
from market_pipeline.streaming.wanted import Wanted

log = logging.getLogger(__name__)

_TOKEN_POLL_SECONDS = 2.0
_ROOM_POLL_SECONDS = 1.0
_FAILED_POLL_SECONDS = 1.0
_ABSENT_SECONDS = 15.0
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 5.0, 60.0


class Listener:
    """Runs in a thread of its own until `end` is called.

    While `full` is set the journal takes no more, and whoever stores it should delete from it what
    is stored.
    """

    def __init__(
        self,
        broker: Broker,
        journal: Journal,
        wanted: Wanted,
        feed: int = 0,
        is_last: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take what tells whether no line of the stream is left once this one has failed."""
        self._broker, self._journal, self._wanted, self._feed = broker, journal, wanted, feed
        self._is_last = is_last
        self._delay = _FIRST_DELAY_SECONDS
        self._created_at, self._is_absent = time.monotonic(), False
        self.ending = Event()
        self.full = Event()
        self._line_ends = Event()
        self.sink = JournalSink(journal, self.ending, feed)
        self._waits = State.CONNECTING, ""

    @property
    def state(self) -> tuple[State, str]:
        """What it does now, and what it waits for."""
        return (State.STREAMING, "") if self.sink.is_connected else self._waits

    @property
    def has_failed(self) -> bool:
        """Whether its broker has refused for good, and is asked again later."""
        return self.state[0] is State.FAILED

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

    def begin_late(self) -> None:
        """Note, before that, that what there was since the last end is missed: trading goes on."""
        self._note(RecordKind.DISCONNECTED, NOT_RUNNING)

    def note_absence(self) -> None:
        """Note once that nothing could be received yet, if that lasts.

        Only what was connected is noted as disconnected by the line itself.
        """
        lasts = time.monotonic() - self._created_at > _ABSENT_SECONDS
        if lasts and not self._is_absent and not self.sink.connections:
            self._is_absent = True
            state, detail = self.state
            cause = f"not connected yet: {state.value} {detail}".strip()
            with contextlib.suppress(JournalFull):  # which is a gap already
                self._journal.append(RecordKind.DISCONNECTED, cause.encode(), feed=self._feed)

    def run(self) -> None:
        """Listen.

        Where the line is lost for good but the other broker's is not, it is tried again and again:
        what one broker refuses does not cost what the other sends.

        Raises:
            BrokerError: the line is lost for good, and no other is left.
            JournalError: the journal cannot be written.
        """
        while not self.ending.is_set():
            self._line_ends.clear()
            if self.ending.is_set():  # meanwhile
                return
            self._waits = State.CONNECTING, ""
            refused, begun_at = self._broker.token_fingerprint(), time.monotonic()
            try:
                self._broker.listen(
                    lambda: self._wanted.modes(self._feed),
                    self.sink,
                    self._line_ends,
                    self._wanted.patience,
                )
            except TokenExpired as error:
                self._await_login(refused, error)
            except BrokerError as error:
                if time.monotonic() - begun_at > _LONGEST_DELAY_SECONDS:  # it has worked meanwhile
                    self._delay = _FIRST_DELAY_SECONDS
                self._await_next_try(error)
            except JournalFull as error:
                self._await_room(error)
                self._note(RecordKind.DISCONNECTED, str(error))

    def _await_login(self, refused: str, error: TokenExpired) -> None:
        log.warning("%s", error)
        self._waits = State.AWAITING_LOGIN, str(error)
        while self._broker.token_fingerprint() == refused:
            if self.ending.wait(_TOKEN_POLL_SECONDS):
                return

    def _await_next_try(self, error: BrokerError) -> None:
        """Wait longer each time, while another line is there.

        Raises:
            BrokerError: there is none any more.
        """
        self._waits = State.FAILED, f"{type(error).__name__}: {error}"
        log.error("%s; trying again in %.0f s unless no other line is left", error, self._delay)
        until = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, _LONGEST_DELAY_SECONDS)
        while not self._is_last():
            if time.monotonic() > until or self.ending.wait(_FAILED_POLL_SECONDS):
                return
        raise error

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
