"""The simulated exchange's real-time clock on a machine whose own clock is moved."""

import asyncio
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator import clock
from market_pipeline.simulator.clock import RealClock
from market_pipeline.simulator.kite_server import SimulatorOptions, build_exchange

BEGIN = 1_790_000_000.25
HOUR = 3600


class Machine:
    """A machine's clocks; time passes while somebody sleeps."""

    def __init__(self) -> None:
        self.wall = BEGIN
        self.steady = 50.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    async def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(clock, "time", machine)
    monkeypatch.setattr(clock, "asyncio", machine)
    return machine


def seconds(running: RealClock, count: int) -> list[int]:
    """Return the next seconds, counted from BEGIN."""

    async def enter() -> list[int]:
        return [await running.next_second() - int(BEGIN) for _ in range(count)]

    return asyncio.run(enter())


def test_seconds_begin_with_those_of_the_machine(machine: Machine) -> None:
    assert seconds(RealClock(), 3) == [1, 2, 3]
    assert machine.wall - int(BEGIN) == pytest.approx(3, abs=0.01)


def test_a_shifted_clock_is_ahead_by_a_constant(machine: Machine) -> None:
    assert seconds(RealClock(shift_seconds=HOUR), 2) == [HOUR + 1, HOUR + 2]


def test_a_clock_begins_with_the_moment_it_is_given(machine: Machine) -> None:
    midnight = datetime(2026, 11, 25, tzinfo=EXCHANGE_TZ)
    running = RealClock.starting_at(midnight)
    assert running.now() == midnight.timestamp()


def test_a_clock_without_a_moment_shows_the_machines_time(machine: Machine) -> None:
    assert RealClock.starting_at(None).now() == int(BEGIN)


@pytest.mark.parametrize("back", [0.5, 10, HOUR])
def test_a_machine_that_is_set_back_does_not_stall_the_seconds(
    machine: Machine, back: float
) -> None:
    running = RealClock()
    seconds(running, 1)
    machine.wall -= back
    begun = machine.steady
    assert seconds(running, 5) == [2, 3, 4, 5, 6]
    assert machine.steady - begun == pytest.approx(5, abs=0.01)


def test_a_machine_that_is_set_back_and_forth_changes_nothing(machine: Machine) -> None:
    running = RealClock()
    machine.wall -= HOUR
    seconds(running, 3)
    machine.wall += HOUR
    begun = machine.steady
    assert seconds(running, 2) == [4, 5]
    assert machine.steady - begun == pytest.approx(2, abs=0.01)


def test_a_few_late_seconds_come_one_after_the_other_at_once(machine: Machine) -> None:
    running = RealClock()
    machine.wall += 30
    assert seconds(running, 30) == list(range(1, 31))
    assert machine.steady == 50.0


def test_a_long_sleep_of_the_machine_is_left_out(machine: Machine) -> None:
    running = RealClock()
    machine.wall += HOUR
    assert seconds(running, 2) == [HOUR + 1, HOUR + 2]


def test_a_machine_that_is_set_back_after_a_jump_goes_on_from_the_jump(machine: Machine) -> None:
    running = RealClock()
    machine.wall += HOUR
    seconds(running, 1)
    machine.wall -= HOUR
    assert seconds(running, 2) == [HOUR + 2, HOUR + 3]


# The option


def test_the_exchange_starts_at_a_moment_of_india_and_lists_that_days_contracts() -> None:
    moment = datetime(2031, 1, 15, 23, 59, 40)  # noqa: DTZ001 - as it comes from a command line
    exchange, running = build_exchange(SimulatorOptions(starts_at=moment, instruments=400))
    assert running.now() - moment.replace(tzinfo=EXCHANGE_TZ).timestamp() in (0, 1)
    expiries = [each.expiry for each in exchange.listing.securities if each.expiry]
    assert min(expiries) >= moment.date()


@pytest.mark.parametrize("other", [{"replay": Path("candles.csv")}, {"day": date(2026, 11, 23)}])
def test_a_replay_cannot_start_at_another_moment(other: dict[str, Any]) -> None:
    moment = datetime(2026, 11, 24, tzinfo=EXCHANGE_TZ)
    with pytest.raises(ConfigurationError, match=f"starts_at and {next(iter(other))}"):
        build_exchange(SimulatorOptions(starts_at=moment, **other))
