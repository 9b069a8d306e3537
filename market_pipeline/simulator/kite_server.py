"""The simulated Kite: REST and WebSocket on one port, and the ways to run it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

from aiohttp import web

from market_pipeline.simulator import server
from market_pipeline.simulator.accounts import Accounts, Budgets, Refused
from market_pipeline.simulator.faults import Faults
from market_pipeline.simulator.kite_rest import Rest, failure, success
from market_pipeline.simulator.kite_ticker import Ticker
from market_pipeline.simulator.options import SimulatorOptions as SimulatorOptions
from market_pipeline.simulator.options import build_exchange as build_exchange
from market_pipeline.simulator.server import Handler


class Simulator(server.Server):
    """One exchange and Kite in front of it."""

    ticker: Ticker

    def __init__(self, options: SimulatorOptions) -> None:
        super().__init__(options)
        self.accounts = Accounts(options.api_key, options.api_secret)
        self.ticker = Ticker(
            self.exchange, self.clock, self.accounts, options.start_when_subscribed, self._dispatch
        )
        budgets = Budgets(enforced=options.rate_limits)
        self.requests = budgets.requests
        self.faults = Faults(self.ticker, self.accounts, budgets)
        self._rest = Rest(
            self.exchange,
            self.clock,
            self.accounts,
            budgets,
            self.faults,
            options.settle_seconds,
        )

    def _routes(self) -> list[web.RouteDef]:
        return [web.get("/", self._root), *self._rest.routes()]

    def _is_rest(self, path: str) -> bool:
        return path != "/"

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as error:
            return failure(error)
        except web.HTTPNotFound:
            return failure(Refused(404, "GeneralException", "Route not found"))

    async def _root(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.ticker.connect(request)
        return success({"simulator": "/simulator/status"})


RunningSimulator: TypeAlias = server.Running[Simulator]


def serve(options: SimulatorOptions, ready: Callable[[str], None] | None = None) -> None:
    """Run the simulated Kite until SIGINT or SIGTERM; see server.serve."""
    server.serve(lambda: Simulator(options), ready)


def running(options: SimulatorOptions) -> AbstractContextManager[RunningSimulator]:
    """Run the simulated Kite in a background thread."""
    return server.running(lambda: Simulator(options))
