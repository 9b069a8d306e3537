"""Two brokers send the same: one makes the candles, the other stands by and takes over."""

from datetime import UTC, datetime, timedelta

import pytest

from market_pipeline.errors import JournalError, RowsRefused
from market_pipeline.storage.ticks import Batch, TickStore
from market_pipeline.streaming import checkpoints, writer
from market_pipeline.streaming.records import RecordKind
from market_pipeline_tests.builders import INFY, OPEN, TCS, fetch
from market_pipeline_tests.journals import drain
from market_pipeline_tests.two_feeds import PREFERRED, STANDBY, TwoFeeds, trade
from market_pipeline_tests.two_feeds import feeds as feeds


def test_while_the_preferred_feed_lives_the_other_makes_no_tick(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 4), PREFERRED, STANDBY)
    feeds.tick(PREFERRED, 4, 40)
    feeds.store()
    assert feeds.ticks()[:-1] == [("kite", 1.1, 10), ("kite", 2.1, 20), ("kite", 3.1, 30)]
    assert feeds.standby() == [("fyers", 1.2, 10), ("fyers", 2.2, 20), ("fyers", 3.2, 30)]


def test_when_its_line_ends_the_other_takes_over_from_its_last_frame_on(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 4), PREFERRED, STANDBY)
    feeds.tick(STANDBY, 4.2, 40)
    feeds.disconnect(PREFERRED, 4.5)
    feeds.tick(STANDBY, 5.2, 50)
    feeds.store()
    assert feeds.ticks()[2:] == [
        ("kite", 3.1, 30),
        ("fyers", 3.2, 30),
        ("fyers", 4.2, 40),
        ("fyers", 5.2, 50),
    ]
    assert feeds.standby() == [("fyers", 1.2, 10), ("fyers", 2.2, 20)]
    assert feeds.volume() == 50


def test_when_it_falls_silent_the_other_takes_over_without_a_hole(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    trade(feeds, range(3, 8), STANDBY)
    feeds.store()
    assert [at for _, at, _ in feeds.ticks()] == [1.1, 2.1, 2.2, 3.1, 4.1, 5.1, 6.1, 7.1]
    assert feeds.volume() == 70


def test_heartbeats_alone_do_not_keep_the_other_from_taking_over(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    for second in range(3, 16):
        feeds.heartbeat(PREFERRED, second)
        trade(feeds, range(second, second + 1), STANDBY)
    feeds.store()
    assert [at for _, at, _ in feeds.ticks()] == [1.1, 2.1, 2.2, *(at + 0.1 for at in range(3, 16))]
    assert feeds.volume() == 150
    assert feeds.gaps() == []


def test_what_the_preferred_feed_died_behind_is_told_again(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.tick(STANDBY, 2.8, 27)
    feeds.tick(PREFERRED, 2.9, 7, token=TCS)
    feeds.disconnect(PREFERRED, 3)
    feeds.tick(STANDBY, 63, 40)
    feeds.store()
    assert feeds.standby() == [("fyers", 1.2, 10), ("fyers", 2.2, 20), ("fyers", 2.8, 27)]
    assert [each for each in feeds.ticks() if each[0] == "fyers"] == [
        ("fyers", 2.8, 27),
        ("fyers", 63.0, 40),
    ]
    first = "SELECT sum(volume)::bigint FROM ticks WHERE instrument_id = 1 AND time < %s"
    assert fetch(feeds.database, first, datetime.fromtimestamp(OPEN + 60, UTC)) == [(27,)]


def test_its_return_counts_nothing_twice(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.disconnect(PREFERRED, 2.5)
    trade(feeds, range(3, 6), STANDBY)
    feeds.connect(PREFERRED, 6)
    trade(feeds, range(6, 9), PREFERRED, STANDBY)
    feeds.heartbeat(PREFERRED, 9)
    feeds.store()
    assert feeds.volume() == 80
    assert [broker for broker, at, _ in feeds.ticks() if at > 6] == ["kite", "kite", "kite"]


def test_what_the_preferred_feed_has_not_sent_since_it_connected_comes_from_the_other(
    feeds: TwoFeeds,
) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.tick(STANDBY, 2.5, 7, token=TCS)
    feeds.tick(PREFERRED, 3, 30)
    feeds.store()
    assert ("fyers", 2.5, 7) in feeds.ticks()
    assert ("fyers", 2.5, 7) not in feeds.standby()


def test_a_feed_that_is_behind_the_other_is_no_anomaly(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.disconnect(PREFERRED, 2.5)
    feeds.tick(STANDBY, 3, 35)
    feeds.connect(PREFERRED, 3.5)
    for at in (4, 5):
        feeds.tick(PREFERRED, at, 30)
    feeds.tick(PREFERRED, 6, 40, quantity=10)
    opened = feeds.store()
    assert opened.progress.anomalies == 0
    assert feeds.volume() == 40


def test_a_gap_that_the_other_covers_says_so(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.disconnect(PREFERRED, 2.5)
    trade(feeds, range(3, 6), STANDBY)
    feeds.connect(PREFERRED, 6)
    feeds.tick(PREFERRED, 6.5, 60)
    feeds.store()
    assert feeds.gaps() == [("kite", 2.1, 6.5, "fyers", [1])]


def test_a_gap_is_open_for_instruments_that_the_other_does_not_carry(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.tick(PREFERRED, 2.5, 7, token=TCS)
    feeds.disconnect(PREFERRED, 3)
    feeds.tick(STANDBY, 4, 40)
    feeds.store()
    assert feeds.gaps() == [("kite", 2.5, None, "fyers", [1]), ("kite", 2.5, None, None, [2])]


def test_while_both_are_down_nobody_covers(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.disconnect(PREFERRED, 2.5)
    feeds.tick(STANDBY, 3.5, 30)
    feeds.disconnect(STANDBY, 4)
    feeds.connect(STANDBY, 6)
    feeds.tick(STANDBY, 6.5, 60)
    feeds.connect(PREFERRED, 7)
    feeds.tick(PREFERRED, 7.5, 70)
    feeds.store()
    assert feeds.gaps() == [
        ("kite", 2.1, 3.5, "fyers", [1]),
        ("kite", 3.5, 6.5, None, [1]),
        ("fyers", 3.5, 6.5, None, [1]),
        ("kite", 6.5, 7.5, "fyers", [1]),
    ]


def test_the_end_of_the_process_is_a_gap_of_both(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.record(PREFERRED, RecordKind.STARTED, b"next", 5)
    for feed in (PREFERRED, STANDBY):
        feeds.connect(feed, 6)
        feeds.tick(feed, 7 + feed, 70)
    feeds.store()
    assert feeds.gaps() == [
        ("kite", 2.1, 7.0, None, [1]),
        ("fyers", 2.2, 7.0, None, [1]),
        ("fyers", 7.0, 8.0, "kite", [1]),
    ]


def test_a_covered_gap_is_covered_no_longer_than_the_other_runs(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.disconnect(PREFERRED, 2.5)
    feeds.tick(STANDBY, 3, 30)
    feeds.record(PREFERRED, RecordKind.STOPPED, b"session closed", 5)
    feeds.record(PREFERRED, RecordKind.STARTED, b"next", 20)
    feeds.store()
    assert feeds.gaps() == [("kite", 2.1, 3.0, "fyers", [1]), ("kite", 3.0, None, None, [1])]


def test_a_gap_of_the_feed_that_stands_by_is_covered(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.disconnect(STANDBY, 2.5)
    trade(feeds, range(3, 6), PREFERRED)
    feeds.store()
    assert feeds.gaps() == [("fyers", 2.2, None, "kite", [1])]


def test_a_covered_gap_touches_no_candle(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.disconnect(PREFERRED, 2.5)
    trade(feeds, range(3, 60), STANDBY)
    feeds.store()
    opening = datetime.fromtimestamp(OPEN, UTC)
    minute = {"starts_at": opening, "ends_at": opening + timedelta(minutes=1)}
    rows = feeds.database.query("live_minutes", instrument_ids=[1], **minute)
    assert rows.select("volume", "has_gap").rows() == [(590, False)]


def test_after_an_orderly_end_one_broker_goes_on_alone(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.record(PREFERRED, RecordKind.STOPPED, b"asked to stop", 3)
    feeds.store().checkpoint()
    feeds.brokers = ["kite"]
    feeds.record(PREFERRED, RecordKind.STARTED, b"next", 4)
    feeds.connect(PREFERRED, 4)
    trade(feeds, range(5, 8), PREFERRED)
    feeds.store("next")
    assert feeds.volume() == 70
    assert feeds.gaps() == [("kite", 2.1, 5.1, None, [1]), ("fyers", 2.2, 3.0, None, [1])]


def test_a_journal_of_two_feeds_is_not_read_as_one(feeds: TwoFeeds) -> None:
    feeds.brokers = ["kite"]
    with pytest.raises(JournalError, match="BROKER"):
        feeds.store()


def test_what_is_held_outlives_a_restart(feeds: TwoFeeds) -> None:
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    first = feeds.store()
    first.checkpoint()
    feeds.tick(STANDBY, 3.2, 30)
    feeds.disconnect(PREFERRED, 3.5)
    feeds.store("second")
    assert feeds.ticks()[-2:] == [("fyers", 2.2, 20), ("fyers", 3.2, 30)]
    assert feeds.volume() == 30


def test_packets_held_of_the_other_feed_that_the_database_refuses_block_nothing_else(
    feeds: TwoFeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = TickStore.commit

    def refuse(store: TickStore, batch: Batch) -> None:
        volumes = [*batch.ticks["day_volume"].tolist(), *batch.standby["day_volume"].tolist()]
        if 666 in volumes:
            raise RowsRefused("no such volume")
        commit(store, batch)

    monkeypatch.setattr(TickStore, "commit", refuse)
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.tick(STANDBY, 3, 666)
    trade(feeds, range(4, 7), PREFERRED, STANDBY)
    feeds.heartbeat(PREFERRED, 7)
    feeds.store()
    assert [at for broker, at, _ in feeds.ticks() if broker == "kite"] == [1.1, 2.1, 4.1, 5.1, 6.1]
    (reason,) = fetch(feeds.database, "SELECT reason FROM rejected")
    assert "stands by" in reason[0] and "no such volume" in reason[0]
    before = feeds.ticks(), feeds.standby()
    feeds.tick(PREFERRED, 9.5, 95)
    feeds.store("second")
    assert feeds.ticks()[:-1] == before[0]


def test_instruments_are_apart(feeds: TwoFeeds) -> None:
    for second in range(1, 4):
        for feed in (PREFERRED, STANDBY):
            for place, token in enumerate((INFY, TCS)):
                feeds.tick(feed, second + 0.1 * feed + 0.01 * place, second, token=token)
    feeds.tick(PREFERRED, 4, 4)
    drain(feeds.writer(batch_bytes=1))
    assert (len(feeds.ticks()), len(feeds.standby())) == (7, 6)


def test_a_rebuild_makes_what_was_stored_of_both(
    feeds: TwoFeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.store()  # something is held at this checkpoint
    feeds.disconnect(PREFERRED, 2.5)
    trade(feeds, range(3, 6), STANDBY)
    feeds.connect(PREFERRED, 6)
    trade(feeds, range(6, 9), PREFERRED, STANDBY)
    feeds.heartbeat(PREFERRED, 9)
    feeds.store("second")
    before = feeds.ticks(), feeds.standby()
    for since in (0, 3):
        outcome = feeds.rebuild(since)
        assert (outcome.difference.deleted, outcome.difference.inserted) == (0, 0)
        assert (feeds.ticks(), feeds.standby()) == before


def test_a_rebuild_from_between_finds_what_was_told_again(
    feeds: TwoFeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)
    trade(feeds, range(1, 3), PREFERRED, STANDBY)
    feeds.tick(STANDBY, 2.8, 27)
    feeds.tick(PREFERRED, 2.9, 7, token=TCS)
    feeds.store()
    feeds.disconnect(PREFERRED, 3.5)
    feeds.tick(STANDBY, 4, 40)
    feeds.store("second")
    before = feeds.ticks(), feeds.standby()
    outcome = feeds.rebuild(3)
    assert (outcome.difference.deleted, outcome.difference.inserted) == (0, 0)
    assert (feeds.ticks(), feeds.standby()) == before
