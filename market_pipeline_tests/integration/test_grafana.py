"""Each query of dashboards and alerts runs as role market_grafana and says what its panel shows."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlglot
from sqlglot import exp

from market_pipeline.storage.database import Database
from market_pipeline_tests import grafana_cases as cases
from market_pipeline_tests import grafana_days as days
from market_pipeline_tests.grafana_cases import Grafana, Rows, Statement
from market_pipeline_tests.grafana_macros import Range, Value, in_browser, in_server

NUMBERS = {"int2", "int4", "int8", "float4", "float8", "numeric"}
TIMES = {"timestamptz"}
WORDS = {"text", "varchar"}
STATEMENTS = cases.statements()
MINUTES = 30


@pytest.fixture(scope="module")
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def grafana(shared_database: Database, now: datetime, is_timescale: bool) -> Iterator[Grafana]:
    """A database with half an hour of a few instruments, up to now."""
    start = now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES)
    days.make_instruments(shared_database, now.date() + timedelta(days=5), 2, 3, 2)
    days.make_ticks(shared_database, start, MINUTES, timedelta(seconds=10))
    days.make_notes(shared_database)
    cases.grant(shared_database)
    shown = Range(now - timedelta(hours=1), now + timedelta(minutes=1))
    yield Grafana(shared_database, shown, is_timescale)


@pytest.fixture(scope="module")
def variables(grafana: Grafana) -> dict[str, dict[str, Value]]:
    """The variables of each dashboard as they are when it is opened."""
    return {board["title"]: grafana.variables(board) for board in cases.dashboards()}


@pytest.fixture
def empty(database: Database, now: datetime) -> Grafana:
    cases.grant(database)
    return Grafana(database, Range(now - timedelta(hours=6), now))


def anything(value: str) -> dict[str, Value]:
    """Return every variable there is, with the same value."""
    boards = cases.dashboards()
    return {each["name"]: value for board in boards for each in board["templating"]["list"]}


def first(answer: Rows, kinds: set[str]) -> str | None:
    return next((name for name, kind in answer.columns.items() if kind in kinds), None)


def complaints(statement: Statement, answer: Rows) -> Iterator[str]:
    """Say what a panel of this kind lacks in an answer."""
    columns = answer.columns
    if statement.form == "time_series" or statement.kind in ("candlestick", "state-timeline"):
        if columns.get("time") not in TIMES:
            yield "it has no column time"
        elif answer.column("time") != sorted(answer.column("time")):
            yield "its rows are not in the order of time"
    needed = {
        "annotation": {"time": TIMES, "text": WORDS, "tags": WORDS},
        "variable": dict.fromkeys(columns, WORDS),
        "candlestick": dict.fromkeys(("open", "high", "low", "close", "volume"), NUMBERS),
        "alert": {"value": NUMBERS},
    }.get(statement.kind, {})
    for name, kinds in needed.items():
        if columns.get(name) not in kinds:
            yield f"its column {name} is {columns.get(name)}"
    if statement.kind in ("timeseries", "barchart", "stat", "gauge") and not first(answer, NUMBERS):
        yield "it has no number"
    if statement.kind == "barchart" and not first(answer, WORDS):
        yield "it has nothing to name bars by"


@pytest.mark.parametrize("statement", STATEMENTS, ids=str)
def test_query_answers_what_its_panel_needs(
    grafana: Grafana, variables: dict[str, dict[str, Value]], statement: Statement
) -> None:
    answer = grafana.ask(statement, variables.get(statement.owner))
    assert answer.rows, "it has no rows, though there is something to show"
    assert list(complaints(statement, answer)) == []


def test_instruments_to_choose_from_are_those_subscribed_until_something_is_typed(
    grafana: Grafana,
) -> None:
    [statement] = {each.sql: each for each in STATEMENTS if each.name == "instrument"}.values()
    opened = cases.options(grafana.ask(statement))
    assert len(opened) > 1
    assert cases.options(grafana.ask(statement, search="no such thing'")) == []
    value, label = opened[-1]
    assert cases.options(grafana.ask(statement, search=label)) == [(value, label)]


@pytest.mark.parametrize("statement", STATEMENTS, ids=str)
def test_query_names_what_is_meant_for_dashboards_alone(statement: Statement) -> None:
    now = datetime.now(UTC)
    sql = in_server(in_browser(statement.sql, anything("1")), Range(now, now))
    [tree] = sqlglot.parse(sql, read="postgres")
    assert isinstance(tree, exp.Query)
    ctes = {each.alias for each in tree.find_all(exp.CTE)}
    relations = {each.name or each.this.name for each in tree.find_all(exp.Table)} - ctes
    assert relations
    assert not [name for name in relations if not name.startswith("dashboard_")]


def test_nothing_in_the_database_is_no_error(empty: Grafana) -> None:
    values = {board["title"]: empty.variables(board) for board in cases.dashboards()}
    for statement in STATEMENTS:
        empty.ask(statement, values.get(statement.owner))


def test_variables_are_data_whatever_is_in_them(grafana: Grafana) -> None:
    hostile = anything("'; DROP TABLE ticks; --")
    for statement in STATEMENTS:
        try:
            grafana.ask(statement, hostile, search="' OR true --")
        except cases.Refused as refused:  # as no number, or no length of time, and nothing else
            assert refused.sqlstate.startswith("22"), refused


def test_alert_has_one_number_and_only_words_beside_it(grafana: Grafana) -> None:
    for statement in cases.of_alerts():
        answer = grafana.ask(statement)
        kinds = list(answer.columns.values())
        assert sum(kind in NUMBERS for kind in kinds) == 1, statement
        assert all(kind in NUMBERS | WORDS for kind in kinds), statement
        assert not any(value is None for row in answer.rows for value in row), statement
        words = [name for name, kind in answer.columns.items() if kind in WORDS]
        labels = [
            tuple(row[list(answer.columns).index(name)] for name in words) for row in answer.rows
        ]
        assert len(set(labels)) == len(labels), f"{statement}: two alerts have the same labels"


def test_annotations_name_labels_that_the_query_has(grafana: Grafana) -> None:
    for rule, statement in zip(cases.rules(), cases.of_alerts(), strict=True):
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert named <= set(grafana.ask(statement).columns), rule["title"]
