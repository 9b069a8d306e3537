"""A stream meets expired tokens, outages and errors, and loses nothing."""

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from market_pipeline.brokers import kite_wire
from market_pipeline.errors import JournalFull, RequestRefused, TokenExpired
from market_pipeline.storage import instruments
from market_pipeline.streaming import last_seen
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.supervisor import StopReason
from market_pipeline_tests.builders import (
    eventually,
    fetch,
    outage,
)
from market_pipeline_tests.stream_cases import (
    Stream,
    prepare,
    ticks,
    wait_for_state,
    wait_for_ticks,
)
from market_pipeline_tests.stream_cases import hurried as hurried
from market_pipeline_tests.stream_cases import stream as stream


def test_a_lost_journal_does_not_hold_up_what_arrives_next(stream: Stream, tmp_path: Path) -> None:
    run = stream.start("first")
    stream.send(*range(1, 21))
    wait_for_ticks(stream, 20)
    stream.stop(run)
    (tmp_path / "journal").rename(tmp_path / "lost")
    stream.start("second")
    stream.send(25)
    wait_for_ticks(stream, 21)


def test_an_expired_token_is_waited_for(stream: Stream) -> None:
    stream.start()
    stream.broker.queue.put(TokenExpired())
    wait_for_state(stream, "awaiting_login")
    assert stream.broker.listened == 1
    stream.broker.fingerprint = "second"
    stream.send(1)
    wait_for_ticks(stream, 1)
    wait_for_state(stream, "streaming")


def test_a_stream_that_awaits_a_login_can_be_stopped(stream: Stream) -> None:
    run = stream.start()
    stream.broker.queue.put(TokenExpired())
    wait_for_state(stream, "awaiting_login")
    assert stream.stop(run) is StopReason.STOPPED


def test_an_error_of_the_listener_ends_the_stream_with_it(stream: Stream) -> None:
    run = stream.start()
    stream.send(1)
    stream.broker.queue.put(RequestRefused("no such feed"))
    with pytest.raises(RequestRefused, match="no such feed"):
        run.result(30)
    assert stream.row("state") == "failed"
    assert fetch(stream.database, "SELECT detail FROM streams") == [
        ("RequestRefused: no such feed",)
    ]
    assert ticks(stream.database) == [1]


def test_a_failing_journal_ends_the_stream(stream: Stream) -> None:
    run = stream.start()
    wait_for_state(stream, "streaming")
    (folder,) = (stream.settings.market_pipeline_home / "journal").iterdir()
    stream.broker.queue.put(bytes(65 * 1024 * 1024))
    with pytest.raises(Exception, match="a payload of 68157440 bytes"):
        run.result(30)
    assert stream.row("state") == "failed"
    assert (folder / "lock").exists()


def test_a_full_journal_is_waited_for_and_is_a_gap(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stream.start()
    stream.send(1)
    wait_for_ticks(stream, 1)
    room = threading.Event()
    monkeypatch.setattr(Journal, "has_room", property(lambda journal: room.is_set()))
    stream.broker.queue.put(JournalFull("no space"))
    wait_for_state(stream, "journal_full")
    assert not run.done()
    room.set()
    stream.send(2)
    wait_for_ticks(stream, 2)
    wait_for_state(stream, "streaming")
    causes = fetch(stream.database, "SELECT cause FROM gaps WHERE ended_at IS NOT NULL")
    assert ("listening ended",) in causes or ("no space",) in causes


def test_instruments_of_which_nothing_comes_are_reported(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(last_seen, "FIRST_PACKET_SECONDS", 0)
    instruments.subscribe(stream.database, "simulator", ["TCS"])
    stream.start()
    wait_for_state(stream, "streaming")
    stream.send(1)  # of INFY alone
    query = (
        "SELECT i.symbol FROM streams AS s"
        " JOIN instruments AS i ON i.instrument_id = ANY (s.stale_instruments)"
    )

    def is_reported() -> bool:
        stream.broker.queue.put(kite_wire.HEARTBEAT)
        return fetch(stream.database, query) == [("TCS",)]

    eventually(is_reported, "TCS is not reported")
    assert "nothing comes of instruments" in caplog.text
    assert stream.database.query("stale_instruments")["name"].to_list() == ["NSE:TCS"]


def test_an_outage_of_the_database_loses_nothing(
    tmp_path: Path, hurried: None, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(outage())
        prepare(server.database)
        stream = Stream(server.database, tmp_path)
        stack.callback(stream.close)
        run = stream.start()
        stream.send(1, 2)
        wait_for_ticks(stream, 2)
        server.begin()
        stream.send(*range(3, 50))
        eventually(stream.broker.queue.empty, "not all was delivered")
        eventually(lambda: "trying again" in caplog.text, "the writer met no outage")
        eventually(lambda: "no heartbeat" in caplog.text, "the heartbeat met no outage")
        assert not run.done()
        server.end()
        wait_for_ticks(stream, 49)
        wait_for_state(stream, "streaming")
        assert stream.stop(run) is StopReason.STOPPED
        assert ticks(server.database) == list(range(1, 50))
