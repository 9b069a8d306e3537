"""Logins and request budgets of the simulated broker."""

import hashlib
import secrets
import time


class Refused(Exception):
    """A request was refused; becomes Kite's JSON error."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


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
    """Requests a second, by api_key and kind of request."""

    RATES = {"quote": 1.0, "historical": 3.0, "other": 10.0}

    def __init__(self, enforced: bool) -> None:
        self._enforced = enforced
        self._left: dict[tuple[str, str], tuple[float, float]] = {}

    def spend(self, api_key: str, kind: str) -> None:
        """Count a request.

        Raises:
            Refused: the budget of this second is used up.
        """
        rate = self.RATES[kind]
        now = time.monotonic()
        left, since = self._left.get((api_key, kind), (rate, now))
        left = min(rate, left + (now - since) * rate)
        if self._enforced and left < 1:
            raise Refused(429, "NetworkException", "Too many requests")
        self._left[api_key, kind] = (left - 1, now)
