"""Whether ticks were stored exactly as they were sent. Frames in, a verdict out. Pure.

TCP keeps order, so what arrives of a connection is a prefix of what was sent on it: a packet that
is not stored is excused only if nothing after it on its connection was received and a gap says
that packets may have been missed then. A row belongs to the last connection that had sent its
token when it was received, and of each token on each connection the rows, in the order of arrival,
must equal the packets in the order of the bytes, from the first on and without a hole.
"""

import bisect
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import takewhile
from typing import Any

import polars as pl

from market_pipeline.market import DAMAGED_JOURNAL, MISSING, PACKET_COLUMNS, TICK_COLUMNS

COMPARED = tuple(name for name in PACKET_COLUMNS if name in TICK_COLUMNS)
"""The columns of a packet that are stored as they are; exchange_time here in epoch seconds."""

MOST_FAULTS = 1000

_GROUP = ["connection", "token"]
_EXCHANGE_TIME = COMPARED.index("exchange_time")
_LONGEST_RUN = 8
_NEVER = 2**63 - 1
_OUTCOME = {
    "kind": pl.String(),
    "connection": pl.UInt32(),
    "token": pl.Int64(),
    "number": pl.UInt64(),
    "sent_at": pl.Int64(),  # nanoseconds since 1970
    "received_at": pl.Int64(),  # microseconds since 1970
    "what": pl.String(),
}

Key = tuple[int, int]  # connection and token
Values = tuple[Any, ...]
Fates = dict[int, tuple[str, int | None]]
"""Of rows: what each is, and the packet it is of."""


@dataclass(frozen=True)
class Verdict:
    """What became of the packets sent, each counted once, and the rows that belong to none."""

    sent: int
    damaged: int  # sent broken on purpose: no row is expected of them
    stored: int
    not_received: int  # the end of a connection, in a gap
    spoilt: int  # damaged in the journal, in the gap that says so, and kept as rejected bytes
    lost: int
    altered: int
    out_of_order: int
    duplicated: int  # rows of packets that have one, and of none at all
    gaps: int
    before_ledger: int  # rows received before the first packet of the ledger was sent
    faults: pl.DataFrame
    """The first offenders: kind, connection, token, number, sent_at, received_at, what."""

    @property
    def is_proven(self) -> bool:
        faults = self.lost + self.duplicated + self.altered + self.out_of_order
        return faults == 0 and self.sent == self.stored + self.not_received + self.spoilt


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """Add up what became of the packets of several brokers."""
    names = [each.name for each in fields(Verdict) if each.name != "faults"]
    sums = {name: sum(getattr(verdict, name) for verdict in verdicts) for name in names}
    return Verdict(**sums, faults=pl.concat([verdict.faults for verdict in verdicts]))


def compare(sent: pl.DataFrame, rows: pl.DataFrame, gaps: pl.DataFrame) -> Verdict:
    """Compare a ledger of packets, at least one, with the rows and gaps that are stored.

    `sent` has connection, number, sent_at (ns), damaged and PACKET_COLUMNS; `rows` has token,
    received_at (us), arrival and COMPARED; `gaps` has started_at, ended_at, null while open, and
    cause.
    """
    packets = _packets(sent)
    since = sent.select(pl.col("sent_at").min() // 1000).item()
    placed = _placed(rows.filter(pl.col("received_at") >= since), packets)
    outcomes = _judged(_outcomes(packets, placed), gaps)
    counts = dict(outcomes.group_by("kind").len().iter_rows())
    faults = outcomes.filter(~pl.col("kind").is_in(["stored", "not_received", "spoilt"]))
    return Verdict(
        sent=packets.height,
        damaged=sent.height - packets.height,
        stored=counts.get("stored", 0),
        not_received=counts.get("not_received", 0),
        spoilt=counts.get("spoilt", 0),
        lost=counts.get("lost", 0),
        altered=counts.get("altered", 0),
        out_of_order=counts.get("out_of_order", 0),
        duplicated=counts.get("duplicated", 0) + counts.get("unknown", 0),
        gaps=gaps.height,
        before_ledger=rows.filter(pl.col("received_at") < since).height,
        faults=faults.sort("connection", "number", nulls_last=True).head(MOST_FAULTS),
    )


def _packets(sent: pl.DataFrame) -> pl.DataFrame:
    """Return the packets that must be stored, as they must be, each with its place in its group."""
    expected = [
        pl.col(name).fill_nan(None)
        if PACKET_COLUMNS[name] == "f8"
        else pl.when(pl.col(name) > (0 if name == "exchange_time" else MISSING)).then(name)
        for name in COMPARED
    ]
    whole = sent.lazy().filter(~pl.col("damaged")).sort("connection", "number")
    return whole.select(*_GROUP, "number", "sent_at", *expected, _place()).collect()


def _placed(rows: pl.DataFrame, packets: pl.DataFrame) -> pl.DataFrame:
    """Give each row its connection, null where there is none, and its place in its group."""
    first = packets.group_by(_GROUP).agg(first=pl.col("sent_at").min() // 1000).sort("first")
    belonging = rows.select("token", "received_at", "arrival", *COMPARED).sort(
        "received_at", "arrival"
    )
    return belonging.join_asof(
        first,
        left_on="received_at",
        right_on="first",
        by="token",
        check_sortedness=False,  # it cannot be checked within groups, as a warning says
    ).with_columns(_place())


def _place() -> pl.Expr:
    return pl.int_range(pl.len(), dtype=pl.UInt32).over(_GROUP).alias("place")


def _outcomes(packets: pl.DataFrame, placed: pl.DataFrame) -> pl.DataFrame:
    """Say of each packet, and of each row too many, what became of it."""
    equal = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_row")) for name in COMPARED)
    has_row = pl.col("received_at").is_not_null()
    known = pl.col("connection").is_not_null()
    pairs = (
        packets.lazy()
        .join(placed.lazy().filter(known), [*_GROUP, "place"], "full", suffix="_row", coalesce=True)
        .select(*_GROUP, "number", "sent_at", "received_at", is_wrong=has_row & ~equal)
        .collect(engine="streaming")
    )
    is_wrong = pl.col("is_wrong") | pl.col("number").is_null()
    wrong = pairs.filter(is_wrong).select(_GROUP).unique()
    kind = pl.when(has_row).then(pl.lit("stored")).otherwise(pl.lit("missing"))
    smooth = pairs.lazy().join(wrong.lazy(), on=_GROUP, how="anti").with_columns(kind=kind)
    unknown = placed.lazy().filter(~known).with_columns(kind=pl.lit("unknown"))
    rough = [_compared(each, packets, placed) for each in wrong.partition_by("connection")]
    parts = pl.concat(
        [pl.LazyFrame(schema=_OUTCOME), smooth, *rough, unknown], how="diagonal_relaxed"
    )
    return parts.select(pl.col(name).cast(kind) for name, kind in _OUTCOME.items()).collect()


def _judged(outcomes: pl.DataFrame, gaps: pl.DataFrame) -> pl.DataFrame:
    """Tell of each missing packet whether it is lost or was not received in a gap.

    A gap begins when something was last received, be it a heartbeat or a damaged frame, and what
    was under way at that moment is missing too: a packet is taken to be under way for as long as
    the slowest of its connection was, or of all where nothing was received.
    """
    sent_at, received_at = pl.col("sent_at") // 1000, pl.col("received_at")
    slowest = (received_at - sent_at).max()
    reached = outcomes.filter(received_at.is_not_null())
    ends = reached.group_by("connection").agg(last_number=pl.col("number").max(), delay=slowest)
    otherwise = reached.select(slowest.fill_null(0)).item()
    until = sent_at + pl.col("delay").fill_null(otherwise) + 1
    missing = outcomes.filter(pl.col("kind") == "missing").join(ends, "connection", "left")
    judged = missing.with_columns(until=until).sort("until")
    # Of the gaps that have begun by then, the one that goes on longest.
    spoilt = _reach(gaps.filter(pl.col("cause") == DAMAGED_JOURNAL))
    judged = judged.join_asof(_reach(gaps), left_on="until", right_on="begins")
    judged = judged.join_asof(spoilt, left_on="until", right_on="begins", suffix="_spoilt")
    in_gap, is_spoilt = (
        (pl.col(name) >= sent_at).fill_null(False) for name in ("ends", "ends_spoilt")
    )
    is_last = (pl.col("number") > pl.col("last_number")).fill_null(True)
    kind = pl.when(is_spoilt).then(pl.lit("spoilt")).otherwise(pl.lit("lost"))
    kind = pl.when(in_gap & is_last).then(pl.lit("not_received")).otherwise(kind)
    rest = outcomes.filter(pl.col("kind") != "missing")
    return pl.concat([rest, judged.with_columns(kind=kind).select(outcomes.columns)])


def _reach(gaps: pl.DataFrame) -> pl.DataFrame:
    """Return when gaps begin, and when the last of those up to each has ended."""
    begins, ends = (pl.col(f"{name}_at").dt.epoch("us") for name in ("started", "ended"))
    times = gaps.select(begins=begins, ends=ends.fill_null(_NEVER)).sort("begins")
    return times.with_columns(pl.col("ends").cum_max())


def _compared(groups: pl.DataFrame, packets: pl.DataFrame, placed: pl.DataFrame) -> pl.LazyFrame:
    """Go through groups whose rows are not the beginning of their packets, one by one."""
    ours = _listed(packets, groups, "number", "sent_at")
    theirs = _listed(placed, groups, "received_at", "arrival")
    fates = [fate for key in ours for fate in _examined(key, ours[key], theirs[key])]
    return pl.LazyFrame(fates, _OUTCOME, orient="row")


def _listed(frame: pl.DataFrame, groups: pl.DataFrame, *first: str) -> dict[Key, list[Values]]:
    """Return what is in each of these groups, in order: first this, then COMPARED."""
    chosen = frame.join(groups, on=_GROUP, how="semi", maintain_order="left")
    found: dict[Key, list[Values]] = defaultdict(list)
    for connection, token, *values in chosen.select(*_GROUP, *first, *COMPARED).iter_rows():
        found[connection, token].append(tuple(values))
    return found


def _examined(key: Key, sent: list[Values], stored: list[Values]) -> Iterator[Values]:
    """Yield what became of each packet of a group, and of each row too many; see _OUTCOME."""
    packets, rows = [values[2:] for values in sent], [values[2:] for values in stored]
    fates = _fates(packets, rows, list(_matches(packets, rows)))
    used = {packet for kind, packet in fates.values() if kind != "duplicated"}
    for packet, (number, sent_at, *_) in enumerate(sent):
        if packet not in used:
            yield "missing", *key, number, sent_at, None, None
    for row, (kind, place) in fates.items():
        received_at, arrival = stored[row][:2]
        what = f"arrival {arrival}"
        if kind == "altered" and place is not None:
            pairs = zip(COMPARED, packets[place], rows[row], strict=True)
            what = ", ".join(name for name, was, now in pairs if was != now)
        yield kind, *key, *((None, None) if place is None else sent[place][:2]), received_at, what


def _matches(packets: Sequence[Values], rows: Sequence[Values]) -> Iterator[tuple[int, int]]:
    """Pair equal packets and rows in order; where they part, go on where they agree longest."""
    packet_places, row_places = _places(packets), _places(rows)

    def run(start: tuple[int, int]) -> int:
        i, j = start
        stretches = zip(packets[i : i + _LONGEST_RUN], rows[j : j + _LONGEST_RUN], strict=False)
        return len(list(takewhile(lambda pair: pair[0] == pair[1], stretches)))

    packet = row = 0
    while packet < len(packets) and row < len(rows):
        onward = packet + 1, row + 1
        if packets[packet] == rows[row]:
            yield packet, row
        else:
            missing = _next(packet_places.get(rows[row], []), packet), row
            extra = packet, _next(row_places.get(packets[packet], []), row)
            onward = max(onward, missing, extra, key=run)
        packet, row = onward


def _places(values: Sequence[Values]) -> dict[Values, list[int]]:
    places: dict[Values, list[int]] = defaultdict(list)
    for place, each in enumerate(values):
        places[each].append(place)
    return places


def _next(places: Sequence[int], after: int) -> int:
    at = bisect.bisect_right(places, after)
    return places[at] if at < len(places) else _NEVER


def _fates(
    packets: Sequence[Values], rows: Sequence[Values], matched: Sequence[tuple[int, int]]
) -> Fates:
    """Say of each row what it is, and the packet it is of, given those that have their place."""
    paired_packets, paired_rows = [p for p, _ in matched], [r for _, r in matched]
    free = sorted(set(range(len(packets))).difference(paired_packets))
    left = sorted(set(range(len(rows))).difference(paired_rows))
    fates: Fates = {row: ("stored", packet) for packet, row in matched}
    moved = _paired({p: packets[p] for p in free}, {r: rows[r] for r in left})
    fates |= {row: ("out_of_order", packet) for row, packet in moved.items()}
    used = {packets[p]: p for p in [*paired_packets, *moved.values()]}
    fates |= {r: ("duplicated", used[rows[r]]) for r in left if r not in moved and rows[r] in used}
    keys: list[tuple[Callable[[int], Any], Callable[[int], Any]]] = [
        (lambda p: packets[p][_EXCHANGE_TIME], lambda r: rows[r][_EXCHANGE_TIME]),
        (partial(bisect.bisect, paired_packets), partial(bisect.bisect, paired_rows)),
    ]
    for of_packet, of_row in keys:  # of the same second, else between the same neighbours
        taken = {packet for _, packet in fates.values()}
        altered = _paired(
            {p: of_packet(p) for p in free if p not in taken},
            {r: of_row(r) for r in left if r not in fates},
        )
        fates |= {row: ("altered", packet) for row, packet in altered.items()}
    return fates | {row: ("unknown", None) for row in left if row not in fates}


def _paired(
    packets: Mapping[int, Hashable | None], rows: Mapping[int, Hashable | None]
) -> dict[int, int]:
    """Give each row the first packet left of those with the same key, unless that is None."""
    waiting: dict[Hashable | None, deque[int]] = defaultdict(deque)
    for packet, key in packets.items():
        if key is not None:
            waiting[key].append(packet)
    return {row: waiting[key].popleft() for row, key in rows.items() if waiting.get(key)}
