"""All the listeners of a stream, one to each broker that sends it."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from market_pipeline.brokers.base import Broker
from market_pipeline.streaming.heartbeat import FeedReport, State
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.listener import Listener
from market_pipeline.streaming.wanted import Wanted

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2


class Listening:
    """Listens to some brokers, the preferred one first, until `end` is called."""

    def __init__(
        self, feeds: Sequence[Broker], names: Sequence[str], journal: Journal, wanted: Wanted
    ) -> None:
        self._names = names
        self._listeners = [
            Listener(broker, journal, wanted, feed, self._all_have_failed)
            for feed, broker in enumerate(feeds)
        ]
        self._renewed_for = [0 for _ in feeds]
        self._begun = Event()
        self.ending = self._listeners[0].ending

    def start(
        self, pool: ThreadPoolExecutor, run_id: str, is_late: bool = False
    ) -> list[Future[None]]:
        """Listen, in a thread for each broker; late is when there is trading already."""
        first, *others = self._listeners
        return [
            pool.submit(self._begin, first, run_id, is_late),
            *(pool.submit(self._follow, listener) for listener in others),
        ]

    def _begin(self, listener: Listener, run_id: str, is_late: bool) -> None:
        for each in self._listeners if is_late else ():
            each.begin_late()
        listener.begin(run_id)
        self._begun.set()
        listener.run()

    def _follow(self, listener: Listener) -> None:
        while not self._begun.wait(_POLL_SECONDS):
            if listener.ending.is_set():
                return
        listener.run()

    def end(self) -> None:
        """Listen no more; the threads end soon."""
        for listener in self._listeners:
            listener.end()

    def note_absence(self) -> None:
        """Note in the journal which brokers are not connected yet though there is trading."""
        for listener in self._listeners:
            listener.note_absence()

    def renew_blind(self, blind_since: Sequence[int | None]) -> None:
        """Make connections anew, and with it get all values, where damage has cost them."""
        for place, since in enumerate(blind_since):
            listener = self._listeners[place]
            newest = max(listener.sink.connected_at, self._renewed_for[place])
            if since is None or since <= newest:
                continue
            self._renewed_for[place] = since
            log.error("%s: bytes of the journal were spoilt; connecting anew", self._names[place])
            listener.renew()

    def _all_have_failed(self) -> bool:
        """Tell whether every broker has refused for good."""
        return all(listener.has_failed for listener in self._listeners)

    @property
    def is_connected(self) -> bool:
        return any(listener.sink.is_connected for listener in self._listeners)

    @property
    def is_full(self) -> bool:
        """Whether the journal takes no more, so that what is stored must be deleted from it."""
        return any(listener.full.is_set() for listener in self._listeners)

    @property
    def state(self) -> tuple[State, str]:
        """What the stream does: it streams while one of its brokers does."""
        states = [listener.state for listener in self._listeners]
        if len(states) == 1:
            return states[0]
        waiting = [
            f"{name} {state.value} {detail}".strip()
            for name, (state, detail) in zip(self._names, states, strict=True)
            if state is not State.STREAMING
        ]
        found = [state for state, _ in states]
        if State.JOURNAL_FULL in found:
            return State.JOURNAL_FULL, "; ".join(waiting)
        # One that has failed is tried again: it is not the stream that has.
        trying = [state for state in found if state is not State.FAILED] or found
        return (State.STREAMING if State.STREAMING in found else trying[0]), "; ".join(waiting)

    def reports(self) -> list[FeedReport]:
        return [
            FeedReport(
                broker=name,
                state=listener.state[0].value,
                detail=listener.state[1],
                frames=listener.sink.frames,
                reconnects=max(listener.sink.connections - 1, 0),
            )
            for name, listener in zip(self._names, self._listeners, strict=True)
        ]
