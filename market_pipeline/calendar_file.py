"""Reads calendar.yaml, and the file of the same form that CALENDAR_FILE names, and checks them."""

import functools
import re
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from market_pipeline import yaml_file
from market_pipeline.calendar_table import (
    Hours,
    InstrumentClass,
    Market,
    PeriodKind,
    Rule,
    Season,
    Table,
    Trading,
    market_of,
)
from market_pipeline.market import Exchange

_PACKAGED = Path(__file__).with_name("calendar.yaml")
_CLOCK = r"([01]\d|2[0-3]):([0-5]\d)"


@functools.cache
def packaged() -> Table:
    """Return the calendar that comes with the program."""
    return _table(_PACKAGED)


@functools.cache
def read(path: Path) -> Table:
    """Return the calendar with what a file adds to it or says otherwise; read once.

    Raises:
        ConfigurationError: names the file, the entry and what is wrong with it.
    """
    return packaged().with_additions(_table(path))


def _day(value: object) -> date:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass  # such as 30 February
    raise ValueError(f"{value!r} is not a date: write it like 2026-12-31")


def _period(value: object) -> tuple[time, time]:
    found = re.fullmatch(f"{_CLOCK}-{_CLOCK}", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not a period: write it like 09:15-15:30")
    hour, minute, last_hour, last_minute = map(int, found.groups())
    opens, closes = time(hour, minute), time(last_hour, last_minute)
    if closes <= opens:
        raise ValueError(f"{value} ends before it begins")
    return opens, closes


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


_Day = Annotated[date, BeforeValidator(_day)]
_Days = tuple[_Day, ...]
_Period = Annotated[tuple[time, time], BeforeValidator(_period)]
_Periods = Annotated[tuple[_Period, ...], BeforeValidator(_listed)]
_Exchanges = Annotated[tuple[Exchange, ...], Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Hours(_Entry):
    pre_open: _Periods = ()
    continuous: _Periods = ()
    closing_auction: _Periods = ()
    post_close: _Periods = ()
    unconfirmed: _Periods = ()

    @model_validator(mode="after")
    def _follow_each_other(self) -> "_Hours":
        hours = self.hours()
        for before, after in zip(hours, hours[1:], strict=False):
            if after.opens < before.closes:
                raise ValueError(f"{before.kind} and {after.kind} overlap at {after.opens:%H:%M}")
        return self

    def hours(self) -> tuple[Hours, ...]:
        found = (Hours(kind, *period) for kind in PeriodKind for period in getattr(self, kind))
        return tuple(sorted(found, key=lambda each: each.opens))


class _Rule(_Hours):
    continuous: _Periods  # which no kind of instrument is without
    exchanges: _Exchanges
    classes: tuple[InstrumentClass, ...] = Field(min_length=1)
    since: _Day = Field(date.min, alias="from")
    season: Season | None = None

    def rule(self) -> Rule:
        return Rule(
            frozenset(self.exchanges),
            frozenset(self.classes),
            self.since,
            self.season,
            self.hours(),
        )


class _Year(_Entry):
    year: int = Field(ge=1994, le=2100)
    market: Market
    closed: _Days
    morning_closed: _Days = ()
    evening_closed: _Days = ()

    @model_validator(mode="after")
    def _is_of_this_year(self) -> "_Year":
        listed = [day for day, _ in self.holidays()]
        for day in listed:
            if day.year != self.year:
                raise ValueError(f"{day} is not a day of {self.year}")
            if listed.count(day) > 1:
                raise ValueError(f"{day} is listed twice")
        if self.market is not Market.COMMODITY and (self.morning_closed or self.evening_closed):
            raise ValueError("only the commodity exchanges have a morning and an evening session")
        return self

    def holidays(self) -> Iterator[tuple[date, Trading]]:
        for trading in (Trading.CLOSED, Trading.MORNING_CLOSED, Trading.EVENING_CLOSED):
            yield from ((day, trading) for day in getattr(self, trading))


class _SingleDay(_Hours):
    date: _Day
    exchanges: _Exchanges
    why: str = Field(min_length=1)
    trading: Trading | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> "_SingleDay":
        if bool(self.hours()) is bool(self.trading):
            raise ValueError("say either `trading` or the hours, such as `continuous`")
        halves = (Trading.MORNING_CLOSED, Trading.EVENING_CLOSED)
        others = [e for e in self.exchanges if market_of(e) is not Market.COMMODITY]
        if self.trading in halves and others:
            raise ValueError(f"{others[0]} has no morning and evening session")
        return self


class _File(_Entry):
    hours: tuple[_Rule, ...] = ()
    years: tuple[_Year, ...] = ()
    days: tuple[_SingleDay, ...] = ()

    def table(self) -> Table:
        return Table(
            tuple(each.rule() for each in self.hours),
            {(each.market, each.year): dict(each.holidays()) for each in self.years},
            {
                (str(exchange), each.date): each.trading or each.hours()
                for each in self.days
                for exchange in each.exchanges
            },
        )


class _Loader(yaml_file.Loader):
    """Reads 2026-12-05 and 15:30 as text.

    YAML takes them for a date, which fails without saying in which entry, and for the number 930.
    """

    yaml_implicit_resolvers = {
        first: [
            each for each in resolvers if each[0].rpartition(":")[2] not in ("timestamp", "int")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _table(path: Path) -> Table:
    return yaml_file.read(path, _File, "`hours`, `years` or `days`", _where, _Loader).table()


def _where(location: tuple[int | str, ...], content: dict[str, Any]) -> str:
    """Name an entry by its place in the file and by what tells it from others."""
    section, *rest = location
    if not rest or not isinstance(rest[0], int):
        return str(section)
    entry = content[str(section)][rest[0]]
    marks = ("date", "year", "market", "exchanges", "from")
    told = [str(entry[mark]) for mark in marks if mark in entry] if isinstance(entry, dict) else []
    number = f"entry {rest[0] + 1} of {section}" + (f" ({', '.join(told)})" if told else "")
    return ", ".join([number, *(str(part) for part in rest[1:] if isinstance(part, str))])
