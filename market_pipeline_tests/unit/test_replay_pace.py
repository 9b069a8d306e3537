"""A replay goes at its speed: never faster, and not in bursts after it was held up."""

from datetime import date, time

import numpy as np
import pytest

from market_pipeline.errors import ConfigurationError
from market_pipeline.replay.comparing import whole_minutes
from market_pipeline.replay.order import Order
from market_pipeline.replay.pace import Pace, Portion
from market_pipeline.replay.spool import Spool

DAY = date(2026, 11, 20)
SECOND = 10**9


def test_ticks_are_due_as_far_apart_as_they_were_received() -> None:
    pace = Pace(1)
    waits = [pace.wait(at * SECOND, now=100) for at in (500, 501, 560)]
    assert waits == [0, 1, 60]


def test_a_speed_makes_the_time_between_them_shorter() -> None:
    pace = Pace(20)
    assert pace.wait(500 * SECOND, now=100) == 0
    assert pace.wait(560 * SECOND, now=101) == pytest.approx(2)


def test_as_fast_as_it_goes_there_is_nothing_to_wait_for() -> None:
    pace = Pace(None)
    assert [pace.wait(at * SECOND, now=0) for at in (1, 10_000)] == [0, 0]


def test_a_little_that_was_missed_is_made_up_for() -> None:
    pace = Pace(1)
    pace.wait(0, now=0)
    assert pace.wait(10 * SECOND, now=10.5) == 0
    assert pace.wait(11 * SECOND, now=10.5) == 0.5


def test_after_a_pause_it_goes_on_at_its_pace_and_not_in_a_burst() -> None:
    pace = Pace(2)
    pace.wait(0, now=0)
    assert pace.wait(10 * SECOND, now=1000) == 0  # was due at 5
    assert pace.wait(20 * SECOND, now=1000) == 5


def test_a_portion_is_what_a_writer_finds_at_that_speed() -> None:
    assert Pace(4).portion(0.25, 1000) == Portion(SECOND, 1000)
    assert Pace(None).portion(0.25, 1000).nanoseconds > 86_400 * SECOND


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(ConfigurationError, match="speed must be above 0, or max"):
        Order(DAY, speed=speed)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--to must be later than --from"):
        Order(DAY, since=time(10), until=time(9, 59))


def test_minutes_that_are_compared_are_wholly_in_the_period() -> None:
    order = Order(DAY, since=time(9, 15, 1), until=time(9, 20, 30))
    assert [f"{each:%H:%M:%S}" for each in whole_minutes(order)] == ["03:46:00", "03:50:00"]
    order = Order(DAY, since=time(9, 15), until=time(9, 20))
    assert [f"{each:%H:%M:%S}" for each in whole_minutes(order)] == ["03:45:00", "03:50:00"]


def received(*seconds: int, instrument: int = 1) -> dict[str, np.ndarray]:
    at = np.array(seconds, np.int64)
    return {
        "time": at * 1_000_000,
        "received_at": at * 1_000_000,
        "seq": at << 32 | at,
        "instrument_id": np.full(len(at), instrument, np.int64),
    }


@pytest.fixture
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    made = Spool(tmp_path_factory.mktemp("spool"))
    made.add(received(1, 400, 5000), stands_by=False)
    made.add(received(0, 2, 401, 4999, instrument=2), stands_by=True)
    return made


def test_ticks_that_came_by_instrument_go_by_when_they_were_received(spool: Spool) -> None:
    portions = list(spool.portions(Portion(2**62, 1000)))
    seconds = np.concatenate([part["received_at"] for part, _ in portions]) // 1_000_000
    assert seconds.tolist() == [0, 1, 2, 400, 401, 4999, 5000]
    standby = np.concatenate([stands_by for _, stands_by in portions])
    assert standby.tolist() == [True, False, True, False, True, True, False]


def test_portions_are_neither_longer_nor_larger_than_they_may_be(spool: Spool) -> None:
    portions = [part["received_at"] // 1_000_000 for part, _ in spool.portions(Portion(SECOND, 2))]
    assert [each.tolist() for each in portions] == [[0], [1], [2], [400], [401], [4999], [5000]]


def test_a_spool_leaves_nothing_behind(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("spool")
    made = Spool(folder)
    made.add(received(1, 400, 5000), stands_by=False)
    assert len(list(made.portions(Portion(SECOND, 2)))) == 3
    assert list(folder.iterdir()) == []
