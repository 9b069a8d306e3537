"""What Grafana makes of the text of a query before the database gets it.

Variables are replaced in the browser and macros in the server; for alerts the latter alone. As
packages/grafana-sql (SqlDatasource.ts) and pkg/tsdb/grafana-postgresql-datasource (macros.go,
sqleng) of Grafana 12.4 do it, and the formats of variables as @grafana/scenes (formatRegistry.ts);
what is searched for as its QueryVariable.tsx and SQLVariableSupport.ts of the former.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

Value = str | list[str]

_VARIABLE = re.compile(
    r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:^}]+))?(?::([^}]+))?\}"
)
_MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_STEPS = (
    1,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10_800,
    21_600,
    43_200,
    86_400,
)
_POINTS = 1000


@dataclass(frozen=True)
class Range:
    """The time that is shown, and how long one of a chart's points is."""

    start: datetime
    end: datetime

    @property
    def interval(self) -> int:
        """Seconds, at least the data source's 15: there are no more points than pixels."""
        wanted = (self.end - self.start).total_seconds() / _POINTS
        return max(15, next((step for step in _STEPS if step >= wanted), _STEPS[-1]))


def in_browser(sql: str, variables: Mapping[str, Value], search: str = "") -> str:
    """Replace variables; what is no variable stays as it is, so where nothing is searched for
    that of the search as well."""
    known = {**variables, "__searchFilter": search} if search else variables

    def replaced(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[4]
        if name not in known:
            return match[0]
        return formatted(known[name], match[3] or match[6])

    return _VARIABLE.sub(replaced, sql)


def formatted(value: Value, form: str | None) -> str:
    """Return a variable's value as its format has it; without one as SqlDatasource does."""
    if form == "sqlstring":
        values = [value] if isinstance(value, str) else value
        return ",".join("'" + each.replace("'", "''").replace('"', '\\"') + "'" for each in values)
    if form == "raw":
        return value if isinstance(value, str) else ",".join(value)
    assert form is None, f"no dashboard had the format {form} before: read what Grafana makes of it"
    if isinstance(value, str):
        return value.replace("'", "''")
    return ",".join("'" + each.replace("'", "''") + "'" for each in value)


def in_server(sql: str, shown: Range, is_timescale: bool = False) -> str:
    """Replace the interval and the macros.

    Raises:
        ValueError: there is no such macro.
    """
    sql = sql.replace("$__interval_ms", str(shown.interval * 1000))
    sql = sql.replace("$__interval", f"{shown.interval}s")
    sql = sql.replace("$__unixEpochFrom()", str(int(shown.start.timestamp())))
    sql = sql.replace("$__unixEpochTo()", str(int(shown.end.timestamp())))

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if name == "__timeGroup" and sql[match.end() : match.end() + 1] == ",":
            name = "__timeGroupAlias"
        arguments = [each.strip(" ") for each in match[2].split(",")]
        return _macro(name, arguments, shown, is_timescale)

    return _MACRO.sub(replaced, sql)


def _macro(name: str, arguments: Sequence[str], shown: Range, is_timescale: bool) -> str:
    start, end = (
        f"'{each.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}'" for each in (shown.start, shown.end)
    )
    simple = {
        "__time": f'{arguments[0]} AS "time"',
        "__timeEpoch": f'extract(epoch from {arguments[0]}) as "time"',
        "__timeFilter": f"{arguments[0]} BETWEEN {start} AND {end}",
        "__timeFrom": start,
        "__timeTo": end,
    }
    if name in simple:
        return simple[name]
    if name not in ("__timeGroup", "__timeGroupAlias"):
        raise ValueError(f"unknown macro {name!r}")
    seconds = _seconds(arguments[1].strip("'"))
    grouped = f"floor(extract(epoch from {arguments[0]})/{seconds:g})*{seconds:g}"
    if is_timescale:
        grouped = f"time_bucket('{seconds:.3f}s',{arguments[0]})"
    return grouped + (' AS "time"' if name == "__timeGroupAlias" else "")


def _seconds(interval: str) -> float:
    match = re.fullmatch(r"([\d.]+)([a-z]+)", interval)
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"error parsing interval {interval}")
    return float(match[1]) * _UNITS[match[2]]
