"""Whatever is received, and however it is stored, ticks and candles are those of the oracle."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import count, groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import polars as pl
import psycopg
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from market_pipeline.market import Mode
from market_pipeline.storage import candles
from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import TickStore
from market_pipeline.streaming.meaning import Source
from market_pipeline.streaming.records import RecordKind
from market_pipeline.streaming.writer import Writer
from market_pipeline_tests import oracle
from market_pipeline_tests.builders import DAY, INFY, NIFTY, OPEN, TCS, Packet, fetch, frame
from market_pipeline_tests.journals import Line, drain
from market_pipeline_tests.oracle import Candles, Connected, Event, Restarted

USDINR, GOLD = 263 << 8 | 3, 57998 << 8 | 7
NUMBERS = {INFY: 1, TCS: 2, USDINR: 3, GOLD: 7, NIFTY: 9}
PRICES = {INFY: 100.0, TCS: 3012.35, USDINR: 83.1275, GOLD: 71_234.0, NIFTY: 24_107.45}
STEPS = {INFY: 0.05, TCS: 0.05, USDINR: 0.0025, GOLD: 1.0, NIFTY: 0.05}
LENGTHS = ("1m", "5m", "15m", "1d")
TABLES = (
    *("ticks", "journal_positions", "gaps", "rejected", "candle_invalidations"),
    *(f"candles_{length}_stored" for length in LENGTHS),
    *(f"candles_{length}_aggregate" for length in reversed(LENGTHS)),  # of TimescaleDB
)
TICKS = """
    SELECT instrument_id, extract(epoch FROM time)::bigint, volume, is_trade, high, low
    FROM ticks WHERE seq >> 32 = extract(epoch FROM time) ORDER BY seq & 4294967295
"""
CANDLES = "SELECT extract(epoch FROM time)::bigint, * FROM {}"

# Half hours: when they begin after the first opening, and what is traded in them.
MORNINGS = [(begins, tuple(NUMBERS)) for begins in (-900, -400, 0, 9_000)]
EVENING = (51_000, (GOLD,))  # 23:25 to 23:55
NEXT_DAYS = [(DAY + begins, tuple(NUMBERS)) for begins in (-900, 0, 3_000)]
HALF_HOUR = 1_800


class Happening(NamedTuple):
    """What an exchange does next, and when the packet that tells of it arrives."""

    token: int
    seconds: int  # since the happening before
    moves: list[int]  # the steps by which the price moves, trade by trade; none: quotes alone
    delay: int
    line: str  # what becomes of the line just before


class Decision(NamedTuple):
    """How a writer goes on."""

    events: int  # that arrive meanwhile
    steps: int
    batch_bytes: int
    is_restarted: bool
    is_checkpointed: bool
    refreshed: int | None  # at least until then, in seconds after the first opening


HAPPENINGS = st.lists(
    st.builds(
        Happening,
        token=st.sampled_from(list(NUMBERS)),
        seconds=st.sampled_from([0, 0, 1, 1, 1, 2, 7, 20, 60, 400]),
        moves=st.lists(st.integers(-6, 6), max_size=3),
        delay=st.sampled_from([0] * 12 + [1, 2, 5, 70, 400]),
        line=st.sampled_from(["carries"] * 60 + ["reconnected", "restarted", "yesterday"]),
    ),
    min_size=100,
    max_size=330,
)
HALF_HOURS = st.builds(
    lambda morning, evening, next_day: [morning, *evening, *next_day],
    st.sampled_from(MORNINGS),
    st.sampled_from([[], [EVENING]]),
    st.sampled_from([[], *([each] for each in NEXT_DAYS)]),
)
FIRST_SEEN = st.sampled_from(["nothing", "yesterday", "mid-session"])
# Of each connection in turn.
MODES = st.lists(
    st.fixed_dictionaries(
        {token: st.sampled_from([Mode.FULL] * 4 + [Mode.QUOTE, Mode.LTP]) for token in NUMBERS}
    ),
    min_size=1,
    max_size=4,
)
DECISIONS = st.lists(
    st.builds(
        Decision,
        events=st.integers(1, 60),
        steps=st.integers(0, 3),
        batch_bytes=st.sampled_from([400, 2_000, 20_000]),
        is_restarted=st.booleans(),
        is_checkpointed=st.booleans(),
        refreshed=st.sampled_from([None] * 7 + [-DAY, 600, DAY]),
    ),
    min_size=2,
    max_size=12,
)


class Exchange:
    """The state of each instrument, now and at the end of the day before."""

    def __init__(self, begins: int, is_open: bool) -> None:
        close = 22_500 - DAY
        self.before = {
            token: Packet(price, 900, close, close, 3, price, price, token=token)
            for token, price in PRICES.items()
        }
        self.now = dict(self.before)
        for token, price in PRICES.items() if is_open else ():
            figures = 500, begins - 30, begins - 30, 4, price + 9, price - 9
            self.now[token] = Packet(price, *figures, token=token)

    def trade(self, happening: Happening, token: int, now: int) -> Packet:
        """Go on, and return what is sent."""
        state = replace(self.now[token], at=now, open_interest=max(now, 0))
        if day(now) > day(self.now[token].at):
            self.before[token] = self.now[token]
            state = replace(state, volume=0, quantity=0, high=0.0, low=0.0)
        for quantity, move in enumerate(happening.moves, 1):
            price = round(state.price + move * STEPS[token], 4)
            high, low = max(state.high or price, price), min(state.low or price, price)
            volume, traded_at = state.volume + quantity, now - now % 2
            state = replace(state, price=price, high=high, low=low, quantity=quantity)
            state = replace(state, volume=volume, traded_at=traded_at)
        self.now[token] = state
        return state

    def repeated(self, now: int, how: str) -> Iterator[Packet]:
        """Yield the last state of each instrument, or that of yesterday."""
        for token, state in self.now.items():
            is_old = how == "yesterday" and day(state.at) == day(now)
            yield self.before[token] if is_old else state


def day(seconds: int) -> int:
    return oracle.trading_date(OPEN + seconds)


def sent(
    first_seen: str, half_hours: list[tuple[int, tuple[int, ...]]], happenings: list[Happening]
) -> Iterator[tuple[int, Event]]:
    """Yield what is sent, with the second at which it arrives."""
    exchange = Exchange(half_hours[0][0], first_seen == "mid-session")
    size = len(happenings) // len(half_hours) + 1
    line = first_seen
    for (begins, tokens), start in zip(half_hours, count(0, size), strict=False):
        now = begins
        for happening in happenings[start : start + size]:
            now = min(now + happening.seconds, begins + HALF_HOUR)
            line = line or happening.line
            if line == "restarted":
                yield now, Restarted()
            if line != "carries":
                yield now, Connected()
                repeated = exchange.repeated(now, line) if line != "nothing" else ()
                yield from ((now, packet) for packet in repeated)
            line = ""
            token = happening.token if happening.token in tokens else tokens[0]
            yield now + happening.delay, exchange.trade(happening, token, now)


def received(
    arrivals: Iterator[tuple[int, Event]], modes: list[dict[int, Mode]]
) -> Iterator[Event]:
    """Put what is sent in order of arrival, the packets of each connection in its modes."""
    connection = -1
    for at, event in sorted(arrivals, key=lambda arrival: arrival[0]):
        connection += isinstance(event, Connected)
        if isinstance(event, Packet):
            mode = modes[connection % len(modes)][event.token]
            event = replace(event, mode=mode, received_at=at)
        yield event


class Stream:
    """All that is received; too much to be printed."""

    def __init__(self, events: Iterator[Event]) -> None:
        self.events = list(events)


STREAMS = st.builds(
    lambda modes, *what: Stream(received(sent(*what), modes)),
    *(MODES, FIRST_SEEN, HALF_HOURS, HAPPENINGS),
)


class MarketLine(Line):
    """A line that carries events of these instruments."""

    def on(self, day: date) -> pl.DataFrame:
        """Return the tokens, which are the same on every day."""
        rows = [(token, NUMBERS[token], token == NIFTY) for token in sorted(NUMBERS)]
        return pl.DataFrame(rows, ["token", "instrument_id", "is_index"], orient="row")

    def writer(self, run_id: str = "run", batch_bytes: int = 8_000_000) -> Writer:
        store = TickStore(self.database.url, "test-0", run_id)
        opened = Writer(store, self.folder, [Source(self.decoder, self)], batch_bytes)
        self._open.append((opened, store))
        opened.open()
        return opened

    def receive(self, events: list[Event]) -> None:
        """Append to the journal; packets of one second and one mode share a frame."""
        for (at, _), group in groupby(events, key=_frame_of):
            packets = [event for event in group if isinstance(event, Packet)]
            if packets:
                self.frames(frame(*packets), at=at)
            else:
                self.say(RecordKind.CONNECTED)


def _frame_of(event: Event) -> tuple[int, object]:
    return (event.received_at or 0, event.mode) if isinstance(event, Packet) else (0, event)


def store(line: MarketLine, events: list[Event], decisions: list[Decision]) -> None:
    """Store bit by bit, with candles stored and processes restarted now and then."""
    opened = line.writer("first", decisions[0].batch_bytes)
    for number, decision in enumerate(decisions):
        arriving, events = events[: decision.events], events[decision.events :]
        line.receive(arriving)
        if decision.is_restarted or Restarted() in arriving:
            opened = line.writer(f"run-{number}", decision.batch_bytes)
        # A batch stores a checkpoint where one is due, and the next is due much later.
        opened._checkpoint_due = 0.0 if decision.is_checkpointed else float("inf")
        for _ in range(decision.steps):
            opened.step()
        if decision.refreshed is not None:
            at_least = datetime.fromtimestamp(OPEN + decision.refreshed, UTC)
            candles.refresh(line.database, at_least)
    line.receive(events)
    drain(opened)
    if any(decision.refreshed is not None for decision in decisions):
        candles.refresh(line.database)  # what came late corrects a stored candle at the next one


@contextmanager
def empty_line(database: Database) -> Iterator[MarketLine]:
    """A line to a database from which all ticks and candles of the last example are gone."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        for table in TABLES:
            if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() != (None,):
                connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))
        connection.execute("UPDATE candle_progress SET threshold = DEFAULT, watermark = DEFAULT")
    with TemporaryDirectory() as folder:
        with closing(MarketLine(database, Path(folder) / "journal")) as line:
            yield line


def shown(database: Database, length: str) -> Candles:
    with psycopg.connect(database.url) as connection:
        view = sql.Identifier(f"candles_{length}")
        rows = connection.execute(sql.SQL(CANDLES).format(view)).fetchall()
    made = {(row[1], row[0]): oracle.Candle(*row[3:]) for row in rows}
    assert len(made) == len(rows), "a candle is shown twice"
    return made


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a smaller example of what fails takes minutes to find
    suppress_health_check=list(HealthCheck),
)
@given(stream=STREAMS, decisions=DECISIONS)
def test_ticks_and_candles_are_those_of_the_oracle(
    database: Database, stream: Stream, decisions: list[Decision]
) -> None:
    ticks = oracle.ticks(stream.events, NUMBERS)
    with empty_line(database) as line:
        store(line, stream.events, decisions)
        assert fetch(database, TICKS) == [
            (t.instrument, t.time, t.volume, t.is_trade, t.high, t.low) for t in ticks
        ]
        for length, expected in oracle.candles(ticks).items():
            assert shown(database, length) == expected, length
