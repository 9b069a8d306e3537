"""The vendor's REST client with its habits broken. Needs the fyers extra and the SDK.

As the SDK makes it, a client has no timeout, opens two log files in the working directory that it
never closes, writes a line of every request into one of them, and answers every failure with one
and the same dictionary, in which the next failure overwrites the last.
"""

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from fyers_apiv3.fyersModel import FyersModel, FyersServiceSync
from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter

from market_pipeline.brokers import fyers_rest
from market_pipeline.errors import BrokerUnavailable

TIMEOUT = (5.0, 20.0)  # seconds to connect, and between two bytes of the reply

# Belongs to no one: what the SDK says of a request holds its whole reply, tokens included.
_NOWHERE = logging.Logger("fyers", logging.CRITICAL + 1)


class Client:
    """The SDK's client for one thread; `root` stands in for Fyers' host where it is given."""

    def __init__(self, app_id: str, token: str, root: str | None) -> None:
        self._model = FyersModel.__new__(FyersModel)  # without the constructor, for its files
        self._model.is_async = False
        self._model.header = f"{app_id}:{token}" if token else ""
        self._model.service = FyersServiceSync(_NOWHERE, _NOWHERE)
        self._wire = _Wire(root)
        for scheme in ("https://", "http://"):
            self._model.service.session.mount(scheme, self._wire)

    def ask(self, request: Callable[[Any], Any]) -> dict[str, Any]:
        """Make one request with the SDK, and return the reply.

        Raises:
            BrokerError: the broker refused, or did not answer.
        """
        reply = request(self._model)
        status = self._wire.status
        if status is None:
            raise BrokerUnavailable(f"the broker did not answer ({self._wire.failure})")
        if isinstance(reply, dict) and reply.get("s") in ("ok", "no_data"):
            return reply
        raise fyers_rest.error_of(reply, status, self._wire.retry_after)

    def close(self) -> None:
        """Close its connections."""
        self._model.service.session.close()


class _Wire(HTTPAdapter):
    """Sends requests in bounded time, and keeps what the SDK loses of the replies."""

    def __init__(self, root: str | None) -> None:
        super().__init__()
        self._root = root
        self.status: int | None = None
        self.retry_after: str | None = None
        self.failure = "no request was made"

    def send(self, request: PreparedRequest, *_: Any, **options: Any) -> Response:
        options["timeout"] = TIMEOUT
        if self._root:
            request.url = f"{self._root}{_without_host(request.url or '')}"
            options["proxies"] = {}  # those for Fyers' host
        try:
            response = super().send(request, **options)
            self._read(response)
        except RequestException as error:
            self.failure = type(error).__name__
            raise
        self.status, self.retry_after = response.status_code, response.headers.get("Retry-After")
        return response

    def _read(self, response: Response) -> None:
        """Read all of a reply here, where a failure of that can still be told from a refusal."""
        try:
            response.content  # noqa: B018 - which keeps it
        except RequestException:
            response.close()
            raise


def _without_host(url: str) -> str:
    address = urlsplit(url)
    return address._replace(scheme="", netloc="").geturl()
