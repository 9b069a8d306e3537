"""Grafana's dashboards: in step with the code that makes them, and such as Grafana can show."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from grafana.generator import catalogue, frame, queries

FILES = sorted((catalogue.GRAFANA_FOLDER / "dashboards").glob("*.json"))
WIDTH = 24  # columns of Grafana's grid

Json = dict[str, Any]


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def dashboard(request: pytest.FixtureRequest) -> Json:
    return json.loads(request.param.read_text("utf-8"))  # type: ignore[no-any-return]


def panels(dashboard: Json) -> list[Json]:
    return [each for each in dashboard["panels"] if each["type"] != "row"]


def dictionaries(value: object) -> Iterator[Json]:
    """Yield every object in a document, the document included."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from dictionaries(each)
    elif isinstance(value, list):
        for each in value:
            yield from dictionaries(each)


def texts(value: object) -> Iterator[str]:
    """Yield every string in a document, names of fields not included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def statements(dashboard: Json) -> Iterator[str]:
    """Yield the SQL of the panels, variables and annotations of a dashboard."""
    yield from (each["rawSql"] for each in dictionaries(dashboard) if "rawSql" in each)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]


def test_files_are_what_the_code_makes() -> None:
    assert catalogue.outdated() == []


def test_file_that_differs_is_named_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = partial(frame.frame, "empty", "Empty", "Shows nothing.", "1m", "now-1h")
    monkeypatch.setattr(catalogue, "GRAFANA_FOLDER", tmp_path)
    monkeypatch.setattr(catalogue, "DASHBOARDS", {"empty": made})
    monkeypatch.setattr(catalogue, "PROVISIONED", {})
    [written] = catalogue.write()
    written.write_text("{}", "utf-8")
    nobodys = tmp_path / "dashboards" / "nobodys.json"
    nobodys.write_text("{}", "utf-8")
    assert catalogue.outdated() == [written, nobodys]
    assert catalogue.write() == [written, nobodys]
    assert catalogue.outdated() == []
    assert not nobodys.exists()


def test_uids_of_dashboards_differ() -> None:
    uids = [json.loads(file.read_text("utf-8"))["uid"] for file in FILES]
    assert len(set(uids)) == len(uids)


def test_panels_have_numbers_of_their_own(dashboard: Json) -> None:
    numbers = [each["id"] for each in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_panels_do_not_overlap(dashboard: Json) -> None:
    taken: set[tuple[int, int]] = set()
    for each in dashboard["panels"]:
        place = each["gridPos"]
        assert place["x"] + place["w"] <= WIDTH, each["title"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert not taken & cells, each["title"]
        taken |= cells


def test_every_panel_says_what_it_shows_and_in_what_unit(dashboard: Json) -> None:
    for each in panels(dashboard):
        assert each["title"]
        assert each["description"], each["title"]
        assert each["fieldConfig"]["defaults"]["unit"], each["title"]


def test_no_line_ends_where_points_are_merely_far_apart(dashboard: Json) -> None:
    # How far they are depends on the time shown, so the query alone can say where nothing is known.
    assert [each for each in dictionaries(dashboard) if each.get("insertNulls")] == []


def test_every_query_goes_to_the_provisioned_data_source(dashboard: Json) -> None:
    asked = [*panels(dashboard), *dashboard["annotations"]["list"]]
    asked += [each for each in dashboard["templating"]["list"] if each["type"] == "query"]
    asked += [each for each in dictionaries(dashboard) if "rawSql" in each]
    assert {each["datasource"]["uid"] for each in asked} == {"market_pipeline"}
    assert {each["datasource"]["type"] for each in asked} == {"grafana-postgresql-datasource"}


def test_every_variable_that_is_used_is_defined(dashboard: Json) -> None:
    defined = {each["name"] for each in dashboard["templating"]["list"]}
    used = set[str]()
    for text in texts(dashboard):
        used |= set(re.findall(r"\$\{?([a-zA-Z]\w*)", text))
    assert used <= defined


def test_variables_enter_sql_as_quoted_text_alone(dashboard: Json) -> None:
    for statement in statements(dashboard):
        # The search is left as it is until something is typed, so it must be quoted beforehand.
        bare = re.sub(r"\$\{\w+:sqlstring\}|'\$\{__searchFilter\}'|\$__\w+", "", statement)
        assert "$" not in bare, statement


def test_every_file_of_panel_sql_is_used() -> None:
    dashboards = [json.loads(file.read_text("utf-8")) for file in FILES]
    used = {statement for each in dashboards for statement in statements(each)}
    files = {
        file: file.read_text("utf-8").strip()
        for file in queries.PANELS.rglob("*.sql")
        if file.parent.name != "alerts"
    }
    assert [file for file, statement in files.items() if statement not in used] == []
