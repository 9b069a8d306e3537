"""Instruments that fell silent on a living connection are found, and quiet ones left in peace."""

import numpy as np
import pytest

from market_pipeline.streaming.last_seen import LastSeen

SECOND = 1_000_000
START = 1_000_000 * SECOND


class Feed:
    """Batches of ticks, and heartbeats that let the time of the records pass."""

    def __init__(self) -> None:
        self.seen = LastSeen()
        self.heartbeat(0)

    def ticks(self, *pairs: tuple[int, float], connection: int = 1) -> None:
        ordered = sorted(pairs)
        columns = {
            "instrument_id": np.array([each for each, _ in ordered], np.int64),
            "received_at": np.array([START + at * SECOND for _, at in ordered], np.int64),
        }
        latest = max((at for _, at in pairs), default=0)
        self.seen.observe(columns, connection, int((START + latest * SECOND) * 1000))

    def heartbeat(self, at: float, connection: int = 1) -> None:
        nothing = {name: np.zeros(0, np.int64) for name in ("instrument_id", "received_at")}
        self.seen.observe(nothing, connection, int((START + at * SECOND) * 1000))

    def stale(self, *wanted: int) -> list[int]:
        return self.seen.stale(np.array(wanted, np.int64))


@pytest.fixture
def feed() -> Feed:
    return Feed()


def test_an_instrument_that_goes_on_ticking_is_not_stale(feed: Feed) -> None:
    for at in range(300):
        feed.ticks((7, at))
    assert feed.stale(7) == []


def test_one_that_ticked_each_second_is_stale_after_a_minute_of_heartbeats(feed: Feed) -> None:
    feed.ticks(*((7, at) for at in range(20)), *((8, at) for at in range(20)))
    feed.ticks(*((8, at) for at in range(20, 79)))
    assert feed.stale(7, 8) == []
    feed.ticks((8, 80), (8, 81))
    assert feed.stale(7, 8) == [7]


def test_one_that_trades_every_minute_may_be_silent_for_twenty(feed: Feed) -> None:
    feed.ticks(*((7, 60 * minute) for minute in range(15)))
    feed.heartbeat(14 * 60 + 19 * 60)
    assert feed.stale(7) == []
    feed.heartbeat(14 * 60 + 21 * 60)
    assert feed.stale(7) == [7]


def test_too_few_ticks_tell_nothing(feed: Feed) -> None:
    feed.ticks((7, 0), (7, 1), (7, 2))
    feed.heartbeat(3000)
    assert feed.stale(7) == []


def test_one_of_which_nothing_ever_came_is_stale_after_half_a_minute(feed: Feed) -> None:
    feed.stale(7)
    feed.heartbeat(29)
    assert feed.stale(7) == []
    feed.heartbeat(31)
    assert feed.stale(7) == [7]


def test_a_newcomer_has_its_own_half_minute(feed: Feed) -> None:
    feed.heartbeat(1000)
    assert feed.stale(7) == []
    feed.heartbeat(1029)
    assert feed.stale(7) == []


def test_time_that_passed_without_records_is_no_silence_of_an_instrument(feed: Feed) -> None:
    feed.ticks(*((7, at) for at in range(20)))
    assert feed.stale(7) == []  # however late it is by the clock on the wall


def test_a_new_connection_begins_anew(feed: Feed) -> None:
    feed.ticks(*((7, at) for at in range(20)))
    feed.heartbeat(500, connection=2)
    assert feed.stale(7) == []


def test_what_is_not_wanted_is_not_reported(feed: Feed) -> None:
    feed.ticks(*((7, at) for at in range(20)))
    feed.heartbeat(500)
    assert feed.stale() == []
