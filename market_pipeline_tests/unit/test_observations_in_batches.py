"""Ticks do not depend on how arrivals were divided into batches, nor on restarts in between."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from market_pipeline.market import TICK_COLUMNS, Columns, Mode
from market_pipeline.streaming.arrivals import Arrivals
from market_pipeline.streaming.observations import Observer
from market_pipeline_tests.builders import DAY, INFY, NIFTY, TCS, Packet, arrivals

PACKETS = st.lists(
    st.builds(
        Packet,
        price=st.sampled_from([99.0, 100.0, 101.0]),
        volume=st.integers(0, 6).map(lambda volume: volume * 10),
        at=st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, -DAY, DAY, DAY + 1]),
        traded_at=st.one_of(st.none(), st.integers(0, 8)),
        quantity=st.sampled_from([0, 10, 20]),
        high=st.sampled_from([None, 101.0, 105.0]),
        low=st.sampled_from([None, 0.0, 95.0]),
        token=st.sampled_from([INFY, INFY, INFY, TCS, NIFTY]),
        mode=st.sampled_from([Mode.FULL, Mode.FULL, Mode.FULL, Mode.QUOTE, Mode.LTP]),
        connection=st.sampled_from([1, 1, 1, 2]),
        received_at=st.sampled_from([0, 5, DAY]),
    ),
    min_size=1,
    max_size=25,
)


@st.composite
def divided(draw: st.DrawFn) -> tuple[Arrivals, list[int], list[bool]]:
    """Arrivals, where they are cut into batches, and at which cuts the process restarts."""
    packets = draw(PACKETS)
    cuts = sorted(draw(st.sets(st.integers(1, max(len(packets) - 1, 1)), max_size=6)))
    restarts = draw(st.lists(st.booleans(), min_size=len(cuts) + 1, max_size=len(cuts) + 1))
    return arrivals(*packets), [0, *cuts, len(packets)], restarts


def restarted(observer: Observer) -> Observer:
    later = Observer()
    later.load(observer.dump(), observer.arrivals)
    later.anomalies = observer.anomalies
    return later


def by_arrival(*batches: Columns) -> Columns:
    ticks = {name: np.concatenate([batch[name] for batch in batches]) for name in TICK_COLUMNS}
    order = np.argsort(ticks["seq"] & 0xFFFFFFFF)
    return {name: column[order] for name, column in ticks.items()}


@settings(max_examples=300, deadline=None)
@given(divided())
def test_any_division_into_batches_gives_the_same_ticks(
    example: tuple[Arrivals, list[int], list[bool]],
) -> None:
    together, edges, restarts = example
    at_once, observer = Observer(), Observer()
    expected = by_arrival(at_once.observe(together))
    batches = []
    for start, end, restart in zip(edges, edges[1:], restarts, strict=False):
        batches.append(observer.observe(together.taken(np.arange(start, end))))
        observer = restarted(observer) if restart else observer
    for name, column in by_arrival(*batches).items():
        np.testing.assert_array_equal(column, expected[name], err_msg=name)
    assert observer.anomalies == at_once.anomalies


@given(PACKETS)
def test_no_volume_is_below_zero_and_no_extreme_is_inside_the_price(packets: list[Packet]) -> None:
    ticks = Observer().observe(arrivals(*packets))
    assert (ticks["volume"] >= -1).all()
    assert (ticks["high"] >= ticks["last_price"]).all()
    assert (ticks["low"] <= ticks["last_price"]).all()


@given(PACKETS)
def test_a_tick_with_volume_is_a_trade(packets: list[Packet]) -> None:
    ticks = Observer().observe(arrivals(*packets))
    assert ticks["is_trade"][ticks["volume"] > 0].all()
