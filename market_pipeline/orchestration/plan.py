"""Which streaming runs to start and to end. Pure: told what is wanted, what runs and the time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple


class Phase(Enum):
    QUEUED = auto()
    STARTING = auto()
    RUNNING = auto()
    STOPPING = auto()  # still holds its connection to the broker
    ENDED = auto()


@dataclass(frozen=True)
class StreamRun:
    """One Dagster run of a stream. Times are epoch seconds, ages are seconds."""

    run_id: str
    stream: str
    phase: Phase
    created_at: float
    ended_at: float | None = None
    lived: float = 0.0
    heartbeat_age: float | None = None  # None: this run has never written one
    process_is_gone: bool = False  # surely so, because it ran on this machine


@dataclass(frozen=True)
class Start:
    """A run to start. `after` is its predecessor, which makes the request unique for ever."""

    stream: str
    after: str | None


@dataclass(frozen=True)
class End:
    run_id: str
    reason: str
    worker_is_gone: bool = False


class Attempt(NamedTuple):
    """The last start of a stream: what was stored of it by then, and how often it was in vain."""

    stored: int
    in_vain: int


@dataclass(frozen=True)
class Policy:
    """Seconds throughout."""

    # By number of starts in a row after which nothing was stored: what streams and is killed is
    # back at once, however often, and what cannot stream tries more and more rarely.
    delays: tuple[float, ...] = (0, 0, 5, 15, 30, 60, 120, 300)
    stale_after: float = 45
    first_heartbeat_within: float = 60
    starts_within: float = 180
    # A worker that could not reach the database was silent too; let it write once it can.
    silence_is_sure_after: float = 30
    # The run ends itself, and in good order: this is for one that does not.
    unwanted_may_stay: float = 120


_POLICY = Policy()


@dataclass(frozen=True)
class Plan:
    start: tuple[Start, ...]
    end: tuple[End, ...]
    waiting: Mapping[str, float]  # stream -> seconds until it may start again
    noticed: Mapping[str, float]  # run -> since when something is wrong with it
    attempts: Mapping[str, Attempt]  # stream -> its last start, this plan's included


@dataclass(frozen=True)
class Memory:
    """What earlier plans have left behind, and how much is stored of each stream now."""

    noticed: Mapping[str, float] = field(default_factory=dict)
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    stored: Mapping[str, int] = field(default_factory=dict)

    def in_vain(self, stream: str) -> int:
        last = self.attempts.get(stream)
        return 0 if last is None or self.stored.get(stream, 0) > last.stored else last.in_vain


@dataclass(frozen=True)
class _Complaint:
    reason: str
    patience: float
    worker_is_gone: bool = False


def plan(
    wanted: Collection[str],
    runs: Iterable[StreamRun],
    memory: Memory,
    now: float,
    policy: Policy = _POLICY,
) -> Plan:
    """Compare what is wanted with what runs."""
    by_stream: dict[str, list[StreamRun]] = {name: [] for name in wanted}
    for run in sorted(runs, key=lambda run: run.created_at):
        by_stream.setdefault(run.stream, []).append(run)
    complaints = {
        run_id: complaint
        for name, history in by_stream.items()
        for run_id, complaint in _complaints(history, name in wanted, now, policy)
    }
    since = {run_id: memory.noticed.get(run_id, now) for run_id in complaints}
    delays = {
        name: _delay(by_stream[name], memory.in_vain(name), now, policy)
        for name in wanted
        if all(run.phase is Phase.ENDED for run in by_stream[name])
    }
    started = {
        name: Attempt(memory.stored.get(name, 0), memory.in_vain(name) + 1)
        for name, delay in delays.items()
        if delay <= 0
    }
    return Plan(
        start=tuple(
            Start(name, by_stream[name][-1].run_id if by_stream[name] else None) for name in started
        ),
        end=tuple(
            End(run_id, complaint.reason, complaint.worker_is_gone)
            for run_id, complaint in complaints.items()
            if now - since[run_id] >= complaint.patience
        ),
        waiting={name: delay for name, delay in delays.items() if delay > 0},
        noticed=since,
        attempts={**memory.attempts, **started},
    )


def _complaints(
    history: Sequence[StreamRun], is_wanted: bool, now: float, policy: Policy
) -> Iterable[tuple[str, _Complaint]]:
    keeper_seen = False
    for run in history:
        if run.phase in (Phase.STOPPING, Phase.ENDED):
            continue
        complaint = _gone(run, now, policy)
        if complaint is None and not is_wanted:
            complaint = _Complaint("not wanted any more", policy.unwanted_may_stay)
        if complaint is None and keeper_seen:
            complaint = _Complaint("an older run has this stream", 0)
        if complaint is not None:
            yield run.run_id, complaint
        keeper_seen = True


def _gone(run: StreamRun, now: float, policy: Policy) -> _Complaint | None:
    """Nothing else notices a worker that died together with Dagster's code server."""
    if run.phase is Phase.STARTING and now - run.created_at > policy.starts_within:
        return _Complaint("it never started", 0, worker_is_gone=True)
    if run.phase is not Phase.RUNNING:
        return None
    if run.process_is_gone:
        return _Complaint("its process does not exist any more", 0, worker_is_gone=True)
    if run.heartbeat_age is None:
        silent, limit = run.lived, policy.first_heartbeat_within
    else:
        silent, limit = run.heartbeat_age, policy.stale_after
    if silent <= limit:
        return None
    return _Complaint(f"no heartbeat for {silent:.0f} s", policy.silence_is_sure_after, True)


def _delay(history: Sequence[StreamRun], in_vain: int, now: float, policy: Policy) -> float:
    """Return how long a stream must wait until it may start."""
    if not history or history[-1].ended_at is None:
        return 0.0
    # It did not end in the future: then the clock was set back, which must not become a wait.
    ended_at = min(history[-1].ended_at, now)
    return ended_at + policy.delays[min(in_vain, len(policy.delays) - 1)] - now
