"""Every broker's quotes against the simulated exchange, and what they cost."""

import importlib.util
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from market_pipeline.brokers import BROKERS, log_in_to_simulator, open_broker
from market_pipeline.brokers.base import Broker
from market_pipeline.brokers.limits import Budget, Limiter, RequestKind
from market_pipeline.config import BrokerName, Settings
from market_pipeline.errors import BrokerError, BrokerUnavailable, RateLimited, TokenExpired
from market_pipeline.market import QUOTE_SCHEMA
from market_pipeline.simulator import fyers_server, kite_server
from market_pipeline.simulator.kite_server import SimulatorOptions

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(
        importlib.util.find_spec("fyers_apiv3") is None, reason="fyers-apiv3 is not installed"
    ),
]
SIMULATED = {
    BrokerName.SIMULATOR: kite_server.running,
    BrokerName.FYERS_SIMULATOR: fyers_server.running,
}
KINDS_OF_REQUESTS = {
    BrokerName.SIMULATOR: ("quote",),
    BrokerName.FYERS_SIMULATOR: ("quotes", "depth"),
}
NOT_TOLD = {BrokerName.SIMULATOR: set[str](), BrokerName.FYERS_SIMULATOR: {"exchange_time"}}
OF_AN_INDEX = {"token", "last_price", "day_open", "day_high", "day_low", "previous_close"}
UNLISTED = 4242


class Market:
    """A broker, the simulated exchange behind it, and what is listed there."""

    def __init__(self, name: BrokerName, simulator: Any, home: Path) -> None:
        self.name, self.simulator = name, simulator
        settings = Settings(
            _env_file=None, broker=name, simulator_url=simulator.url, market_pipeline_home=home
        )
        log_in_to_simulator(settings)
        self.broker: Broker = open_broker(settings)
        self.listed = self.broker.instruments()

    def some_of_each(self) -> pl.DataFrame:
        """Return an instrument or two of every kind at every exchange."""
        return self.listed.group_by("exchange", "kind", maintain_order=True).head(2)

    def requests(self) -> int:
        counts = self.simulator.server.requests.accepted
        return sum(counts[kind] for kind in KINDS_OF_REQUESTS[self.name])

    def snapshot(self, token: int, second: int) -> dict[str, Any]:
        """Return what the exchange knows of a token, named as the broker does."""
        server = self.simulator.server
        rows = server.exchange.rows(np.array([token]))
        if self.name is BrokerName.FYERS_SIMULATOR:
            rows = np.array([server.symbols.row_by_token[token]])
        packets = server.exchange.packets(server.exchange.prints(rows, second))
        found = {name: packets[name][0].item() for name in QUOTE_SCHEMA}
        return found | {"token": token, "average_price": round(found["average_price"], 2)}


@pytest.fixture(scope="module", params=SIMULATED)
def market(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Market]:
    start: Any = SIMULATED[request.param]
    # On a machine that is busy requests may come closer together than they were made.
    with start(SimulatorOptions(port=0, instruments=900, rate_limits=False)) as simulator:
        yield Market(request.param, simulator, tmp_path_factory.mktemp("home"))


def told(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a row of quotes tells, as a packet would."""
    return {
        name: int(value.timestamp()) if isinstance(value, datetime) else value
        for name, value in row.items()
        if value is not None
    }


def test_every_registered_broker_is_of_a_class_whose_quotes_are_tested(tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None, market_pipeline_home=tmp_path, kite_api_key="key", fyers_app_id="app"
    )
    classes = {
        name: type(open_broker(settings.model_copy(update={"broker": name}))) for name in BROKERS
    }
    assert set(classes.values()) == {classes[name] for name in SIMULATED}


def test_a_quote_is_the_snapshot_of_the_exchange(market: Market) -> None:
    wanted = market.some_of_each()
    kinds = set(wanted["kind"])
    assert kinds == {"EQ", "INDEX", "FUT", "CE", "PE"}
    began = market.simulator.server.clock.now()
    quotes = market.broker.quotes(wanted["token"].to_list())
    seconds = range(began, market.simulator.server.clock.now() + 1)
    assert dict(quotes.schema) == QUOTE_SCHEMA
    assert quotes["token"].to_list() == wanted["token"].to_list()
    for row in quotes.iter_rows(named=True):
        known = told(row)
        snapshots = [market.snapshot(row["token"], second) for second in seconds]
        assert known in [{name: each[name] for name in known} for each in snapshots]


def test_everything_is_told_but_what_the_broker_does_not_know(market: Market) -> None:
    wanted = market.some_of_each()
    quotes = market.broker.quotes(wanted["token"].to_list())
    everything = QUOTE_SCHEMA.keys() - NOT_TOLD[market.name]
    for kind, row in zip(wanted["kind"], quotes.iter_rows(named=True), strict=True):
        traded = {"exchange_time"} | OF_AN_INDEX if kind == "INDEX" else set(QUOTE_SCHEMA)
        assert told(row).keys() == traded & everything


def test_quotes_come_in_the_order_asked_for_without_what_is_not_listed(market: Market) -> None:
    first, second = market.listed.filter(pl.col("kind") == "EQ")["token"].head(2)
    quotes = market.broker.quotes([second, UNLISTED, first, second])
    assert quotes["token"].to_list() == [second, first]


def test_nothing_is_asked_for_nothing(market: Market) -> None:
    before = market.requests()
    assert dict(market.broker.quotes([]).schema) == QUOTE_SCHEMA
    assert market.requests() == before


def test_requests_are_as_few_as_the_broker_allows(market: Market) -> None:
    before = market.requests()
    if market.name is BrokerName.SIMULATOR:
        tokens = market.listed["token"].head(501).to_list()
        expected = 2
    else:
        of_indices = market.listed.filter(pl.col("kind") == "INDEX")["token"].to_list()
        tokens = of_indices + market.listed.filter(pl.col("kind") == "EQ")["token"].to_list()[:3]
        assert len(of_indices) > 1
        expected = 1 + 3
    assert market.broker.quotes(tokens).height == len(tokens)
    assert market.requests() - before == expected


def test_every_request_draws_from_the_budget_of_quotes(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Budget] = []
    request = Limiter.request

    def counted(limiter: Limiter, budget: Budget) -> Any:
        drawn.append(budget)
        return request(limiter, budget)

    monkeypatch.setattr(Limiter, "request", counted)
    before = market.requests()
    market.broker.quotes(market.some_of_each()["token"].to_list())
    assert drawn == [market.broker.budgets[RequestKind.QUOTE]] * (market.requests() - before)


@pytest.mark.parametrize("name", SIMULATED)
@pytest.mark.parametrize(
    ("fault", "expected"),
    [("expire_tokens", TokenExpired), ("outage", BrokerUnavailable), ("throttle", RateLimited)],
)
def test_what_goes_wrong_is_told_as_it_is_with_candles(
    name: BrokerName, fault: str, expected: type[BrokerError], tmp_path: Path
) -> None:
    start: Any = SIMULATED[name]
    with start(SimulatorOptions(port=0, instruments=20)) as simulator:
        market = Market(name, simulator, tmp_path)
        simulator.fault(fault)
        with pytest.raises(BrokerError) as caught:
            market.broker.quotes(market.listed["token"].head(1).to_list())
    assert type(caught.value) is expected
