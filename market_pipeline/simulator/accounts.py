"""Logins and request budgets of the simulated broker."""

import hashlib
import math
import secrets
import time
from collections import Counter, defaultdict, deque
from typing import Any


class Refused(Exception):
    """A request was refused; becomes Kite's JSON error."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.headers: dict[str, str] = {}


def wrong_token() -> Refused:
    """Make the answer to a missing, wrong or expired access token."""
    return Refused(403, "TokenException", "Incorrect `api_key` or `access_token`.")


class Accounts:
    """One application with one user. All logins of a generation share one access token."""

    def __init__(self, api_key: str, api_secret: str) -> None:
        self.api_key = api_key
        self._api_secret = api_secret
        self._request_tokens: set[str] = set()
        self._generation = 0

    @property
    def access_token(self) -> str:
        """The token that is valid now; the same after a restart, as Kite's is within a day."""
        return self._digest(self.api_key, self._api_secret, str(self._generation))[:32]

    def new_request_token(self, api_key: str) -> str:
        """Log the user in, as Kite's login page would."""
        if api_key != self.api_key:
            raise Refused(400, "InputException", "Invalid `api_key`.")
        token = secrets.token_hex(16)
        self._request_tokens.add(token)
        return token

    def exchange(self, api_key: str, request_token: str, checksum: str) -> str:
        """Give the access token for a request token, which can be used once."""
        if request_token not in self._request_tokens:
            raise Refused(403, "TokenException", "Token is invalid or has expired.")
        if checksum != self._digest(self.api_key, request_token, self._api_secret):
            raise Refused(403, "TokenException", "Invalid `checksum`.")
        self._request_tokens.remove(request_token)
        return self.access_token

    def is_valid(self, api_key: str, access_token: str) -> bool:
        return api_key == self.api_key and access_token == self.access_token

    def expire_tokens(self) -> None:
        """Invalidate the access token, as happens every morning. A new login gives another."""
        self._generation += 1

    @staticmethod
    def _digest(*parts: str) -> str:
        return hashlib.sha256("".join(parts).encode()).hexdigest()


class Budgets:
    """Requests by api_key and kind: at most so many in any second, as strict as a broker can be.

    Those that are refused do not count. Keeps a record of all requests.
    """

    LIMITS = {"quote": 1, "historical": 3, "other": 10}

    def __init__(self, enforced: bool) -> None:
        self._enforced = enforced
        self._recent: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._throttled_until = 0.0
        self.requests = Requests()

    def spend(self, api_key: str, kind: str) -> None:
        """Count a request.

        Raises:
            Refused: the budget of this second is used up, or everything is refused for a while.
        """
        now = time.monotonic()
        recent = self._recent[api_key, kind]
        while recent and recent[0] <= now - 1:
            recent.popleft()
        throttled = self._throttled_until - now
        if throttled > 0 or (self._enforced and len(recent) >= self.LIMITS[kind]):
            self.requests.refused[kind] += 1
            raise _too_many(throttled)
        recent.append(now)
        self.requests.accept(kind, now)

    def throttle(self, seconds: float) -> None:
        """Refuse everything for a while, and say for how long."""
        self._throttled_until = time.monotonic() + seconds


def _too_many(throttled: float) -> Refused:
    error = Refused(429, "NetworkException", "Too many requests")
    if throttled > 0:
        error.headers["Retry-After"] = str(math.ceil(throttled))
    return error


class Requests:
    """What was asked, since the start or the last `clear`."""

    _MOST_STAMPS = 10_000

    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.history: Counter[tuple[int, str, str, str]] = Counter()
        """Answers that held candles or said that there are none, by token, interval, from, to."""
        self._stamps: dict[str, deque[float]] = {}

    def accept(self, kind: str, at: float) -> None:
        self.accepted[kind] += 1
        self._stamps.setdefault(kind, deque(maxlen=self._MOST_STAMPS)).append(at)

    def stamps(self, kind: str) -> list[float]:
        """Return when requests were accepted, in seconds of a monotonic clock."""
        return list(self._stamps.get(kind, ()))

    def clear(self) -> None:
        for counts in (self.accepted, self.refused, self.history, self._stamps):
            counts.clear()

    def status(self) -> dict[str, Any]:
        """Return the counts, and the requests for history, the most frequent first."""
        names = ("token", "interval", "from", "to")
        history = self.history.most_common()
        return {
            "accepted": dict(self.accepted),
            "refused": dict(self.refused),
            "history": [dict(zip(names, key, strict=True), count=n) for key, n in history],
        }
