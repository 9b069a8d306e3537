"""What is left of packets that are sent in a mode, against what comes out of the frame."""

from typing import Any

import numpy as np
import pytest

from market_pipeline.brokers.kite_wire import carried, decode, encode
from market_pipeline.market import MISSING, PACKET_COLUMNS, Columns, Mode, empty_packets
from market_pipeline.simulator.kite_server import SimulatorOptions, build_exchange

INFY, NIFTY, USDINR, BCD = 408065, 256265, 256_003, 256_006
MODES = pytest.mark.parametrize("mode", list(Mode))


def packets(*tokens: int) -> Columns:
    """Make packets in which every column has values of its own, finer than the wire's."""
    chance = np.random.default_rng(len(tokens))
    columns = empty_packets(len(tokens))
    for name, kind in PACKET_COLUMNS.items():
        drawn = chance.uniform(10, 200, len(tokens))
        columns[name] = drawn if kind == "f8" else drawn.astype(np.int64)
    columns["token"] = np.array(tokens, np.int64)
    return columns


def assert_same(left: Columns, right: Columns) -> None:
    assert list(left) == list(right) == list(PACKET_COLUMNS)
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name], err_msg=name, strict=True)


@MODES
@pytest.mark.parametrize(
    "tokens", [(INFY,), (NIFTY,), (USDINR, BCD), (INFY, NIFTY, NIFTY, USDINR, INFY)]
)
def test_what_is_carried_is_what_the_frame_decodes_to(mode: Mode, tokens: tuple[int, ...]) -> None:
    sent = packets(*tokens)
    received = decode([encode(sent, mode)]).packets
    assert_same(carried(sent, mode), received)


def test_nothing_is_carried_of_no_packets() -> None:
    assert_same(carried(packets(), Mode.FULL), empty_packets(0))


@MODES
def test_every_packet_of_the_simulated_exchange_is_carried_as_told(mode: Mode) -> None:
    exchange, clock = build_exchange(SimulatorOptions(instruments=400))
    sent = exchange.snapshot(exchange.listing.token, clock.now())
    assert_same(carried(sent, mode), decode([encode(sent, mode)]).packets)


@pytest.mark.parametrize(
    ("token", "mode", "names"),
    [
        (INFY, Mode.LTP, "token last_price"),
        (NIFTY, Mode.LTP, "token last_price"),
        (NIFTY, Mode.QUOTE, "token last_price day_open day_high day_low previous_close"),
        (
            NIFTY,
            Mode.FULL,
            "token last_price day_open day_high day_low previous_close exchange_time",
        ),
        (INFY, Mode.FULL, " ".join(PACKET_COLUMNS)),
    ],
)
def test_columns_that_a_layout_lacks_are_missing(token: int, mode: Mode, names: str) -> None:
    left = carried(packets(token), mode)
    present = {name for name, (value,) in left.items() if value != MISSING and value == value}
    assert present == set(names.split())


@pytest.mark.parametrize(("token", "price"), [(INFY, 83.25), (USDINR, 83.2475119), (BCD, 83.2475)])
def test_prices_are_rounded_to_the_units_of_the_segment(token: int, price: float) -> None:
    sent: dict[str, Any] = packets(token) | {"last_price": np.array([83.24751191])}
    assert carried(sent, Mode.LTP)["last_price"].tolist() == [price]


def test_the_packets_that_are_given_stay_as_they_are() -> None:
    sent = packets(INFY, NIFTY)
    before = {name: values.copy() for name, values in sent.items()}
    carried(sent, Mode.LTP)
    assert_same(sent, before)
