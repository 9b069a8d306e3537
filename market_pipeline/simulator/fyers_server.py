"""The simulated Fyers: REST, data socket and symbol masters on one port, and ways to run it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

from aiohttp import web

from market_pipeline.simulator import server
from market_pipeline.simulator.fyers_accounts import Accounts, Budgets, Refused
from market_pipeline.simulator.fyers_faults import FyersFaults
from market_pipeline.simulator.fyers_feed import DataSocket, Habits
from market_pipeline.simulator.fyers_rest import Rest, failure
from market_pipeline.simulator.fyers_symbols import Symbols, World
from market_pipeline.simulator.options import SimulatorOptions as SimulatorOptions
from market_pipeline.simulator.server import Handler

SOCKET_PATH = "/hsm/v1-5/prod"
_HABITS = Habits()


class FyersSimulator(server.Server):
    """One exchange and Fyers in front of it; `api_key` of the options is the app id."""

    ticker: DataSocket

    def __init__(self, options: SimulatorOptions, habits: Habits = _HABITS) -> None:
        super().__init__(options)
        self.accounts = Accounts(options.api_key, options.api_secret)
        self.symbols = Symbols(self.exchange.listing)
        world = World(self.exchange, self.clock, self.symbols)
        self.ticker = DataSocket(
            world, self.accounts, habits, options.start_when_subscribed, self._dispatch
        )
        budgets = Budgets(enforced=options.rate_limits)
        self.requests = budgets.requests
        faults = FyersFaults(self.ticker, self.accounts, budgets)
        self.faults = faults
        self._rest = Rest(world, self.accounts, budgets, faults, options.settle_seconds)

    def _routes(self) -> list[web.RouteDef]:
        return [web.get(SOCKET_PATH, self.ticker.connect), *self._rest.routes()]

    def _is_rest(self, path: str) -> bool:
        return path != SOCKET_PATH

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as error:
            return failure(error)
        except web.HTTPNotFound:
            return failure(Refused(404, -1, "Route not found"))


RunningFyers: TypeAlias = server.Running[FyersSimulator]


def serve(options: SimulatorOptions, ready: Callable[[str], None] | None = None) -> None:
    """Run the simulated Fyers until SIGINT or SIGTERM; see server.serve."""
    server.serve(lambda: FyersSimulator(options), ready)


def running(
    options: SimulatorOptions, habits: Habits = _HABITS
) -> AbstractContextManager[RunningFyers]:
    """Run the simulated Fyers in a background thread."""
    return server.running(lambda: FyersSimulator(options, habits))
