"""Renders the one definition of a candle in sql/candles for plain PostgreSQL.

The definitions are written for TimescaleDB (time_bucket, first, last). sqlglot rewrites their
syntax trees; the statements around them are in sql/plain.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import sqlglot
from sqlglot import exp

from market_pipeline.errors import DatabaseError
from market_pipeline.market import STORED_INTERVALS
from market_pipeline.storage.sql_files import sql_folder

# Monday 2000-01-03 00:00 UTC, where TimescaleDB anchors its buckets.
_ORIGIN = "2000-01-03 00:00:00+00"


@dataclass(frozen=True)
class CandleDefinition:
    """One candle length: its name, how long it is, and the table or view it is computed from."""

    name: str
    width: str
    zone: str | None  # whose midnights begin a candle of a day
    source: str
    select: exp.Select
    text: str

    def aggregate(self) -> str:
        """Return the statement that makes the continuous aggregate of TimescaleDB."""
        text = self.text
        if self.source != "ticks":  # an aggregate stands on another, not on the view of it
            text = text.replace(f"FROM {self.source}", f"FROM {self.source}_aggregate")
        return self._of_timescaledb("continuous_aggregate").replace(":definition", text)

    def kept_view(self) -> str:
        """Return the view of all that is stored on TimescaleDB; `view("kept")` stands on it."""
        return self._of_timescaledb("kept_view")

    def _of_timescaledb(self, template: str) -> str:
        text = (sql_folder() / "timescaledb" / f"{template}.sql").read_text("utf-8")
        return text.replace(":name", self.name)

    def view(self, stored: str = "stored") -> str:
        """Return the view that joins the stored candles with those computed now."""
        return self._render("candle_view", "tail", self.source, stored)

    @functools.cached_property
    def upserts(self) -> list[str]:
        """The statements that store what is new, and store again what has changed."""
        stored_source = self.source if self.source == "ticks" else f"{self.source}_stored"
        return [self._render("upsert", part, stored_source) for part in ("range", "changed")]

    def of_source(self, source: str) -> str:
        """Return the definition for plain PostgreSQL, of a table or of a query in parentheses."""
        computed = _in_postgres(self.select)
        from_clause = computed.find(exp.From)
        assert from_clause is not None
        table = sqlglot.parse_one(f"SELECT FROM {source} AS {self.source}", read="postgres")
        from_clause.replace(table.find(exp.From))
        return computed.sql("postgres", comments=False)

    def _render(self, statement: str, part: str, source: str, stored: str = "stored") -> str:
        computed = _in_postgres(self.select)
        rows = _select(part)
        for table in list(rows.find_all(exp.Table)):
            if table.name == "source":
                table.replace(exp.table_(source, alias="source"))
        from_clause = computed.find(exp.From)
        assert from_clause is not None
        from_clause.set("this", rows.subquery(self.source))
        tree = _template(statement)
        for subquery in list(tree.find_all(exp.Subquery)):
            if subquery.alias == "computed":
                subquery.set("this", computed)
        for table in list(tree.find_all(exp.Table)):
            if table.name == "candles":
                table.replace(exp.table_(self.name))
            elif table.name == "candles_stored":
                table.replace(exp.table_(f"{self.name}_{stored}"))
        return tree.transform(self._replace_placeholder).sql("postgres", comments=False)

    def _replace_placeholder(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Anonymous) and node.name == "bucket":
            return _bucket(self.width, self.zone, node.expressions[0])
        is_width = isinstance(node, exp.Column) and node.name == "width" and not node.table
        return _interval(self.width) if is_width else node


def definitions() -> list[CandleDefinition]:
    """Return the definitions of sql/candles, each after the one it is computed from."""
    return _read(sql_folder() / "candles")


@functools.cache  # rendering takes longer than most refreshes
def _read(folder: Path) -> list[CandleDefinition]:
    return [_definition(folder / f"candles_{interval.name}.sql") for interval in STORED_INTERVALS]


def _definition(file: Path) -> CandleDefinition:
    text = file.read_text("utf-8")
    select = sqlglot.parse_one(text, read="postgres")
    if not isinstance(select, exp.Select):
        raise DatabaseError(f"{file.name} must be one SELECT")
    source = select.find(exp.Table)
    bucket = next((f for f in select.find_all(exp.Anonymous) if f.name == "time_bucket"), None)
    if source is None or bucket is None:
        raise DatabaseError(f"{file.name} must select from a table and group by time_bucket")
    width, _, *zone = bucket.expressions
    named = zone[0].name if zone else None
    return CandleDefinition(file.stem, width.name, named, source.name, select, text)


def _select(name: str) -> exp.Select:
    tree = _template(name)
    assert isinstance(tree, exp.Select)
    return tree


def _template(name: str) -> exp.Expr:
    text = (sql_folder() / "plain" / f"{name}.sql").read_text("utf-8")
    return sqlglot.parse_one(text, read="postgres")


def _in_postgres(select: exp.Expr) -> exp.Expr:
    def rewrite(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Anonymous) and node.name == "time_bucket":
            width, time, *zone = node.expressions
            return _bucket(width.name, zone[0].name if zone else None, time)
        if isinstance(node, exp.Filter) and isinstance(node.this, exp.First | exp.Last):
            return _ordered(node.this, node.expression)
        if isinstance(node, exp.First | exp.Last) and not isinstance(node.parent, exp.Filter):
            return _ordered(node, None)
        return node

    return select.transform(rewrite)


def _ordered(pick: exp.Expr, condition: exp.Expr | None) -> exp.Expr:
    """first(value, key) -> (array_agg(value ORDER BY key))[1]; last orders descending."""
    key = exp.Ordered(this=pick.expression, desc=isinstance(pick, exp.Last))
    ordered = exp.Order(this=pick.this, expressions=[key])
    values: exp.Expr = exp.ArrayAgg(this=ordered)
    if condition is not None:
        values = exp.Filter(this=values, expression=condition)
    return exp.Bracket(this=exp.paren(values), expressions=[exp.Literal.number(1)], offset=1)


def _bucket(width: str, zone: str | None, time: exp.Expr) -> exp.Expr:
    """Return when the candle begins that a time is in."""
    if zone is not None:
        day = [exp.Literal.string("day"), time, exp.Literal.string(zone)]
        return exp.Anonymous(this="date_trunc", expressions=day)
    origin = exp.cast(exp.Literal.string(_ORIGIN), "timestamptz")
    return exp.func("date_bin", _interval(width), time, origin, dialect="postgres")


def _interval(width: str) -> exp.Expr:
    # A day as such would be 23 or 25 hours where the clocks of the session's time zone change.
    return exp.cast(exp.Literal.string("24 hours" if width == "1 day" else width), "interval")
