"""The command that tells how two brokers' feeds are, and how far they agree."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from market_pipeline import disagreement
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.disagreement import Disagreement
from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import bounds, to_ist, trading_date
from market_pipeline.storage import feeds as store
from market_pipeline.storage.database import Database

_WORST = 10
_MINUTES = 15
_LATE_SECONDS = 45.0  # after which a heartbeat is that of a stream that does not run


class _Found(NamedTuple):
    start: datetime
    end: datetime
    states: pl.DataFrame
    take_overs: pl.DataFrame
    shares: pl.DataFrame
    minutes: pl.DataFrame


def feeds(
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="A whole trading day, as far as it has come."),
    ] = None,
    minutes: Annotated[
        int | None, typer.Option(min=1, max=1440, help="The last closed minutes; 15 otherwise.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell which brokers the streams listen to, and how far two that send the same disagree.

    Take-overs are those of the whole day; everything else is of the minutes asked for.
    """
    if day is not None and minutes is not None:
        raise ConfigurationError("--day and --minutes cannot go together: leave one out")
    settings = configured()
    with market_database(settings) as database:
        found = _found(database, day, minutes or _MINUTES, datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps(_content(found), indent=2, default=str))
    else:
        _show(Console(), found)


def _found(database: Database, day: datetime | None, count: int, now: datetime) -> _Found:
    if day is None:
        start, end = store.closed_minutes(now, count)
    else:
        start, end = bounds(day.date())
        if start <= now < end:
            end = max(store.closed_minutes(now, 1)[1], start)
    whole_day = bounds(trading_date(end - timedelta(microseconds=1)) if day is None else day.date())
    return _Found(
        start=start,
        end=end,
        states=store.states(database),
        take_overs=store.take_overs(database, *whole_day),
        shares=store.shares(database, start, end),
        minutes=store.minutes(database, start, end),
    )


def _content(found: _Found) -> dict[str, Any]:
    worst = disagreement.off(disagreement.by_instrument(found.minutes))
    return {
        "from": found.start.isoformat(),
        "to": found.end.isoformat(),
        "streams": found.states.to_dicts(),
        "take_overs": found.take_overs.to_dicts(),
        "shares": found.shares.to_dicts(),
        "disagreement": disagreement.in_sum(found.minutes).numbers(),
        "instruments": worst.to_dicts(),
    }


def _show(console: Console, found: _Found) -> None:
    if found.states.is_empty():
        console.print("No stream has ever run: market-pipeline up starts them.")
    else:
        console.print(_states(found.states))
    if found.take_overs.is_empty():
        console.print("No broker has taken over from another on this day.")
    else:
        console.print(_take_overs(found.take_overs))
    period = f"{to_ist(found.start):%Y-%m-%d %H:%M} to {to_ist(found.end):%H:%M IST}"
    if not found.shares.is_empty():
        console.print(_shares(found.shares, period))
    if found.minutes.is_empty():
        console.print(
            f"Nothing to compare: from {period} two feeds were not up for a whole minute."
        )
        return
    console.print(_numbers(disagreement.in_sum(found.minutes), found.minutes, period))
    worst = disagreement.off(disagreement.by_instrument(found.minutes)).head(_WORST)
    if not worst.is_empty():
        console.print(_worst(worst))


def _states(states: pl.DataFrame) -> Table:
    rows = []
    for row in states.iter_rows(named=True):
        age = row["heartbeat_age"]
        seen = "" if age <= _LATE_SECONDS else f"not running: no heartbeat for {age:,.0f} s"
        part = "preferred" if row["place"] == 1 else "stands by"
        state = f"{row['state']} {row['detail']}".strip()
        rows.append((row["stream"], row["broker"], part, seen or state, row["frames"]))
    return _table("Feeds", ["stream", "broker", "part", "state", "frames"], rows)


def _take_overs(take_overs: pl.DataFrame) -> Table:
    heads = ["from (IST)", "away", "covered by", "seconds", "cause"]
    rows = [
        (
            f"{to_ist(row['started_at']):%H:%M:%S}",
            row["broker"],
            row["covered_by"],
            f"{row['seconds']:,.1f}" + ("" if row["ended_at"] else ", lasts"),
            row["cause"],
        )
        for row in take_overs.iter_rows(named=True)
    ]
    return _table("Take-overs of the day", heads, rows)


def _shares(shares: pl.DataFrame, period: str) -> Table:
    rows = [
        (row["broker"], row["ticks"], _percent(row["share"]), row["standby_ticks"])
        for row in shares.iter_rows(named=True)
    ]
    return _table(f"Ticks, {period}", ["broker", "in candles", "share", "stood by"], rows)


def _numbers(found: Disagreement, minutes: pl.DataFrame, period: str) -> Table:
    first = minutes.row(0, named=True)
    pair = f"{first['standby']} against {first['preferred']}"
    rows = [
        (
            "close, ticks",
            _number(found.median_ticks),
            _number(found.most_ticks),
            _off(found, "price"),
        ),
        (
            "volume",
            _percent(found.median_volume_share),
            _percent(found.most_volume_share),
            _off(found, "volume"),
        ),
        (f"lag of {first['preferred']}, s", *_pair(found.preferred_lag, found.most_preferred_lag)),
        (f"lag of {first['standby']}, s", *_pair(found.standby_lag, found.most_standby_lag)),
        (f"{first['preferred']} first by, s", *_pair(found.lead, found.most_lead)),
    ]
    title = f"{pair}, {period}: {found.instruments:,} instruments, {found.minutes:,} minutes"
    return _table(title, ["", "median", "most", "too far apart"], rows)


def _pair(median: float | None, most: float | None) -> tuple[str, str, str]:
    return _number(median), _number(most), ""


def _off(found: Disagreement, what: str) -> str:
    numbers = found.numbers()
    share = _percent(numbers[f"{what}_share"])
    return f"{numbers[f'{what}_off']:,} of {numbers[f'{what}_minutes']:,} minutes, {share}"


def _worst(worst: pl.DataFrame) -> Table:
    rows = [
        (
            row["name"],
            row["minutes"],
            row["price_off"],
            row["volume_off"],
            _number(row["most_ticks"]),
            _percent(row["most_volume_share"]),
            _number(row["lead"]),
        )
        for row in worst.iter_rows(named=True)
    ]
    heads = [
        "instrument",
        "minutes",
        "off in price",
        "in volume",
        "most ticks",
        "volume",
        "lead, s",
    ]
    return _table("The worst instruments", heads, rows)


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    table = Table(*heads, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.3f}".rstrip("0").rstrip(".")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{_number(share * 100)} %"
