"""Whatever two feeds send and whenever they fail, each packet and each trade counts once."""

from collections.abc import Sequence

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from market_pipeline.brokers import kite_wire
from market_pipeline.brokers.decoding import Stateless
from market_pipeline.market import Columns
from market_pipeline.storage.ticks import Batch
from market_pipeline.streaming.meaning import Interpreter
from market_pipeline.streaming.memory import Memory
from market_pipeline.streaming.outages import SILENT_SECONDS, STALL_SECONDS
from market_pipeline.streaming.records import Record, RecordKind
from market_pipeline_tests.builders import INFY, INSTRUMENTS, OPEN, TCS, Known, Packet, frame

Event = tuple[str, int, int, float]  # what, which feed, which instrument, seconds since the last

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["tick", "tick", "tick", "heartbeat", "cut", "connect", "restart"]),
        st.integers(0, 1),
        st.sampled_from([INFY, TCS]),
        st.sampled_from([0.05, 0.3, 1.0, 3.5]),
    ),
    max_size=60,
)


def journalled(events: Sequence[Event]) -> list[Record]:
    """Write what happens as records; in each second of time a share of each instrument trades.

    Each feed tells of the trades as they are when it sends, and both begin before the first.
    """
    records: list[Record] = []
    clock = 0.0

    def add(kind: RecordKind, payload: bytes, feed: int) -> None:
        at = len(records) * 100
        records.append(Record(kind, int((OPEN + clock) * 1e9), payload, at, at + 100, feed))

    add(RecordKind.STARTED, b"run", 0)
    for feed in (0, 1):
        add(RecordKind.CONNECTED, b"", feed)
        add(RecordKind.FRAME, frame(Packet(at=0, token=INFY), Packet(at=0, token=TCS)), feed)
    for what, feed, token, seconds in events:
        clock += seconds
        if what == "tick":
            packet = Packet(price=100 + clock, volume=int(clock), at=int(clock), token=token)
            add(RecordKind.FRAME, frame(packet), feed)
        elif what == "heartbeat":
            add(RecordKind.FRAME, b"\0", feed)
        elif what == "cut":
            add(RecordKind.DISCONNECTED, b"cut", feed)
        elif what == "connect":
            add(RecordKind.CONNECTED, b"", feed)
        else:
            add(RecordKind.STARTED, b"again", 0)
    clock += 1
    add(RecordKind.STOPPED, b"not wanted", 0)
    return records


def blank() -> Memory:
    return Memory([Stateless(kite_wire.decode), Stateless(kite_wire.decode)])


def interpreted(records: list[Record], size: int, forgets: bool) -> tuple[list[Batch], Memory]:
    """Interpret batches of a size; if it forgets, from what was written down of the last."""
    interpreter, memory = Interpreter([Known(), Known()]), blank()
    batches = []
    for start in range(0, len(records), size):
        items = records[start : start + size]
        batches.append(interpreter.batch(items[0].position, items, memory))
        if forgets:
            restored = blank()
            restored.load(memory.dump(), memory.observer.arrivals)
            restored.is_stopped = memory.is_stopped
            memory = restored
    return batches, memory


def joined(parts: Sequence[Columns], *names: str) -> list[tuple[object, ...]]:
    """Return the rows of all parts in the order of arrival: some of their columns, or all."""
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((columns["seq"], columns["received_at"]))
    return list(zip(*(columns[name][order].tolist() for name in names or columns), strict=True))


def gaps(batches: Sequence[Batch]) -> list[tuple[object, ...]]:
    return [tuple(gap[:2] + gap[3:]) for batch in batches for gap in batch.gaps]


RECONNECTED_TWICE = [("connect", 1, INFY, 0.3), ("heartbeat", 1, INFY, 0.3)] * 2


@given(EVENTS, st.integers(1, 9), st.booleans())
@example([*RECONNECTED_TWICE, ("cut", 0, INFY, 0.3), ("tick", 1, INFY, 0.3)], 1, False)
def test_batches_and_restarts_change_nothing(events: list[Event], size: int, forgets: bool) -> None:
    records = journalled(events)
    whole, _ = interpreted(records, len(records), forgets=False)
    parts, _ = interpreted(records, size, forgets)
    for made in ("ticks", "standby"):
        expected = joined([getattr(batch, made) for batch in whole])
        assert str(joined([getattr(batch, made) for batch in parts])) == str(expected)
    assert gaps(parts) == gaps(whole)


@given(EVENTS)
def test_each_packet_is_a_tick_or_one_that_stood_by(events: list[Event]) -> None:
    records = journalled(events)
    batches, memory = interpreted(records, 7, forgets=False)
    sent = 4 + sum(what == "tick" for what, *_ in events)
    ticks = joined([batch.ticks for batch in batches], "instrument_id", "received_at", "feed")
    standby = joined([batch.standby for batch in batches], "instrument_id", "received_at", "feed")
    assert len(set(ticks)) == len(ticks)
    again = set(ticks) & set(standby)  # told again where the preferred feed died behind
    assert len(ticks) + len(standby) - len(again) == sent
    assert memory.held is None


@given(EVENTS)
def test_volume_is_counted_once_whoever_tells_it(events: list[Event]) -> None:
    batches, _ = interpreted(journalled(events), 1000, forgets=False)
    for instrument in (INSTRUMENTS[INFY], INSTRUMENTS[TCS]):
        volume, highest = 0, 0
        for batch in batches:
            own = batch.ticks["instrument_id"] == instrument
            known = np.maximum(batch.ticks["volume"][own], 0)
            volume += int(known.sum())
            highest = max(highest, int(batch.ticks["day_volume"][own].max(initial=0)))
        assert volume == highest


@given(EVENTS)
def test_what_stood_by_came_while_the_preferred_feed_lived(events: list[Event]) -> None:
    records = journalled(events)
    batches, _ = interpreted(records, 1000, forgets=False)
    preferred = [r for r in records if r.kind is RecordKind.FRAME and r.feed == 0]
    frames = [r.received_at for r in preferred]
    told = [r.received_at for r in preferred if len(r.payload) > 1]
    for received_at in np.concatenate([batch.standby["received_at"] for batch in batches]).tolist():
        for times, most in ((frames, STALL_SECONDS), (told, SILENT_SECONDS)):
            before = max(at for at in times if at // 1000 <= received_at)
            after = min(at for at in times if at // 1000 >= received_at)
            assert after - before <= most * 1e9
