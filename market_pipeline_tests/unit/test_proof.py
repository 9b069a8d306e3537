"""The proof finds every way in which a tick can go wrong, and nothing where all went well."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from market_pipeline.market import DAMAGED_JOURNAL, MISSING, PACKET_COLUMNS
from market_pipeline.proof import COMPARED, Verdict, compare
from market_pipeline_tests.builders import INFY, NIFTY, OPEN, TCS

Values = dict[str, Any]

SEEDS = pytest.mark.parametrize("seed", range(12))
FAULTS = ("lost", "duplicated", "altered", "out_of_order")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DELAY = 0.002
_SENT: dict[str, pl.DataType] = {
    "connection": pl.UInt32(),
    "number": pl.UInt64(),
    "sent_at": pl.Int64(),
}
_SENT |= {"damaged": pl.Boolean()}
_SENT |= {
    name: pl.Int64() if kind == "i8" else pl.Float64() for name, kind in PACKET_COLUMNS.items()
}
_ROW = {name: kind for name, kind in _SENT.items() if name in ("token", *COMPARED)}
_ROW |= {"received_at": pl.Int64(), "arrival": pl.Int64()}
_INSTANT = pl.Datetime("us", "UTC")
_GAP = {"started_at": _INSTANT, "ended_at": _INSTANT, "cause": pl.String()}


@dataclass
class Exchange:
    """What was sent, what is stored of it and the gaps; times are in seconds after OPEN."""

    sent: list[Values] = field(default_factory=list)
    rows: list[Values] = field(default_factory=list)
    gaps: list[Values] = field(default_factory=list)

    def send(self, connection: int, token: int, at: float, **said: Any) -> None:
        """Send a packet that nobody stores."""
        blank = {n: MISSING if kind == "i8" else float("nan") for n, kind in PACKET_COLUMNS.items()}
        number = sum(packet["connection"] == connection for packet in self.sent)
        head = {"connection": connection, "number": number, "damaged": False}
        content = blank | {"last_price": 100.0 + len(self.sent)} | said | {"token": token}
        self.sent.append(head | content | {"sent_at": int((OPEN + at) * 1e6) * 1000 + 999})

    def store(self, packet: Values, delay: float = _DELAY) -> None:
        row = {name: packet[name] for name in ("token", *COMPARED)}
        known = {n: v for n, v in row.items() if v == v and v != MISSING}  # NaN is unlike itself
        if known.get("exchange_time") == 0:
            del known["exchange_time"]
        received = packet["sent_at"] // 1000 + int(delay * 1e6)
        self.rows.append(known | {"received_at": received, "arrival": 10 * len(self.rows)})

    def deliver(self, connection: int, token: int, at: float, **said: Any) -> None:
        self.send(connection, token, at, **said)
        self.store(self.sent[-1])

    def gap(self, begins: float, ends: float | None, cause: str = "connection lost") -> None:
        instants = [
            None if at is None else _EPOCH + timedelta(seconds=OPEN + at) for at in (begins, ends)
        ]
        self.gaps.append(dict(zip(_GAP, [*instants, cause], strict=True)))

    def verdict(self) -> Verdict:
        return compare(
            pl.DataFrame(self.sent, _SENT),
            pl.DataFrame(self.rows, _ROW),
            pl.DataFrame(self.gaps, _GAP),
        )


def faults(verdict: Verdict) -> dict[str, int]:
    """Return the kinds of fault that were found, and how many of each."""
    counts = {kind: getattr(verdict, kind) for kind in FAULTS}
    return {kind: count for kind, count in counts.items() if count}


def trading(seed: int) -> Exchange:
    """Connections that end at any moment; each begins with what its instruments showed last."""
    generator = random.Random(seed)
    exchange, last = Exchange(), dict[int, Values]()
    for connection in range(1, 6):
        start = connection * 100.0
        for token in (last_said := dict(last)):
            exchange.send(connection, token, start, **last_said[token])
        for second in range(generator.randrange(3, 40)):
            token = generator.choice([INFY, TCS, NIFTY])
            last[token] = said(generator, int(start) + second)
            exchange.send(connection, token, start + 1 + second, **last[token])
        mine = [packet for packet in exchange.sent if packet["connection"] == connection]
        received = mine[: generator.randrange(2, len(mine))]
        for packet in received:
            exchange.store(packet)
        since = received[-1]["sent_at"] / 1e9 - OPEN + _DELAY
        exchange.gap(since, start + 100 + _DELAY if connection < 5 else None)
    return exchange


def said(generator: random.Random, second: int) -> Values:
    price = {"last_price": 100 + second + generator.randrange(100) / 100}
    if generator.random() < 0.3:
        return price
    volume = {"day_volume": 1000 + second, "open_interest": generator.choice([0, 5])}
    return price | volume | {"exchange_time": generator.choice([0, OPEN + second])}


def neighbours(exchange: Exchange, generator: random.Random) -> tuple[Values, Values]:
    """Pick two rows of one instrument and connection, one after the other."""
    together = [
        (a, b)
        for at, a in enumerate(exchange.rows)
        for b in exchange.rows[at + 1 :]
        if a["token"] == b["token"] and b["received_at"] - a["received_at"] < 40_000_000
    ]
    first, _ = generator.choice(together)
    return first, next(b for a, b in together if a is first)


def lose(exchange: Exchange, generator: random.Random) -> None:
    exchange.rows.remove(neighbours(exchange, generator)[0])


def double(exchange: Exchange, generator: random.Random) -> None:
    row = generator.choice(exchange.rows)
    exchange.rows.append(row | {"arrival": row["arrival"] + 5})


def alter(exchange: Exchange, generator: random.Random) -> None:
    generator.choice(exchange.rows)["last_price"] += 0.05


def swap(exchange: Exchange, generator: random.Random) -> None:
    first, second = neighbours(exchange, generator)
    for name in ("received_at", "arrival"):
        first[name], second[name] = second[name], first[name]


INJECTED = [(lose, "lost"), (double, "duplicated"), (alter, "altered"), (swap, "out_of_order")]


@SEEDS
def test_beginnings_of_connections_with_gaps_after_them_are_proven(seed: int) -> None:
    exchange = trading(seed)
    verdict = exchange.verdict()
    assert verdict.is_proven
    assert verdict.stored == len(exchange.rows)
    assert verdict.not_received == len(exchange.sent) - len(exchange.rows)


@SEEDS
@pytest.mark.parametrize(("inject", "kind"), INJECTED)
def test_one_fault_is_found_and_nothing_else(
    seed: int, inject: Callable[[Exchange, random.Random], None], kind: str
) -> None:
    exchange = trading(seed)
    inject(exchange, random.Random(seed))
    verdict = exchange.verdict()
    assert faults(verdict) == {kind: 1}
    assert verdict.faults["kind"].to_list() == [kind]
    assert not verdict.is_proven


@SEEDS
def test_end_of_a_connection_without_a_gap_is_lost(seed: int) -> None:
    exchange = trading(seed)
    missing = exchange.verdict().not_received
    exchange.gaps.clear()
    assert faults(exchange.verdict()) == {"lost": missing}


def test_packet_repeated_on_the_next_connection_does_not_stand_for_the_lost_one() -> None:
    exchange = Exchange()
    exchange.deliver(1, INFY, 1, last_price=100.0)
    exchange.send(1, INFY, 2, last_price=101.0)
    exchange.deliver(2, INFY, 5, last_price=101.0)
    assert faults(exchange.verdict()) == {"lost": 1}
    exchange.gap(1 + _DELAY, 5 + _DELAY)
    verdict = exchange.verdict()
    assert (verdict.is_proven, verdict.stored, verdict.not_received) == (True, 2, 1)


def test_last_packet_of_an_instrument_is_lost_if_another_was_received_after_it() -> None:
    exchange = Exchange()
    exchange.deliver(1, INFY, 1)
    exchange.send(1, INFY, 2)
    exchange.deliver(1, TCS, 3)
    exchange.gap(0, None)
    assert faults(exchange.verdict()) == {"lost": 1}


def test_damaged_packets_are_not_expected() -> None:
    exchange = Exchange()
    exchange.deliver(1, INFY, 1)
    exchange.send(1, INFY, 2)
    exchange.sent[-1]["damaged"] = True
    exchange.deliver(1, INFY, 3)
    verdict = exchange.verdict()
    assert (verdict.is_proven, verdict.sent, verdict.damaged) == (True, 2, 1)


def test_row_of_an_instrument_that_was_never_sent_is_one_too_many() -> None:
    exchange = Exchange()
    exchange.deliver(1, INFY, 1)
    exchange.store(exchange.sent[0] | {"token": TCS})
    verdict = exchange.verdict()
    assert faults(verdict) == {"duplicated": 1}
    assert verdict.faults["kind"].to_list() == ["unknown"]


def test_rows_from_before_the_ledger_are_left_out() -> None:
    exchange = Exchange()
    exchange.deliver(1, INFY, 10)
    exchange.rows.append(exchange.rows[0] | {"received_at": (OPEN + 9) * 1_000_000})
    verdict = exchange.verdict()
    assert (verdict.is_proven, verdict.before_ledger) == (True, 1)


def test_columns_that_were_altered_are_named() -> None:
    exchange = Exchange()
    for second in range(3):
        exchange.deliver(1, INFY, second, day_volume=second, exchange_time=OPEN + second)
    exchange.rows[1] |= {"day_volume": None, "bid_price": 0.0}
    verdict = exchange.verdict()
    assert verdict.faults.row(0, named=True)["what"] == "day_volume, bid_price"


def test_altered_and_lost_packets_are_told_apart_by_their_second() -> None:
    exchange = Exchange()
    for second in range(6):
        exchange.deliver(1, INFY, second, exchange_time=OPEN + second)
    exchange.rows[3]["last_price"] = 1.0
    del exchange.rows[2]
    found = exchange.verdict().faults
    assert found.select("kind", "number").rows() == [("lost", 2), ("altered", 3)]


def test_connection_of_which_nothing_arrived_is_excused_by_a_gap() -> None:
    exchange = Exchange()
    exchange.deliver(1, INFY, 1)
    exchange.send(2, INFY, 5)
    assert faults(exchange.verdict()) == {"lost": 1}
    exchange.gap(5 + _DELAY, None)
    assert exchange.verdict().is_proven


def test_connection_that_lived_but_left_no_row_is_lost() -> None:
    exchange = Exchange()
    exchange.deliver(1, INFY, 1)
    exchange.gap(1 + _DELAY, 4)
    exchange.send(2, INFY, 5)
    exchange.send(2, INFY, 6)
    exchange.gap(6, None)
    assert faults(exchange.verdict()) == {"lost": 1}


def test_packets_that_came_in_one_frame_are_in_the_order_of_their_arrival() -> None:
    exchange = Exchange()
    for _ in range(9):
        exchange.deliver(1, INFY, 1)
    exchange.rows.reverse()
    assert exchange.verdict().is_proven


@pytest.mark.parametrize(("heartbeat_at", "excused"), [(2 + _DELAY, True), (2.5, False)])
def test_packet_may_be_under_way_when_a_gap_begins(heartbeat_at: float, excused: bool) -> None:
    exchange = Exchange()
    exchange.deliver(1, INFY, 1)
    exchange.send(1, INFY, 2)
    exchange.gap(heartbeat_at, 3)
    exchange.send(2, INFY, 4)
    exchange.store(exchange.sent[-1], delay=1)  # the other connection was slower
    assert exchange.verdict().is_proven == excused


def test_gap_covers_what_was_sent_after_a_later_one_has_ended() -> None:
    exchange = Exchange()
    exchange.deliver(1, INFY, 1)
    exchange.send(1, INFY, 9)
    exchange.gap(1 + _DELAY, None)
    exchange.gap(3, 4)
    assert exchange.verdict().is_proven


@pytest.mark.parametrize(("cause", "kind"), [(DAMAGED_JOURNAL, "spoilt"), ("silence", "lost")])
def test_a_hole_is_excused_by_a_damaged_journal_alone(cause: str, kind: str) -> None:
    exchange = Exchange()
    exchange.deliver(1, INFY, at=0)
    exchange.send(1, INFY, at=1)
    exchange.deliver(1, INFY, at=2)
    exchange.gap(0.5, 2.5, cause)
    verdict = exchange.verdict()
    assert getattr(verdict, kind) == 1
    assert verdict.is_proven is (kind == "spoilt")
