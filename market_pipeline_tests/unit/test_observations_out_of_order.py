"""Extremes between packets, and packets that come late, fall back or are stamped wrongly."""

from market_pipeline.market import MISSING
from market_pipeline.streaming.observations import Observer
from market_pipeline_tests.builders import DAY, Packet
from market_pipeline_tests.observed import (
    YESTERDAY,
    anomalies,
    extremes,
    observe,
    times,
    trades,
    volumes,
)


def test_a_fallen_volume_counts_as_nothing_and_as_an_anomaly() -> None:
    packets = Packet(volume=50), Packet(volume=40, at=1)
    assert volumes(*packets) == [MISSING, 0]
    assert anomalies(*packets) == 1


def test_nothing_is_counted_twice_after_a_volume_that_fell() -> None:
    packets = [Packet(volume=v, at=n) for n, v in enumerate([50, 40, 45, 55])]
    assert volumes(*packets)[1:] == [0, 0, 5]


def test_a_volume_that_fell_between_batches_is_not_counted_twice() -> None:
    observer = Observer()
    counted = []
    for number, volume in enumerate([50, 40, 45, 55]):
        ticks = observe(Packet(volume=volume, at=number), observer=observer)
        counted.append(int(ticks["volume"][0]))
    assert counted[1:] == [0, 0, 5]


def test_a_day_high_that_rose_is_in_the_tick() -> None:
    first = Packet(volume=1, high=105)
    assert extremes(first, Packet(volume=2, at=1, price=100, high=107))[1] == (107, 100)


def test_a_day_low_that_fell_is_in_the_tick() -> None:
    first = Packet(volume=1, low=95)
    assert extremes(first, Packet(volume=2, at=1, price=100, low=93))[1] == (100, 93)


def test_extremes_that_did_not_move_are_not_in_the_tick() -> None:
    packets = [Packet(volume=n, at=n, high=105, low=95) for n in (1, 2)]
    assert extremes(*packets)[1] == (100, 100)


def test_joining_in_mid_session_does_not_take_the_extremes_of_earlier_hours() -> None:
    assert extremes(Packet(volume=50, high=120, low=80)) == [(100, 100)]


def test_the_first_trade_of_a_session_takes_its_extremes_whole() -> None:
    assert extremes(YESTERDAY, Packet(volume=9, at=1, high=101, low=99))[1] == (101, 99)


def test_extremes_of_a_day_without_a_trade_are_not_taken() -> None:
    zero = Packet(volume=0, traded_at=-DAY, high=0, low=0, quantity=0)
    assert extremes(zero, Packet(volume=5, at=1, high=101, low=99)) == [(100, 100), (101, 99)]


def test_a_late_packet_is_a_trade_at_its_own_second() -> None:
    packets = Packet(volume=50), Packet(volume=60, at=5), Packet(volume=55, at=3)
    assert trades(*packets) == [False, True, True]
    assert times(*packets) == [0, 5, 3]
    assert volumes(*packets) == [MISSING, 10, 0]


def test_a_late_packet_takes_no_extremes() -> None:
    packets = Packet(volume=50), Packet(volume=60, at=5), Packet(volume=55, at=3, high=130, low=70)
    assert extremes(*packets)[2] == (100, 100)


def test_a_late_packet_is_not_what_the_next_is_compared_with() -> None:
    first, late = Packet(volume=60, at=5, high=120), Packet(volume=55, at=3, high=110)
    after = Packet(volume=60, at=6, traded_at=5, high=120)
    assert trades(first, late, after)[2] is False
    assert extremes(first, late, Packet(volume=61, at=6, high=120))[2] == (100, 100)


def test_a_late_packet_with_a_higher_volume_is_counted_once() -> None:
    packets = Packet(volume=50, at=9), Packet(volume=70, at=3), Packet(volume=75, at=10)
    observer = Observer()
    counted = [int(observe(packet, observer=observer)["volume"][0]) for packet in packets]
    assert counted == volumes(*packets) == [MISSING, 20, 5]


def test_a_packet_of_an_earlier_day_than_one_seen_is_no_trade() -> None:
    packets = Packet(volume=50), YESTERDAY, Packet(volume=55, at=1)
    assert volumes(*packets) == [MISSING, MISSING, 5]
    assert trades(*packets) == [False, False, True]


def test_a_stamp_in_the_far_future_is_ignored_and_counted() -> None:
    packets = Packet(volume=1), Packet(volume=2, at=DAY, received_at=1), Packet(volume=3, at=2)
    assert times(*packets) == [0, 1, 2]
    assert volumes(*packets)[1:] == [1, 1]
    assert anomalies(*packets) == 2  # the trade's stamp and the exchange's


def test_a_clock_that_leads_a_little_is_believed() -> None:
    assert times(Packet(at=200, received_at=0)) == [200]
    assert anomalies(Packet(at=200, received_at=0)) == 0
