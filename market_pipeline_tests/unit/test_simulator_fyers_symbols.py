"""What the simulated Fyers lists, against what our own side knows of Fyers."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from market_pipeline.brokers import fyers_indices, fyers_master, fyers_wire, kite_rest
from market_pipeline.market import Columns, Mode, empty_packets
from market_pipeline.simulator.connection import Frame
from market_pipeline.simulator.disturbances import cut
from market_pipeline.simulator.fyers_disturbances import with_garbage_length
from market_pipeline.simulator.fyers_rest import MASTERS
from market_pipeline.simulator.fyers_symbols import INDICES, MARKETS, Symbols
from market_pipeline.simulator.listing import default_listing

TODAY = date(2026, 11, 24)
LISTING = default_listing(TODAY, 900)
SYMBOLS = Symbols(LISTING)


def test_indices_are_called_what_our_map_of_both_brokers_says() -> None:
    for symbol, index in INDICES.items():
        known = fyers_indices.BY_TICKER[f"NSE:{index.symbol}-INDEX"]
        assert (known.symbol, known.fyers_token) == (symbol, index.exchange_token)
        assert index.topic.upper() == symbol


def test_markets_are_called_what_topics_of_the_wire_say() -> None:
    for market in MARKETS.values():
        exchange, segment = fyers_wire.EXCHANGES[market.name]
        assert market.code == f"{exchange}{segment}"


def test_tokens_are_those_of_the_wire() -> None:
    for symbol in SYMBOLS.rows.values():
        codes = fyers_wire.EXCHANGES[symbol.market.name]
        assert symbol.token == fyers_wire.token_of(*codes, symbol.exchange_token)


def test_masters_are_parsed_to_the_same_instruments_as_kites_dump() -> None:
    columns = ["exchange", "segment", "exchange_token", "kind", "expiry", "strike", "lot_size"]
    masters = [SYMBOLS.master(name, TODAY).encode() for name in MASTERS]
    parsed = [fyers_master.parse_master(text) for text in masters if text]
    here = pl.concat(parsed).filter(pl.col("kind") != "INDEX").select(columns)
    at_kite = kite_rest.parse_instruments(LISTING.csv().encode())
    there = at_kite.filter(pl.col("kind") != "INDEX").select(columns)
    assert here.sort(columns).equals(there.sort(columns))
    assert here.height > 800


# Frames that go wrong on their way

COUNTS = pytest.mark.parametrize("count", [2, 3, 4, 7, 100, 400])
KINDS = pytest.mark.parametrize("kind", ["snapshot", "update", "lite"])


def items_of(kind: str, count: int) -> list[bytes]:
    values = list(range(21))
    if kind == "lite":
        return [fyers_wire.lite_item(number, 5) for number in range(count)]
    if kind == "update":
        return [fyers_wire.update_item(number, values) for number in range(count)]
    return [
        fyers_wire.snapshot_item(n, f"sf|nse_cm|{n}", values, 1, 2, "nse_cm", str(n), "X-EQ")
        for n in range(count)
    ]


def frame_of(items: list[bytes]) -> Frame:
    edges = tuple(np.cumsum([9, *map(len, items)]).tolist())
    packets: Columns = empty_packets(len(items))
    payload = fyers_wire.data_frame(items, 1)
    return Frame(payload, packets, Mode.FULL, len(items), edges)


def read_after_snapshots(frame: Frame) -> tuple[int, int]:
    """Return how many packets and faults a decoder finds that knows all topics."""
    decoder = fyers_wire.Decoder()
    decoder.decode([frame_of(items_of("snapshot", frame.size)).payload])
    decoded = decoder.decode([frame.payload])
    return len(decoded.packets["token"]), len(decoded.faults)


@COUNTS
@KINDS
def test_a_cut_frame_ends_within_an_item(kind: str, count: int) -> None:
    spoilt = cut(frame_of(items_of(kind, count)))
    assert read_after_snapshots(spoilt) == (spoilt.whole, 1)
    assert 0 <= spoilt.whole < count


@COUNTS
@KINDS
def test_items_before_a_garbage_length_are_read(kind: str, count: int) -> None:
    spoilt = with_garbage_length(frame_of(items_of(kind, count)))
    read, faults = read_after_snapshots(spoilt)
    assert read == spoilt.whole
    assert faults >= 1
    assert count // 2 <= spoilt.whole < count
