"""What is received is stamped in order, whatever is done to the machine's clock."""

from market_pipeline.streaming.clock import ReceiveClock

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
NOW = 20_000 * DAY


class Machine:
    """A machine whose wall clock can be set; time passes on both of its clocks."""

    def __init__(self) -> None:
        self.wall, self.steady = NOW, 5 * SECOND

    def pass_(self, seconds: float) -> None:
        self.wall += int(seconds * SECOND)
        self.steady += int(seconds * SECOND)

    def clock(self, not_before: int = 0) -> ReceiveClock:
        return ReceiveClock(not_before, lambda: self.wall, lambda: self.steady)


def test_the_clock_shows_the_time_of_the_machine() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.pass_(3)
    assert clock.now() == NOW + 3 * SECOND


def test_a_clock_set_back_an_hour_goes_on_at_its_pace() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.now()
    machine.wall -= 3600 * SECOND
    machine.pass_(7)
    assert clock.now() == NOW + 7 * SECOND


def test_a_clock_that_was_put_right_is_followed_again() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.now()
    machine.wall -= 3600 * SECOND
    machine.pass_(7)
    clock.now()
    machine.wall += 3600 * SECOND + SECOND // 2
    assert clock.now() == NOW + 7 * SECOND + SECOND // 2


def test_a_step_forward_is_followed() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.now()
    machine.wall += 3600 * SECOND
    assert clock.now() == NOW + 3600 * SECOND


def test_a_clock_that_trembles_never_shows_less_than_before() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.wall -= 1000
    assert clock.now() >= before


def test_a_date_that_was_wrong_altogether_is_corrected() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += 400 * DAY
    clock.now()
    machine.wall -= 400 * DAY
    assert clock.now() == NOW


def test_a_restart_after_the_clock_was_set_back_goes_on_after_the_last_record() -> None:
    machine = Machine()
    clock = machine.clock(not_before=NOW + 1800 * SECOND)
    machine.pass_(2)
    assert clock.now() == NOW + 1802 * SECOND
