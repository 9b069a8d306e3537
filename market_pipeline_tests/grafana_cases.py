"""Runs the SQL of Grafana's dashboards and alerts as Grafana does, from the files it is given."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import yaml
from psycopg import pq

from grafana.generator import catalogue
from market_pipeline.storage.database import Database
from market_pipeline_tests.grafana_macros import Range, Value, in_browser, in_server

Json = dict[str, Any]


@dataclass(frozen=True)
class Statement:
    """The SQL of a panel, a variable, an annotation or an alert, and what is to be made of it."""

    owner: str
    name: str
    kind: str  # the type of the panel, or variable, annotation or alert
    sql: str
    form: str = "table"

    def __str__(self) -> str:
        return f"{self.owner}: {self.name} ({self.kind})"


@dataclass(frozen=True)
class Rows:
    """An answer: the names and PostgreSQL's types of its columns, and the rows."""

    columns: dict[str, str]
    rows: list[tuple[Any, ...]]

    def column(self, name: str) -> list[Any]:
        place = list(self.columns).index(name)
        return [row[place] for row in self.rows]


def dashboards() -> list[Json]:
    """Return the dashboards of grafana/dashboards/, as they are committed."""
    files = sorted((catalogue.GRAFANA_FOLDER / "dashboards").glob("*.json"))
    return [json.loads(file.read_text("utf-8")) for file in files]


def provisioned(name: str) -> Json:
    """Return a file of grafana/provisioning/."""
    text = (catalogue.GRAFANA_FOLDER / "provisioning" / name).read_text("utf-8")
    return yaml.safe_load(text)  # type: ignore[no-any-return]


def rules() -> list[Json]:
    groups = provisioned("alerting/rules.yaml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def statements() -> list[Statement]:
    """Return everything that Grafana asks the database."""
    return [*(each for board in dashboards() for each in of_dashboard(board)), *of_alerts()]


def of_dashboard(board: Json) -> Iterator[Statement]:
    owner = board["title"]
    for variable in queried_variables(board):
        yield Statement(owner, variable["name"], "variable", variable["query"])
    for mark in board["annotations"]["list"]:
        yield Statement(owner, mark["name"], "annotation", mark["target"]["rawSql"])
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield Statement(
                owner, panel["title"], panel["type"], target["rawSql"], target["format"]
            )


def of_alerts() -> Iterator[Statement]:
    for rule in rules():
        model = rule["data"][0]["model"]
        yield Statement("Alerts", rule["title"], "alert", model["rawSql"], model["format"])


def queried_variables(board: Json) -> list[Json]:
    return [each for each in board["templating"]["list"] if each["type"] == "query"]


class Refused(Exception):
    """The database refuses a query, and says why."""

    def __init__(self, result: pq.abc.PGresult, sql: str) -> None:
        super().__init__(f"{result.error_message.decode()}\n{sql}")
        self.sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()


class Grafana:
    """Asks a database as role market_grafana."""

    def __init__(self, database: Database, shown: Range, is_timescale: bool = False) -> None:
        self._database, self._is_timescale = database, is_timescale
        self.shown = shown

    def ask(
        self, statement: Statement, variables: Mapping[str, Value] | None = None, search: str = ""
    ) -> Rows:
        """Return what a statement answers with these values of variables."""
        # In a transaction of its own: the next connection may have the same backend.
        with psycopg.connect(self._database.url) as connection:
            connection.execute("SET LOCAL ROLE market_grafana")
            return answer(connection, self.text(statement, variables or {}, search))

    def text(self, statement: Statement, variables: Mapping[str, Value], search: str = "") -> str:
        """Return what the database gets of a statement."""
        sql = statement.sql
        if statement.kind != "alert":
            sql = in_browser(sql, variables, search)
        return in_server(sql, self.shown, self._is_timescale)

    def variables(self, board: Json) -> dict[str, Value]:
        """Return the first option of each variable of a dashboard, as when it is opened."""
        found: dict[str, Value] = {}
        for each in board["templating"]["list"]:
            if each["type"] == "query":
                answer = self.ask(
                    Statement(board["title"], each["name"], "variable", each["query"]), found
                )
                found[each["name"]] = str(options(answer)[0][0]) if answer.rows else ""
            elif each["type"] == "custom":
                found[each["name"]] = each["current"]["value"]
            else:
                found[each["name"]] = each.get("query", "")
        return found


def answer(connection: psycopg.Connection[Any], sql: str) -> Rows:
    """Run SQL as Grafana sends it: in text, by the simple protocol.

    Raises:
        Refused: the database does not take it.
    """
    result = connection.pgconn.exec_(sql.encode())
    if result.status != pq.ExecStatus.TUPLES_OK:
        raise Refused(result, sql)
    places = range(result.nfields)
    columns = {(result.fname(n) or b"").decode(): _type(result.ftype(n)) for n in places}
    values = [[result.get_value(row, n) for n in places] for row in range(result.ntuples)]
    return Rows(columns, [tuple(v if v is None else v.decode() for v in row) for row in values])


def _type(oid: int) -> str:
    known = psycopg.adapters.types.get(oid)
    return known.name if known else str(oid)


def options(answer: Rows) -> list[tuple[str, str]]:
    """Return value and text of each option that a variable's query gives.

    Either both have a column, or the only column is both: Grafana 12.4.0 takes the first of
    several, later versions make options of all of them, so there must be no other.
    """
    if set(answer.columns) == {"__value", "__text"}:
        return list(zip(answer.column("__value"), answer.column("__text"), strict=True))
    assert len(answer.columns) == 1, answer.columns
    return [(row[0], row[0]) for row in answer.rows]


_GRANT = """
DO $$
DECLARE
    ours regnamespace := (SELECT relnamespace FROM pg_class WHERE oid = 'ticks'::regclass);
    target text;
BEGIN
    IF to_regprocedure('grant_access()') IS NOT NULL THEN
        PERFORM grant_access();
        RETURN;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO market_grafana', ours);
    FOR target IN
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace = ours AND relname LIKE 'dashboard\\_%'
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO market_grafana', target);
    END LOOP;
END
$$
"""


def grant(database: Database) -> None:
    """Let the role read what is for dashboards."""
    with psycopg.connect(database.url) as connection:
        connection.execute(_GRANT)
