"""What the simulated brokers share: one port for REST, WebSocket and faults, and ways to run it."""

import asyncio
import contextlib
import errno
import logging
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

from aiohttp import web

from market_pipeline.errors import PortInUse
from market_pipeline.simulator.accounts import Requests
from market_pipeline.simulator.dispatch import Dispatch
from market_pipeline.simulator.faults import Faults
from market_pipeline.simulator.lines import Lines
from market_pipeline.simulator.options import SimulatorOptions, build_exchange

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server(ABC):
    """One exchange and the broker in front of it."""

    ticker: Lines[Any]
    faults: Faults
    requests: Requests

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.exchange, self.clock = build_exchange(options)
        self._dispatch = Dispatch(options.ledger) if options.ledger else None
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> str:
        """Listen, start the clock's loop, and return the URL.

        Raises:
            PortInUse: another program listens on the port.
        """
        options = self.options
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, options.host, options.port).start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortInUse(
                f"port {options.port} on {options.host} is taken by another program: stop that "
                "program or choose another port"
            ) from error
        self._tasks = [
            asyncio.create_task(self.ticker.run()),
            asyncio.create_task(self.ticker.upkeep()),
        ]
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def wait(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; raises if the feed fails."""
        stopped = asyncio.create_task(stop.wait())
        feed = self._tasks[0]
        await asyncio.wait({stopped, feed}, return_when=asyncio.FIRST_COMPLETED)
        if feed.done():  # a replay that is over is still there to be asked; an error is not
            feed.result()
        await stopped

    async def stop(self) -> None:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                logger.error("the feed had stopped", exc_info=outcome)
        self.ticker.drop_all("the simulator stopped")
        if self._runner is not None:
            await self._runner.cleanup()
        if self._dispatch is not None:
            self._dispatch.close()
            self._dispatch = None

    @abstractmethod
    def _routes(self) -> list[web.RouteDef]:
        """List the broker's own routes, the WebSocket's included."""

    @abstractmethod
    def _is_rest(self, path: str) -> bool:
        """Tell whether a path of the broker's fails in an outage."""

    @abstractmethod
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, errors in the broker's words."""

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._answer_errors])
        application.add_routes(
            [
                web.get("/simulator/status", self._status),
                web.get("/simulator/requests", self._requests),
                web.post("/simulator/start", self._start_clock),
                web.post("/simulator/faults/{name}", self._fault),
                *self._routes(),
            ]
        )
        return application

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/simulator/"):
            return await handler(request)
        if self.faults.outage and self._is_rest(request.path):
            return bad_gateway()
        return await self._answer(request, handler)

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.ticker.status())

    async def _requests(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.requests.status())

    async def _start_clock(self, request: web.Request) -> web.StreamResponse:
        self.clock.start()
        return web.json_response(self.ticker.status())

    async def _fault(self, request: web.Request) -> web.StreamResponse:
        parameters = await request.json() if request.can_read_body else {}
        try:
            await self.faults.apply(request.match_info["name"], parameters)
        except (KeyError, TypeError, ValueError) as error:
            message = f"{error}; faults: {', '.join(self.faults.names)}"
            return web.json_response({"status": "error", "message": message}, status=400)
        return web.json_response({"status": "success", "data": True})


def bad_gateway() -> web.Response:
    """Answer what a gateway says when nobody stands behind it."""
    page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
    return web.Response(status=502, text=page, content_type="text/html")


AnyServer = TypeVar("AnyServer", bound=Server)


def serve(make: Callable[[], Server], ready: Callable[[str], None] | None = None) -> None:
    """Run a server until SIGINT or SIGTERM; `ready` is told the URL once it answers.

    Raises:
        PortInUse: another program listens on the port.
        ConfigurationError: the options or the file to replay are wrong.
    """
    asyncio.run(_serve(make, ready))


async def _serve(make: Callable[[], Server], ready: Callable[[str], None] | None) -> None:
    stop = asyncio.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    simulator = make()
    url = await simulator.start()
    logger.info("the simulated exchange answers at %s", url)
    if ready is not None:
        ready(url)
    try:
        await simulator.wait(stop)
    finally:
        await simulator.stop()


class Running(Generic[AnyServer]):
    """A server in a thread of its own, for tests."""

    def __init__(self, make: Callable[[], AnyServer]) -> None:
        self.server = make()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator")
        self._thread.start()
        try:
            self.url: str = self._run(self.server.start())
        except BaseException:
            self._end()
            raise
        self.ws_url = self.url.replace("http", "ws", 1)

    def fault(self, name: str, **parameters: Any) -> None:
        """Run a fault and return when it has happened."""
        self._run(self.server.faults.apply(name, parameters))

    def stop(self) -> None:
        """Close everything. May be called again."""
        if self._thread.is_alive():
            self._run(self.server.stop())
            self._end()

    def _run(self, action: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(timeout=30)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


@contextlib.contextmanager
def running(make: Callable[[], AnyServer]) -> Iterator[Running[AnyServer]]:
    """Run a server in a background thread."""
    simulator = Running(make)
    try:
        yield simulator
    finally:
        simulator.stop()
