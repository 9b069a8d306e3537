"""How far our candles may be from the broker's, and why: tolerances.yaml, and a person's own file.

Here are the values and the reader of the files; what is made of them is in reconciliation.py.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from market_pipeline import yaml_file
from market_pipeline.market import Segment

_PACKAGED = Path(__file__).with_name("tolerances.yaml")


class CandleField(StrEnum):
    """What is compared of a candle."""

    OPEN = "open"
    HIGH = "high"
    LOW = "low"
    CLOSE = "close"
    VOLUME = "volume"
    OPEN_INTEREST = "open_interest"


FIELDS = tuple(each.value for each in CandleField)
PRICES = FIELDS[:4]


class Scope(StrEnum):
    """What a tolerance is of: any minute, the first of continuous trading, or the day's total."""

    MINUTE = "minute"
    OPENING = "opening"
    DAY = "day"


@dataclass(frozen=True)
class Tolerance:
    """What is tolerated: `amount` of a unit or a share of the broker's value, whichever is more."""

    unit: str  # ticks, points or lots
    amount: float
    share: float
    is_compared: bool
    why: str

    def __str__(self) -> str:
        if not self.is_compared:
            return "not compared"
        unit = self.unit.removesuffix("s") if self.amount == 1 else self.unit
        parts = [f"{self.amount:g} {unit}"] if self.amount else []
        parts += [f"{self.share * 100:g} %"] if self.share else []
        return " or ".join(parts) or "no difference"


Rules = Mapping[tuple[Segment, CandleField, Scope], Tolerance]


@dataclass(frozen=True)
class Tolerances:
    """All that is tolerated. Every field of every segment has a rule for minutes."""

    rules: Rules
    settles_after: timedelta
    settles_why: str

    @classmethod
    def load(cls, file: Path | None) -> "Tolerances":
        """Take what comes with the program, and what a file adds to it or says otherwise.

        Raises:
            ConfigurationError: names the file, the entry and what is wrong with it.
        """
        if file is None:
            return _packaged()
        usual, own = _packaged(), _read(file)
        settles = own.settles_after
        return cls(
            {**usual.rules, **own.rules()},
            settles.after if settles else usual.settles_after,
            settles.why if settles else usual.settles_why,
        )

    def of(self, segment: Segment, field: CandleField, scope: Scope) -> Tolerance | None:
        """Return a rule; the opening has that of any minute where it has none of its own."""
        found = self.rules.get((segment, field, scope))
        if found is None and scope is Scope.OPENING:
            return self.rules[segment, field, Scope.MINUTE]
        return found

    def table(self) -> pl.DataFrame:
        """Return the rules as columns, a row for each segment and `is_opening` true and false.

        `{field}_amount` in the rule's unit and `{field}_share` are null where nothing is compared,
        as are `day_amount` and `day_share`, of the volume; `is_volume_compared` is of any minute.
        """
        rows = []
        for segment, is_opening in product(Segment, (True, False)):
            scope = Scope.OPENING if is_opening else Scope.MINUTE
            volume = self.of(segment, CandleField.VOLUME, Scope.MINUTE)
            row: dict[str, Any] = {"segment": segment.value, "is_opening": is_opening}
            row["is_volume_compared"] = volume is not None and volume.is_compared
            for field in CandleField:
                row |= _columns(field, self.of(segment, field, scope))
            rows.append(row | _columns("day", self.of(segment, CandleField.VOLUME, Scope.DAY)))
        return pl.DataFrame(rows, infer_schema_length=None)

    def lines(self, segments: Iterable[str]) -> list[str]:
        """Return what is tolerated in some segments, and why, in lines a person reads."""
        wanted = set(segments)
        places: dict[tuple[Scope, Tolerance], list[tuple[Segment, CandleField]]] = {}
        for (segment, field, scope), rule in self.rules.items():
            if segment in wanted:
                places.setdefault((scope, rule), []).append((segment, field))
        seconds = f"{self.settles_after.total_seconds():g} s"
        return [
            f"not compared, a minute that ended less than {seconds} before it was fetched. "
            f"{self.settles_why}",
            *(f"{_place(scope, of)}: {rule}. {rule.why}" for (scope, rule), of in places.items()),
        ]


def _columns(name: str, rule: Tolerance | None) -> dict[str, float | None]:
    if rule is None or not rule.is_compared:
        return {f"{name}_amount": None, f"{name}_share": None}
    return {f"{name}_amount": float(rule.amount), f"{name}_share": float(rule.share)}


def _place(scope: Scope, places: list[tuple[Segment, CandleField]]) -> str:
    segments = ", ".join(dict.fromkeys(segment for segment, _ in places))
    fields = ", ".join(dict.fromkeys(field.replace("_", " ") for _, field in places))
    where = {Scope.MINUTE: "", Scope.OPENING: " of the opening minute", Scope.DAY: " of the day"}
    return f"{segments} {fields}{where[scope]}"


_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
_Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False, strict=True)]
_Why = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Settles(_Entry):
    seconds: _Seconds
    why: _Why

    @property
    def after(self) -> timedelta:
        return timedelta(seconds=self.seconds)


class _Rule(_Entry):
    segments: tuple[Segment, ...] = Field(min_length=1)
    fields_: tuple[CandleField, ...] = Field(min_length=1, alias="fields")
    of: Scope = Scope.MINUTE
    compared: StrictBool = True
    ticks: _Amount | None = None
    points: _Amount | None = None
    lots: _Amount | None = None
    share: _Share | None = None
    why: _Why

    @model_validator(mode="after")
    def _says_what_can_be_compared(self) -> "_Rule":
        given = [unit for unit in ("ticks", "points", "lots") if getattr(self, unit) is not None]
        if self.compared is not bool(given or self.share is not None):
            raise ValueError("say either what is tolerated, such as `share`, or `compared: false`")
        if self.of is Scope.DAY and set(self.fields_) != {CandleField.VOLUME}:
            raise ValueError("of a day only the volume is compared")
        for segment, field in product(self.segments, self.fields_):
            unit = _unit(segment, field)
            if self.compared and unit is None:
                raise ValueError(f"{segment} has no {field}: it can only be `compared: false`")
            wrong = [each for each in given if each != unit]
            if wrong:
                raise ValueError(f"the {field} of {segment} is in {unit}, not in {wrong[0]}")
        return self

    def tolerance(self, segment: Segment, field: CandleField) -> Tolerance:
        unit = _unit(segment, field) or ""
        amount = getattr(self, unit) if unit else None
        return Tolerance(unit, amount or 0.0, self.share or 0.0, self.compared, self.why)


def _unit(segment: Segment, field: CandleField) -> str | None:
    if field in PRICES:
        return "points" if segment is Segment.INDEX else "ticks"
    return None if segment is Segment.INDEX else "lots"


class _File(_Entry):
    settles_after: _Settles | None = None
    tolerances: tuple[_Rule, ...] = ()

    @model_validator(mode="after")
    def _says_nothing_twice(self) -> "_File":
        said: dict[tuple[Segment, CandleField, Scope], int] = {}
        for number, entry in enumerate(self.tolerances, 1):
            for segment, field in product(entry.segments, entry.fields_):
                before = said.setdefault((segment, field, entry.of), number)
                if before != number:
                    place = f"{segment} {field} of {entry.of}"
                    raise ValueError(f"entries {before} and {number} of tolerances: both {place}")
        return self

    def rules(self) -> Rules:
        return {
            (segment, field, entry.of): entry.tolerance(segment, field)
            for entry in self.tolerances
            for segment, field in product(entry.segments, entry.fields_)
        }


@functools.cache
def _packaged() -> Tolerances:
    own = _read(_PACKAGED)
    assert own.settles_after is not None  # which a test reads
    return Tolerances(own.rules(), own.settles_after.after, own.settles_after.why)


def _read(path: Path) -> _File:
    return yaml_file.read(path, _File, "`tolerances` or `settles_after`", _where)


def _where(location: tuple[int | str, ...], content: dict[str, Any]) -> str:
    """Name an entry by its place in the file and by what it is of."""
    parts = list(map(str, location))
    if len(location) > 1 and isinstance(location[1], int):
        entry = content["tolerances"][location[1]]
        marks = ("segments", "fields", "of")
        told = (
            [str(entry[mark]) for mark in marks if mark in entry] if isinstance(entry, dict) else []
        )
        number = f"entry {location[1] + 1} of tolerances" + (
            f" ({', '.join(told)})" if told else ""
        )
        parts = [number, *(part for part in location[2:] if isinstance(part, str))]
    return ", ".join(parts)
