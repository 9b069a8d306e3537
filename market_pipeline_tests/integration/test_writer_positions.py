"""Where a writer goes on, when the database or the journal is not as it left them."""

from market_pipeline.streaming.records import RecordKind
from market_pipeline_tests.builders import Packet, fetch
from market_pipeline_tests.journals import Line, drain, ticks
from market_pipeline_tests.journals import line as line


def test_a_database_that_forgot_commits_gets_them_again(line: Line) -> None:
    line.say(RecordKind.CONNECTED)
    line.packets(Packet(volume=50), Packet(volume=60, at=1))
    opened = line.store()
    forgotten = fetch(line.database, "SELECT * FROM journal_positions")[0]
    position = forgotten[2]
    line.packets(Packet(volume=75, at=2), Packet(volume=75, at=3))
    drain(opened)
    before = ticks(line)
    # As after a fail-over to a server that was behind.
    fetch(line.database, "DELETE FROM ticks WHERE day_volume = 75")
    fetch(line.database, "UPDATE journal_positions SET position = %s, arrivals = 2", position)
    line.packets(Packet(volume=80, at=4))
    drain(opened)
    assert ticks(line)[:-1] == before
    assert [row[2] for row in ticks(line)] == [None, 10, 15, 0, 5]


def test_a_position_that_is_gone_altogether_is_begun_anew(line: Line) -> None:
    line.say(RecordKind.CONNECTED)
    line.packets(Packet(volume=50), Packet(volume=60, at=1))
    opened = line.store()
    before = ticks(line)
    fetch(line.database, "TRUNCATE ticks, journal_positions")
    line.packets(Packet(volume=75, at=2))
    drain(opened)
    assert ticks(line)[:-1] == before


def test_a_checkpoint_on_request_lets_go_of_everything_stored(line: Line) -> None:
    line.say(RecordKind.CONNECTED)
    line.packets(Packet(volume=50))
    opened = line.store()
    opened.checkpoint()
    assert opened.checkpoint_position == opened.progress.position == line.journal.end
    line.journal.make_room(opened.checkpoint_position)
    line.packets(Packet(volume=60, at=1))
    drain(opened)
    assert [row[2] for row in ticks(line)] == [None, 10]
