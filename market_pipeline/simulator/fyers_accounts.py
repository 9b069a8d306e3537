"""Logins and request budgets of the simulated Fyers."""

import base64
import binascii
import hashlib
import hmac
import json
import math
import secrets
import time
from collections import deque
from datetime import datetime, timedelta
from typing import Any

from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator.accounts import Requests

_AN_HOUR = 3600
_EXPIRY_HOUR = 6  # in India, as `exp` of the token in the vendor's documentation


class Refused(Exception):
    """A request was refused; becomes Fyers' JSON error, whose codes are negative numbers."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers: dict[str, str] = {}


class Accounts:
    """One application with one user. Logins of a generation share the key of the data socket."""

    def __init__(self, app_id: str, secret: str) -> None:
        self.app_id = app_id
        self._secret = secret
        self._codes: set[str] = set()
        self._generation = 0

    def new_code(self, app_id: str) -> str:
        """Log the user in, as Fyers' login page would."""
        if app_id != self.app_id:
            raise Refused(400, -352, "Invalid app id")
        code = secrets.token_hex(16)
        self._codes.add(code)
        return code

    def exchange(self, code: str, app_id_hash: str) -> str:
        """Give an access token for a code, which can be used once."""
        if app_id_hash != hashlib.sha256(f"{self.app_id}:{self._secret}".encode()).hexdigest():
            raise Refused(400, -50, "invalid appIdHash")
        if code not in self._codes:
            raise Refused(400, -50, "invalid auth code")
        self._codes.remove(code)
        return self.access_token

    @property
    def access_token(self) -> str:
        """A token that is valid now, a JWT; those given before a restart remain valid."""
        now = int(time.time())
        claims = {
            "iss": "api.fyers.in",
            "iat": now,
            "nbf": now,
            "exp": _expiry(now),
            "sub": "access_token",
            "fy_id": "SIM001",
            "hsm_key": self.hsm_key,
        }
        content = f"{_encoded({'typ': 'JWT', 'alg': 'HS256'})}.{_encoded(claims)}"
        return f"{content}.{self._signature(content)}"

    @property
    def hsm_key(self) -> str:
        """What the data socket takes as proof of a login."""
        return hashlib.sha256(
            f"{self.app_id}:{self._secret}:{self._generation}".encode()
        ).hexdigest()

    def check(self, access_token: str) -> None:
        """Let an access token pass.

        Raises:
            Refused: there is none, it is not one of ours, or it has expired.
        """
        if not access_token:
            raise Refused(401, -16, "Could not authenticate the user")
        content, _, signature = access_token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(content).encode()):
            raise Refused(401, -15, "Please provide valid token")
        claims = _decoded(content.partition(".")[2])
        if claims["exp"] <= time.time() or claims["hsm_key"] != self.hsm_key:
            raise Refused(401, -8, "Your token has expired. Please generate a token")

    def expire_tokens(self) -> None:
        """Invalidate all access tokens. A new login gives another."""
        self._generation += 1

    def _signature(self, content: str) -> str:
        digest = hmac.digest(self._secret.encode(), content.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _expiry(now: int) -> int:
    """Return the next six o'clock in India; the one after it in the last hour before."""
    soonest = datetime.fromtimestamp(now + _AN_HOUR, EXCHANGE_TZ)
    expiry = soonest.replace(hour=_EXPIRY_HOUR, minute=0, second=0)
    return int((expiry if expiry > soonest else expiry + timedelta(days=1)).timestamp())


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _decoded(part: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "==="))
    except (binascii.Error, ValueError) as error:
        raise Refused(401, -15, "Please provide valid token") from error
    return claims


class Budgets:
    """Requests of all kinds together: so many in any second, any minute and a day in India.

    As strict as a broker can be: every request that the minute's limit refuses is a breach, and
    the fourth breach of a day blocks the user until midnight. Those that are refused do not count
    against the limits.
    """

    A_SECOND, A_MINUTE, A_DAY = 10, 200, 100_000
    MOST_BREACHES = 3

    def __init__(self, enforced: bool) -> None:
        self._enforced = enforced
        self._recent: deque[float] = deque()  # of the last minute
        self._day = ""
        self._today = 0
        self._breaches = 0
        self._throttled_until = 0.0
        self.requests = Requests()

    def spend(self, kind: str) -> None:
        """Count a request.

        Raises:
            Refused: a limit is reached, the user is blocked, or everything is refused for a while.
        """
        now = time.time()
        self._turn_page(now)
        wait = self._throttled_until - now
        if self._enforced:
            wait = max(wait, self._wait(now))
        if wait > 0:
            self.requests.refused[kind] += 1
            error = Refused(429, -429, "API rate limit exceeded")
            error.headers["Retry-After"] = str(math.ceil(wait))
            raise error
        self._recent.append(now)
        self._today += 1
        self.requests.accept(kind, time.monotonic())

    def throttle(self, seconds: float) -> None:
        """Refuse everything for a while, and say for how long."""
        self._throttled_until = time.time() + seconds

    def _turn_page(self, now: float) -> None:
        day = f"{datetime.fromtimestamp(now, EXCHANGE_TZ):%Y-%m-%d}"
        if day != self._day:
            self._day, self._today, self._breaches = day, 0, 0
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()

    def _wait(self, now: float) -> float:
        """Return how long the request had to wait, 0 if it need not."""
        if self._breaches > self.MOST_BREACHES or self._today >= self.A_DAY:
            return _until_midnight(now)
        if len(self._recent) >= self.A_MINUTE:
            self._breaches += 1
            return self._recent[0] + 60 - now
        if len(self._recent) >= self.A_SECOND:
            return max(self._recent[-self.A_SECOND] + 1 - now, 0.0)
        return 0.0


def _until_midnight(now: float) -> float:
    today = datetime.fromtimestamp(now, EXCHANGE_TZ).replace(hour=0, minute=0, second=0)
    return (today + timedelta(days=1)).timestamp() - now
