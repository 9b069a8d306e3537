"""Which streaming runs are started and ended."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from market_pipeline.orchestration.plan import (
    Attempt,
    End,
    Memory,
    Phase,
    Start,
    StreamRun,
    plan,
)

NOW = 1_000_000.0
LIVE = StreamRun("live", "kite-0", Phase.RUNNING, created_at=NOW - 600, lived=600, heartbeat_age=2)
SILENT = replace(LIVE, heartbeat_age=46)


def ended(run_id: str, at: float, lived: float = 3) -> StreamRun:
    return StreamRun(run_id, "kite-0", Phase.ENDED, at - lived, ended_at=at, lived=lived)


def test_a_wanted_stream_without_a_run_is_started() -> None:
    assert plan(["kite-0"], [], Memory(), NOW).start == (Start("kite-0", after=None),)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.ENDED])
def test_a_stream_with_a_live_run_is_left_alone(phase: Phase) -> None:
    young = replace(LIVE, phase=phase, created_at=NOW - 10)
    decided = plan(["kite-0"], [young], Memory(), NOW)
    assert (decided.start, decided.end) == ((), ())


def test_each_stream_is_planned_by_itself() -> None:
    decided = plan(["kite-0", "kite-1"], [LIVE], Memory(), NOW)
    assert decided.start == (Start("kite-1", after=None),)


def test_a_request_names_the_newest_run_before_it() -> None:
    runs = [ended("second", NOW - 600), ended("first", NOW - 900)]
    assert plan(["kite-0"], runs, Memory(), NOW).start == (Start("kite-0", after="second"),)


@pytest.mark.parametrize(("in_vain", "delay"), [(2, 5), (3, 15), (4, 30), (7, 300), (20, 300)])
def test_the_delay_grows_with_the_number_of_starts_in_vain(in_vain: int, delay: float) -> None:
    memory = Memory(attempts={"kite-0": Attempt(7, in_vain)}, stored={"kite-0": 7})
    assert plan(["kite-0"], [ended("run", NOW)], memory, NOW).waiting == {"kite-0": delay}
    assert plan(["kite-0"], [ended("run", NOW)], memory, NOW + delay).start


def test_a_stream_that_stored_something_is_started_again_at_once() -> None:
    memory = Memory(attempts={"kite-0": Attempt(7, 20)}, stored={"kite-0": 8})
    decided = plan(["kite-0"], [ended("run", NOW)], memory, NOW)
    assert decided.start == (Start("kite-0", after="run"),)
    assert decided.attempts == {"kite-0": Attempt(8, 1)}


def test_starts_in_vain_are_counted_until_something_is_stored() -> None:
    attempts: Mapping[str, Attempt] = {}
    for number in range(1, 5):
        memory = Memory(attempts=attempts, stored={"kite-0": 0})
        attempts = plan(["kite-0"], [ended("run", NOW - 999)], memory, NOW).attempts
        assert attempts == {"kite-0": Attempt(0, number)}


def test_a_waiting_stream_is_not_counted_as_started() -> None:
    memory = Memory(attempts={"kite-0": Attempt(7, 4)}, stored={"kite-0": 7})
    assert plan(["kite-0"], [ended("run", NOW)], memory, NOW).attempts == memory.attempts


def test_a_clock_that_was_set_back_is_no_reason_to_wait() -> None:
    memory = Memory(attempts={"kite-0": Attempt(7, 2)}, stored={"kite-0": 7})
    decided = plan(["kite-0"], [ended("run", NOW + 3600)], memory, NOW)
    assert decided.waiting == {"kite-0": 5}


def test_silence_is_noticed_before_it_is_believed() -> None:
    decided = plan(["kite-0"], [SILENT], Memory(), NOW)
    assert (decided.end, decided.noticed) == ((), {"live": NOW})


def test_a_worker_whose_process_is_gone_is_not_waited_for() -> None:
    decided = plan(["kite-0"], [replace(LIVE, process_is_gone=True)], Memory(), NOW)
    assert decided.end == (End("live", "its process does not exist any more", True),)


def test_a_worker_that_stays_silent_is_gone() -> None:
    decided = plan(["kite-0"], [SILENT], Memory(noticed={"live": NOW - 30}), NOW)
    assert decided.end == (End("live", "no heartbeat for 46 s", worker_is_gone=True),)


def test_a_worker_heard_again_is_forgiven() -> None:
    assert plan(["kite-0"], [LIVE], Memory(noticed={"live": NOW - 30}), NOW).noticed == {}


@pytest.mark.parametrize(("lived", "is_noticed"), [(60, False), (61, True)])
def test_the_first_heartbeat_may_take_a_minute(lived: float, is_noticed: bool) -> None:
    mute = replace(LIVE, heartbeat_age=None, lived=lived)
    assert bool(plan(["kite-0"], [mute], Memory(), NOW).noticed) is is_noticed


def test_a_run_that_never_starts_is_given_up() -> None:
    stuck = replace(LIVE, phase=Phase.STARTING, created_at=NOW - 181)
    (end,) = plan(["kite-0"], [stuck], Memory(), NOW).end
    assert end.worker_is_gone


def test_a_run_may_wait_in_the_queue_for_as_long_as_it_takes() -> None:
    queued = replace(LIVE, phase=Phase.QUEUED, created_at=NOW - 9999)
    assert plan(["kite-0"], [queued], Memory(), NOW).end == ()


def test_the_younger_of_two_runs_is_ended() -> None:
    double = replace(LIVE, run_id="double", created_at=NOW - 1)
    assert plan(["kite-0"], [double, LIVE], Memory(), NOW).end == (
        End("double", "an older run has this stream"),
    )


def test_an_unwanted_run_may_end_by_itself() -> None:
    decided = plan([], [LIVE], Memory(), NOW)
    assert (decided.end, decided.noticed) == ((), {"live": NOW})


def test_an_unwanted_run_that_stays_is_ended() -> None:
    assert plan([], [LIVE], Memory(noticed={"live": NOW - 120}), NOW).end == (
        End("live", "not wanted any more"),
    )


def test_a_run_that_is_stopping_is_not_told_again() -> None:
    stopping = replace(LIVE, phase=Phase.STOPPING)
    assert plan([], [stopping], Memory(noticed={"live": NOW - 999}), NOW).end == ()
