"""API keys: who asks, what they may do, and how often."""

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, NewType
from urllib.parse import unquote_plus

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from market_pipeline.api.errors import KeyMissing, KeyUnknown, ScopeMissing, TooManyRequests
from market_pipeline.config import Settings
from market_pipeline.errors import ConfigurationError

KeyName = NewType("KeyName", str)
ANYBODY = KeyName("anybody")
"""Who asks where no keys are set."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SHORTEST = 24
_IN_QUERY = "api_key"
_BURST_SECONDS = 2.0
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FORM = "API_KEYS is written name:scope:key,name:scope:key with scope read or control"

_in_header = APIKeyHeader(
    name="X-API-Key", scheme_name="key", auto_error=False, description="An API key."
)
_as_bearer = HTTPBearer(scheme_name="bearer", auto_error=False, description="The same key.")


class Scope(StrEnum):
    READ = "read"
    CONTROL = "control"

    def includes(self, other: "Scope") -> bool:
        return self is Scope.CONTROL or other is Scope.READ


@dataclass(frozen=True)
class _Key:
    name: KeyName
    scope: Scope
    sha256: bytes


class Keys:
    """The keys that are accepted; none at all: everybody may do everything."""

    def __init__(self, keys: tuple[_Key, ...], rate: float) -> None:
        self._keys = keys
        self._buckets = {each.name: Bucket(rate) for each in keys}

    def __bool__(self) -> bool:
        return bool(self._keys)

    @classmethod
    def of(cls, settings: Settings) -> "Keys":
        """Read the setting API_KEYS.

        Raises:
            ConfigurationError: it is not in its form, a key is short, a name occurs twice, or there
                is none though others than this machine can ask. The message holds no key.
        """
        text = settings.api_keys.get_secret_value()
        parts = [part.strip() for part in text.split(",") if part.strip()]
        keys = tuple(_key(place, part) for place, part in enumerate(parts, 1))
        for kind in ("name", "sha256"):
            if len({getattr(each, kind) for each in keys}) < len(keys):
                what = "name" if kind == "name" else "key"
                raise ConfigurationError(f"API_KEYS has the same {what} twice: change one")
        if not keys and settings.api_host not in _LOOPBACK:
            raise ConfigurationError(
                f"API_HOST {settings.api_host} lets other machines ask, and API_KEYS is empty: "
                "`market-pipeline api new-key` makes a key"
            )
        return cls(keys, settings.api_rate_limit)

    def check(self, presented: str | None, scope: Scope) -> KeyName:
        """Return whose key it is.

        Raises:
            KeyMissing, KeyUnknown: there is none, or not this one.
            ScopeMissing: it may not do what the scope stands for.
        """
        if not self._keys:
            return ANYBODY
        if not presented:
            raise KeyMissing(headers={"WWW-Authenticate": "Bearer"})
        digest = hashlib.sha256(presented.encode()).digest()
        # All are compared, whichever it is, so that the time tells nothing.
        found = [each for each in self._keys if hmac.compare_digest(each.sha256, digest)]
        if not found:
            raise KeyUnknown(headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        if not found[0].scope.includes(scope):
            raise ScopeMissing(f"The API key {found[0].name} may read only: use one for control")
        return found[0].name

    def spend(self, name: KeyName) -> dict[str, str]:
        """Count a request of a key and return the headers that tell what is left.

        Raises:
            TooManyRequests: nothing is; says when there is again.
        """
        bucket = self._buckets.get(name)
        if bucket is None:
            return {}
        wait = bucket.take(time.monotonic())
        headers = {
            "RateLimit-Limit": str(int(bucket.size)),
            "RateLimit-Remaining": str(int(bucket.left)),
            "RateLimit-Reset": str(math.ceil((bucket.size - bucket.left) / bucket.rate)),
        }
        if wait:
            seconds = math.ceil(wait)
            raise TooManyRequests(
                f"The API key {name} has made more than {bucket.rate:g} requests a second: wait "
                f"{seconds} s",
                headers | {"Retry-After": str(seconds)},
            )
        return headers


class Bucket:
    """So many requests a second over time, and those of two seconds at once. Told the time."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.size = max(rate * _BURST_SECONDS, 1.0)
        self.left = self.size
        self._at = 0.0

    def take(self, now: float) -> float:
        """Take one request and return 0, or how many seconds until there is one."""
        self.left = min(self.size, self.left + (now - self._at) * self.rate)
        self._at = now
        if self.left < 1:
            return (1 - self.left) / self.rate
        self.left -= 1
        return 0.0


def presented(connection: HTTPConnection) -> str | None:
    """Return the key that a request or a WebSocket's handshake carries in its headers."""
    if key := connection.headers.get("x-api-key"):
        return key
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def taken_from_query(scope: MutableMapping[str, Any]) -> str | None:
    """Take the key out of the address of a request, which servers write into their logs."""
    key, kept = None, []
    for part in scope["query_string"].split(b"&"):
        name, _, value = part.decode("latin-1").partition("=")
        if unquote_plus(name).lower() == _IN_QUERY:
            key = key or unquote_plus(value)
        else:
            kept.append(part)
    scope["query_string"] = b"&".join(kept)
    return key


def require(scope: Scope) -> Callable[..., Awaitable[KeyName]]:
    """Return the dependency that lets those pass who may do what a scope stands for."""

    async def checked(
        request: Request,
        key: Annotated[str | None, Security(_in_header)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_as_bearer)],
    ) -> KeyName:
        keys: Keys = request.app.state.context.keys
        name = keys.check(presented(request), scope)
        request.state.key_name = name
        request.state.headers |= keys.spend(name)
        return name

    return checked


def new_key() -> str:
    """Make a key."""
    return secrets.token_urlsafe(32)


def _key(place: int, text: str) -> _Key:
    name, _, rest = text.partition(":")
    scope, _, key = rest.partition(":")
    if not key or not _NAME.fullmatch(name):
        raise ConfigurationError(f"{_FORM}: entry {place} is not")
    if scope not in list(Scope):
        raise ConfigurationError(f"{_FORM}: that of {name} is neither")
    if len(key) < _SHORTEST:
        raise ConfigurationError(
            f"API_KEYS: the key {name} is shorter than {_SHORTEST} characters; "
            "`market-pipeline api new-key` makes one"
        )
    return _Key(KeyName(name), Scope(scope), hashlib.sha256(key.encode()).digest())
