"""The API of a replay, served from its own process while it lasts."""

import contextlib
import threading
import time
from collections.abc import Iterator

from pydantic import SecretStr

from market_pipeline import services
from market_pipeline.config import Settings
from market_pipeline.errors import MarketPipelineError
from market_pipeline.storage.scratch import Scratch

_START_SECONDS = 30.0
_STOP_SECONDS = 2
_POLL_SECONDS = 0.05
_MOST_BEHIND = 250_000
"""Ticks; half of what is kept for listeners, so that none is missed."""

_NO_DAGSTER = "http://127.0.0.1:9"
"""Where nothing answers: what a replay's API asks Dagster for would be done to the pipeline."""


def of_replay(settings: Settings, scratch: Scratch) -> Settings:
    """Return the settings of an API over the schema of a replay."""
    update = {"database_url": SecretStr(scratch.url), "dagster_url": _NO_DAGSTER}
    return settings.model_copy(update=update)


class Serving:
    """The API over the schema of a replay, with what the replay must know of its clients."""

    def __init__(self, settings: Settings, scratch: Scratch) -> None:
        """Take the settings with the port to serve at."""
        # It takes half a second, which other commands go without.
        import uvicorn

        from market_pipeline.api import logs
        from market_pipeline.api.app import create_app

        logs.configure(settings.model_copy(update={"log_level": "WARNING"}))
        self.url = services.api_url(settings)
        self._app = create_app(of_replay(settings, scratch))
        config = uvicorn.Config(
            self._app,
            host=settings.api_host,
            port=settings.api_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
            ws_per_message_deflate=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="replay-api", daemon=True)

    def start(self) -> None:
        """Serve, and return once it is known from where on listeners get ticks.

        Raises:
            MarketPipelineError: it does not start.
        """
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not (self._server.started and self._app.state.live.begun.is_set()):
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise MarketPipelineError(f"the API of the replay did not start at {self.url}")
            time.sleep(_POLL_SECONDS)

    def wait_for_client(self) -> None:
        """Return once a client has subscribed."""
        while not self._app.state.live.has_subscribers:
            time.sleep(_POLL_SECONDS)

    def is_behind(self, arrivals: int) -> bool:
        """Tell whether so many ticks of a stream are too many for what was handed out."""
        handed_out = max(self._app.state.live.positions.values(), default=0)
        return self._thread.is_alive() and arrivals - handed_out > _MOST_BEHIND

    def wait_for_delivery(self, arrivals: int) -> None:
        """Return once so many ticks were handed out, or it takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        positions = self._app.state.live.positions
        while max(positions.values(), default=0) < arrivals and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(2 * _STOP_SECONDS + 1)


@contextlib.contextmanager
def serving(settings: Settings, scratch: Scratch) -> Iterator[Serving]:
    """Serve a replay's schema at the port of the settings."""
    served = Serving(settings, scratch)
    served.start()
    try:
        yield served
    finally:
        served.stop()
