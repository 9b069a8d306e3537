"""Turns at a broker: what its requests count against, where that is kept, and the waiting.

When it is whose turn is decided in pacing.py, for all processes together.
"""

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from market_pipeline.brokers.pacing import NAP_SECONDS, BudgetState, Caller, decide, refused
from market_pipeline.brokers.pacing import Budget as Budget
from market_pipeline.brokers.pacing import Priority as Priority
from market_pipeline.brokers.pacing import Window as Window
from market_pipeline.errors import RateLimited, WaitInterrupted

_LONGEST_WAIT_SECONDS = 300.0
_STOP_SECONDS = 0.1  # between two looks at `stop`


class RequestKind(StrEnum):
    """What a request is for. A broker's `budgets` say which budget each kind draws from."""

    HISTORY = "history"
    QUOTE = "quote"
    OTHER = "other"


BudgetKey = tuple[str, str, str]
"""Of which broker, account and budget a state is."""

Change = Callable[[str, float], tuple[str, float]]
"""Makes of a state and the time the new state, and a number to return beside it."""


class BudgetStore(Protocol):
    """Where the states of budgets are kept."""

    def update(self, key: BudgetKey, change: Change) -> float:
        """Replace a state, and return the number that `change` returns beside the new one.

        `change` is given the state, "{}" before the first, and the time in seconds since 1970.
        Nobody else reads or replaces that state meanwhile.
        """


@dataclass
class LocalBudgets:
    """The budgets of one process, for commands that need no database."""

    _states: dict[BudgetKey, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self, key: BudgetKey, change: Change) -> float:
        with self._lock:
            self._states[key], result = change(self._states.get(key, "{}"), time.time())
        return result


def fingerprint(account: str) -> str:
    """Name an account without showing its key."""
    return hashlib.sha256(account.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Limiter:
    """One account's turns at a broker, for work of one priority. Safe to share between threads.

    `account` is a fingerprint. Waiting ends when `stop` says so, which it is asked ten times a
    second.
    """

    store: BudgetStore
    broker: str
    account: str
    priority: Priority = Priority.URGENT
    stop: Callable[[], bool] = bool

    @contextmanager
    def request(self, budget: Budget) -> Iterator[None]:
        """Wait for a turn to make one request, which is the body of the `with` statement.

        Raises:
            RateLimited: it would be minutes until the next turn; also what the body raises, after
                everybody who shares the budget has been told.
            WaitInterrupted: `stop` ended the waiting.
            DatabaseError: the budgets are kept in a database which does not answer.
        """
        caller = Caller(uuid.uuid4().hex[:12], self.priority)
        while wait := self._ask(budget, caller):
            if wait > _LONGEST_WAIT_SECONDS:
                raise RateLimited(_too_long(self.broker, budget, wait), retry_after=wait)
            self._sleep(min(wait, NAP_SECONDS))
        try:
            yield
        except RateLimited as error:
            self._tell(budget, error.retry_after)
            raise

    def _ask(self, budget: Budget, caller: Caller) -> float:
        def change(text: str, now: float) -> tuple[str, float]:
            state, wait = decide(BudgetState.read(text), budget, caller, now)
            return state.write(), wait

        return self.store.update((self.broker, self.account, budget.name), change)

    def _tell(self, budget: Budget, retry_after: float | None) -> None:
        def change(text: str, now: float) -> tuple[str, float]:
            return refused(BudgetState.read(text), retry_after, now).write(), 0.0

        self.store.update((self.broker, self.account, budget.name), change)

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.stop():
                raise WaitInterrupted
            time.sleep(min(left, _STOP_SECONDS))


def _too_long(broker: str, budget: Budget, wait: float) -> str:
    return (
        f"{broker} allows no request of the budget {budget.name} for another {wait:,.0f} seconds: "
        "the day's quota is used up, or the broker asked to wait; try again then"
    )
