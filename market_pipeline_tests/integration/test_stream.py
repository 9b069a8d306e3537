"""A stream stores what arrives and does what is wanted of it."""

import pytest

from market_pipeline.errors import StreamTakenOver
from market_pipeline.market import Mode
from market_pipeline.storage import instruments
from market_pipeline.streaming.supervisor import StopReason
from market_pipeline_tests.builders import (
    INFY,
    TCS,
    Packet,
    eventually,
    fetch,
    frame,
)
from market_pipeline_tests.stream_cases import (
    STREAM,
    Stream,
    ticks,
    wait_for_state,
    wait_for_ticks,
)
from market_pipeline_tests.stream_cases import hurried as hurried
from market_pipeline_tests.stream_cases import stream as stream


def test_what_arrives_is_stored_while_the_stream_runs(stream: Stream) -> None:
    stream.start()
    stream.send(1, 2, 3)
    wait_for_ticks(stream, 3)


def test_the_heartbeat_says_what_the_stream_does(stream: Stream) -> None:
    stream.start()
    stream.send(1, 2, 3)
    eventually(lambda: stream.row("ticks") == 3, "no heartbeat tells of three ticks")
    assert stream.row("state") == "streaming"
    assert stream.row("instruments") == 1
    assert fetch(stream.database, "SELECT run_id, broker, frames FROM streams") == [
        ("run", "simulator", 3)
    ]


def test_a_report_is_made_while_the_stream_runs(stream: Stream) -> None:
    stream.start()
    stream.send(1)
    wait_for_ticks(stream, 1)
    eventually(lambda: stream.reports, "nothing was reported")
    assert stream.reports[0].stream == STREAM


def test_stopping_stores_all_that_was_received(stream: Stream) -> None:
    run = stream.start()
    eventually(lambda: stream.broker.listened, "the broker was not listened to")
    stream.send(*range(1, 2001))
    eventually(stream.broker.queue.empty, "not all was delivered")
    assert stream.stop(run) is StopReason.STOPPED
    assert ticks(stream.database) == list(range(1, 2001))
    assert stream.row("state") == "stopped"


def test_a_stopped_stream_goes_on_where_it_was(stream: Stream) -> None:
    for volume in (1, 2, 3):
        run = stream.start(f"run-{volume}")
        stream.send(volume)
        wait_for_ticks(stream, volume)
        stream.stop(run)
    assert fetch(stream.database, "SELECT volume FROM ticks ORDER BY seq") == [(1,), (1,), (1,)]
    causes = fetch(stream.database, "SELECT cause, ended_at IS NULL FROM gaps ORDER BY gap_id")
    assert causes == [("asked to stop", False), ("asked to stop", False), ("asked to stop", True)]


def test_a_stream_ends_when_nothing_is_subscribed_any_more(stream: Stream) -> None:
    run = stream.start()
    stream.send(1)
    wait_for_ticks(stream, 1)
    instruments.unsubscribe(stream.database, "simulator", ["INFY"])
    assert run.result(30) is StopReason.NOT_WANTED


def test_a_run_that_was_ended_elsewhere_ends(stream: Stream) -> None:
    run = stream.start()
    stream.fence.set()
    assert run.result(30) is StopReason.FENCED


@pytest.mark.needs_real_server("two sessions contend for a lock")
def test_a_second_run_of_a_stream_is_refused(stream: Stream) -> None:
    stream.start()
    wait_for_state(stream, "streaming")
    with pytest.raises(StreamTakenOver, match=STREAM):
        stream.start("second").result(30)
    stream.send(1)
    wait_for_ticks(stream, 1)


def test_a_new_subscription_is_wanted_without_a_restart(stream: Stream) -> None:
    stream.start()
    eventually(lambda: list(stream.broker.asked) == [INFY], "INFY is not wanted")
    instruments.subscribe(stream.database, "simulator", ["TCS"], Mode.QUOTE)
    expected = {INFY: Mode.FULL, TCS: Mode.QUOTE}
    eventually(lambda: stream.broker.asked == expected, "TCS is not wanted")


def test_an_instrument_listed_since_the_start_is_understood(stream: Stream) -> None:
    stream.start()
    wait_for_state(stream, "streaming")
    fetch(
        stream.database,
        "UPDATE broker_instruments SET token = 257 WHERE broker_symbol = 'TCS'",
    )
    instruments.subscribe(stream.database, "simulator", ["TCS"])
    eventually(lambda: 257 in stream.broker.asked, "the newcomer is not wanted")
    stream.broker.queue.put(frame(Packet(token=257)))
    wait_for_ticks(stream, 1)
