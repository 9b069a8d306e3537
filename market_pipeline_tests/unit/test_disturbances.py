"""Frames that go wrong on their way: which packets stay whole."""

import numpy as np
import pytest

from market_pipeline.brokers import kite_wire
from market_pipeline.market import Mode, empty_packets
from market_pipeline.simulator.connection import Frame
from market_pipeline.simulator.disturbances import cut, with_garbage_length

INFY, NIFTY = 408065, 256265
COUNTS = pytest.mark.parametrize("count", [2, 3, 4, 7, 100, 1000])
MODES = pytest.mark.parametrize("mode", list(Mode))


def frame(count: int, mode: Mode) -> Frame:
    columns = {name: np.zeros_like(values) for name, values in empty_packets(count).items()}
    columns["token"] = np.where(np.arange(count) % 3, INFY, NIFTY) + 256 * np.arange(count)
    return Frame(kite_wire.encode(columns, mode), columns, mode, count)


def assert_whole_packets_are_read(frame: Frame) -> None:
    decoded = kite_wire.decode([frame.payload])
    assert decoded.packets["token"].tolist() == frame.packets["token"][: frame.whole].tolist()
    assert len(decoded.faults) == 1


@COUNTS
@MODES
def test_a_cut_frame_ends_within_a_packet(count: int, mode: Mode) -> None:
    whole = frame(count, mode)
    spoilt = cut(whole)
    assert_whole_packets_are_read(spoilt)
    assert abs(len(spoilt.payload) - len(whole.payload) / 2) <= 3


@COUNTS
@MODES
def test_packets_before_a_garbage_length_are_read(count: int, mode: Mode) -> None:
    spoilt = with_garbage_length(frame(count, mode))
    assert_whole_packets_are_read(spoilt)
    assert count // 2 <= spoilt.whole < count


def test_nothing_of_a_single_packet_is_read_with_a_garbage_length() -> None:
    spoilt = with_garbage_length(frame(1, Mode.FULL))
    assert spoilt.whole == 0
    assert_whole_packets_are_read(spoilt)
