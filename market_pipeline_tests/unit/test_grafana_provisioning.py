"""The files Grafana is provisioned with are whole, fit together and hold no secret."""

import re
from typing import Any

import pytest

from grafana.generator import catalogue, health
from market_pipeline_tests import grafana_cases as cases

RULES = cases.rules()
FILES = sorted((catalogue.GRAFANA_FOLDER / "provisioning").rglob("*.yaml"))
DURATION = re.compile(r"[1-9]\d*[smh]")
#: From where each file takes what is not the same for everybody; named in its first lines.
VARIABLES = {
    "datasources/market_pipeline.yaml": {
        "MARKET_GRAFANA_PASSWORD",
        "GRAFANA_DATABASE_HOST",
        "GRAFANA_DATABASE_NAME",
        "GRAFANA_DATABASE_SSLMODE",
        "GRAFANA_DATABASE_ROOT_CERTIFICATE",
    },
    "alerting/contact_points.yaml": {
        "GRAFANA_ALERT_TYPE",
        "GRAFANA_ALERT_ADDRESSES",
        "GRAFANA_ALERT_WEBHOOK_URL",
    },
}


@pytest.fixture(params=RULES, ids=lambda rule: rule["uid"])
def rule(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_variables_of_the_environment_are_those_that_are_named_above(file: Any) -> None:
    name = str(file.relative_to(catalogue.GRAFANA_FOLDER / "provisioning"))
    code = re.sub(r"(?m)^\s*#.*$", "", file.read_text("utf-8"))
    used = set() if name == "alerting/rules.yaml" else set(re.findall(r"\$\{?(\w+)", code))
    assert used == VARIABLES.get(name, set())
    assert all(variable in file.read_text("utf-8").split("apiVersion")[0] for variable in used)


def test_data_source_is_the_one_that_panels_ask_with_a_password_from_elsewhere() -> None:
    [source] = cases.provisioned("datasources/market_pipeline.yaml")["datasources"]
    assert (source["uid"], source["type"]) == ("market_pipeline", "grafana-postgresql-datasource")
    assert source["user"] == "market_grafana"
    assert source["secureJsonData"] == {"password": "$MARKET_GRAFANA_PASSWORD"}
    assert not source["editable"]


def test_alerts_go_where_there_is_a_contact_point() -> None:
    [point] = cases.provisioned("alerting/contact_points.yaml")["contactPoints"]
    [policy] = cases.provisioned("alerting/policies.yaml")["policies"]
    told = [policy["receiver"], *(route["receiver"] for route in policy["routes"])]
    assert set(told) == {point["name"]}


def test_uids_and_titles_of_rules_differ() -> None:
    for key in ("uid", "title"):
        assert len({rule[key] for rule in RULES}) == len(RULES)


def test_uid_is_one_that_grafana_takes(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", rule["uid"])


def test_rule_compares_what_it_asks(rule: dict[str, Any]) -> None:
    question, comparison = rule["data"]
    assert rule["condition"] == comparison["refId"]
    assert comparison["datasourceUid"] == "__expr__"
    assert comparison["model"]["expression"] == question["refId"]
    assert question["datasourceUid"] == "market_pipeline"


def test_rule_waits_for_longer_than_one_evaluation_and_says_what_no_data_means(
    rule: dict[str, Any],
) -> None:
    assert DURATION.fullmatch(rule["for"])
    assert rule["noDataState"] in ("OK", "NoData")
    assert rule["execErrState"] == "Error"


def test_rule_says_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["annotations"]["summary"].endswith(".")
    assert len(rule["annotations"]["description"]) > 40
    assert rule["labels"]["severity"] in ("critical", "warning")


def test_rule_leads_to_the_panel_that_shows_it(rule: dict[str, Any]) -> None:
    [board] = [each for each in cases.dashboards() if each["uid"] == rule["dashboardUid"]]
    [panel] = [each for each in board["panels"] if each["id"] == rule["panelId"]]
    assert board["uid"] == health.UID
    assert panel["type"] != "row"


def test_every_file_of_alert_sql_is_asked() -> None:
    asked = {statement.sql for statement in cases.of_alerts()}
    files = sorted((catalogue.GRAFANA_FOLDER.parent / "sql/panels/alerts").glob("*.sql"))
    assert len(files) == len(RULES)
    assert {file.read_text("utf-8").strip() for file in files} == asked
