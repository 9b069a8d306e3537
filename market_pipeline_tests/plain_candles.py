"""What candles must be, computed slowly and plainly from random ticks."""

import random
from collections import defaultdict
from typing import NamedTuple

from market_pipeline_tests.builders import Tick

MINUTE = 60


class Row(NamedTuple):
    """A candle without its instrument and its time."""

    open: float
    high: float
    low: float
    close: float
    volume: int | None
    open_interest: int | None
    trades: int


Made = dict[tuple[int, int], Row]
"""Candles by instrument and by seconds after the opening."""


def total(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def last_known(numbers: list[int | None]) -> int | None:
    return next((number for number in reversed(numbers) if number is not None), None)


def of_ticks(ticks: list[Tick]) -> Row | None:
    """Make a candle of ticks in order of arrival, slowly and plainly."""
    ordered = sorted(ticks, key=lambda tick: tick.at)  # stable: ties stay in order of arrival
    trades = [tick for tick in ordered if tick.is_trade]
    if not trades:
        return None
    return Row(
        trades[0].price,
        max(t.price if t.high is None else t.high for t in trades),
        min(t.price if t.low is None else t.low for t in trades),
        trades[-1].price,
        total([tick.volume for tick in ordered]),
        last_known([tick.open_interest for tick in ordered]),
        len(trades),
    )


def of_candles(rows: list[Row]) -> Row:
    return Row(
        rows[0].open,
        max(row.high for row in rows),
        min(row.low for row in rows),
        rows[-1].close,
        total([row.volume for row in rows]),
        last_known([row.open_interest for row in rows]),
        sum(row.trades for row in rows),
    )


def expected(ticks: list[Tick]) -> dict[int, Made]:
    by_minute: dict[tuple[int, int], list[Tick]] = defaultdict(list)
    for tick in ticks:
        by_minute[tick.instrument, tick.at // MINUTE * MINUTE].append(tick)
    made: dict[int, Made] = {1: {}}
    for key, those in sorted(by_minute.items()):
        if row := of_ticks(those):
            made[1][key] = row
    for narrow, wide in ((1, 5), (5, 15)):
        groups: dict[tuple[int, int], list[Row]] = defaultdict(list)
        for (instrument, at), row in made[narrow].items():
            groups[instrument, at // (wide * MINUTE) * wide * MINUTE].append(row)
        made[wide] = {key: of_candles(rows) for key, rows in groups.items()}
    return made


def some_tick(generator: random.Random, at: int) -> Tick:
    price = generator.randrange(9900, 10100) / 100
    known = generator.random() < 0.8
    return Tick(
        at=at,
        price=price,
        volume=generator.randrange(100) if known else None,
        instrument=generator.randrange(1, 4),
        is_trade=generator.random() < 0.7,
        open_interest=generator.choice([None, 10, 20, 30]),
        high=price + generator.choice([0, 0, 0.5]),
        low=price - generator.choice([0, 0, 0.5]),
    )


def some_ticks(seed: int, count: int = 600, seconds: int = 40 * MINUTE) -> list[Tick]:
    """Ticks of three instruments, mostly in order, with ties and some that are late."""
    generator = random.Random(seed)
    times = sorted(generator.randrange(seconds) for _ in range(count))
    late = (0, 0, 0, 0, 90, 1000)
    return [some_tick(generator, max(at - generator.choice(late), 0)) for at in times]
