"""Which streaming runs are started and ended."""

from dataclasses import replace

import pytest

from market_pipeline.orchestration.plan import End, Phase, Start, StreamRun, plan

NOW = 1_000_000.0
LIVE = StreamRun("live", "kite-0", Phase.RUNNING, created_at=NOW - 600, lived=600, heartbeat_age=2)
SILENT = replace(LIVE, heartbeat_age=46)


def ended(run_id: str, at: float, lived: float = 3) -> StreamRun:
    return StreamRun(run_id, "kite-0", Phase.ENDED, at - lived, ended_at=at, lived=lived)


def test_a_wanted_stream_without_a_run_is_started() -> None:
    assert plan(["kite-0"], [], {}, NOW).start == (Start("kite-0", after=None),)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.ENDED])
def test_a_stream_with_a_live_run_is_left_alone(phase: Phase) -> None:
    young = replace(LIVE, phase=phase, created_at=NOW - 10)
    decided = plan(["kite-0"], [young], {}, NOW)
    assert (decided.start, decided.end) == ((), ())


def test_each_stream_is_planned_by_itself() -> None:
    decided = plan(["kite-0", "kite-1"], [LIVE], {}, NOW)
    assert decided.start == (Start("kite-1", after=None),)


def test_a_request_names_the_newest_run_before_it() -> None:
    runs = [ended("second", NOW - 600), ended("first", NOW - 900)]
    assert plan(["kite-0"], runs, {}, NOW).start == (Start("kite-0", after="second"),)


@pytest.mark.parametrize(("short_runs", "delay"), [(3, 5), (4, 15), (5, 30), (8, 300), (20, 300)])
def test_the_delay_grows_with_the_number_of_short_runs(short_runs: int, delay: float) -> None:
    runs = [ended(f"run {n}", NOW - n) for n in range(short_runs)]
    assert plan(["kite-0"], runs, {}, NOW).waiting == {"kite-0": delay}
    assert plan(["kite-0"], runs, {}, NOW + delay).start


@pytest.mark.parametrize("short_runs", [1, 2])
def test_the_first_short_runs_are_replaced_at_once(short_runs: int) -> None:
    runs = [ended(f"run {n}", NOW - n) for n in range(short_runs)]
    assert plan(["kite-0"], runs, {}, NOW).start


def test_a_clock_that_was_set_back_is_no_reason_to_wait() -> None:
    runs = [ended(f"run {n}", NOW + 3600) for n in range(3)]
    assert plan(["kite-0"], runs, {}, NOW).waiting == {"kite-0": 5}


def test_a_run_that_lived_long_is_replaced_at_once() -> None:
    runs = [ended("short", NOW - 700), ended("long", NOW, lived=600)]
    assert plan(["kite-0"], runs, {}, NOW).start == (Start("kite-0", after="long"),)


def test_silence_is_noticed_before_it_is_believed() -> None:
    decided = plan(["kite-0"], [SILENT], {}, NOW)
    assert (decided.end, decided.noticed) == ((), {"live": NOW})


def test_a_worker_whose_process_is_gone_is_not_waited_for() -> None:
    decided = plan(["kite-0"], [replace(LIVE, process_is_gone=True)], {}, NOW)
    assert decided.end == (End("live", "its process does not exist any more", True),)


def test_a_worker_that_stays_silent_is_gone() -> None:
    decided = plan(["kite-0"], [SILENT], {"live": NOW - 30}, NOW)
    assert decided.end == (End("live", "no heartbeat for 46 s", worker_is_gone=True),)


def test_a_worker_heard_again_is_forgiven() -> None:
    assert plan(["kite-0"], [LIVE], {"live": NOW - 30}, NOW).noticed == {}


@pytest.mark.parametrize(("lived", "is_noticed"), [(60, False), (61, True)])
def test_the_first_heartbeat_may_take_a_minute(lived: float, is_noticed: bool) -> None:
    mute = replace(LIVE, heartbeat_age=None, lived=lived)
    assert bool(plan(["kite-0"], [mute], {}, NOW).noticed) is is_noticed


def test_a_run_that_never_starts_is_given_up() -> None:
    stuck = replace(LIVE, phase=Phase.STARTING, created_at=NOW - 181)
    (end,) = plan(["kite-0"], [stuck], {}, NOW).end
    assert end.worker_is_gone


def test_a_run_may_wait_in_the_queue_for_as_long_as_it_takes() -> None:
    queued = replace(LIVE, phase=Phase.QUEUED, created_at=NOW - 9999)
    assert plan(["kite-0"], [queued], {}, NOW).end == ()


def test_the_younger_of_two_runs_is_ended() -> None:
    double = replace(LIVE, run_id="double", created_at=NOW - 1)
    assert plan(["kite-0"], [double, LIVE], {}, NOW).end == (
        End("double", "an older run has this stream"),
    )


def test_an_unwanted_run_may_end_by_itself() -> None:
    decided = plan([], [LIVE], {}, NOW)
    assert (decided.end, decided.noticed) == ((), {"live": NOW})


def test_an_unwanted_run_that_stays_is_ended() -> None:
    assert plan([], [LIVE], {"live": NOW - 120}, NOW).end == (End("live", "not wanted any more"),)


def test_a_run_that_is_stopping_is_not_told_again() -> None:
    stopping = replace(LIVE, phase=Phase.STOPPING)
    assert plan([], [stopping], {"live": NOW - 999}, NOW).end == ()
