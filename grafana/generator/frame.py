"""What is around the panels: time, refresh, links, variables, annotations, and the JSON."""

import json

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    CustomVariable,
    Dashboard,
    DashboardLink,
    QueryVariable,
    Row,
    TimePicker,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
)

from grafana.generator.queries import DATA_SOURCE, Query, sql

TAG = "market_pipeline"


def frame(uid: str, title: str, description: str, refresh: str, since: str) -> Dashboard:
    """Return an empty dashboard over the time from `since`, such as now-6h or now/d, until now.

    Times are shown as those of Asia/Kolkata, whatever the browser's zone. At its top are links to
    the other dashboards, which keep the time and the variables of the same name.
    """
    others = DashboardLink("Market pipeline").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    built = Dashboard(title).uid(uid).description(description).tags([TAG])
    built = (
        built.timezone("Asia/Kolkata").week_start("monday").tooltip(DashboardCursorSync.CROSSHAIR)
    )
    built = built.time(since, "now").refresh(refresh)
    built = built.timepicker(TimePicker().refresh_intervals(["5s", "15s", "1m", "5m", "15m"]))
    return built.readonly().link(others.keep_time(True).include_vars(True).as_dropdown(False))


def row(title: str) -> Row:
    """Return a heading over the panels that follow it."""
    return Row(title)


def choice(name: str, label: str, description: str, query: str) -> QueryVariable:
    """Return a variable whose options are the rows of a query.

    A column `__value` is the variable's value and `__text` what is shown; a single column is both.
    It is asked when the dashboard is opened and when a variable in it has changed, not each time
    that the dashboard is refreshed; with '${__searchFilter}' in it also with whatever is typed,
    which stands there unreplaced until something is.
    """
    variable = QueryVariable(name).label(label).description(description).datasource(DATA_SOURCE)
    variable = variable.query(sql(query)).definition(sql(query)).multi(False).include_all(False)
    return variable.refresh(VariableRefresh.ON_DASHBOARD_LOAD).allow_custom_value(False)


def setting(name: str, label: str, description: str, values: list[str]) -> CustomVariable:
    """Return a variable with these options, of which the first is chosen."""
    options = [VariableOption(each == values[0], each, each) for each in values]
    variable = CustomVariable(name).label(label).description(description).values(",".join(values))
    variable = variable.options(options).current(options[0])
    return variable.multi(False).include_all(False).allow_custom_value(False)


def marks(name: str, query: str, colour: str) -> AnnotationQuery:
    """Return an annotation: marks on every chart over time.

    The query has the columns time, text and tags (separated by commas), and timeend where a mark
    is a span of time.
    """
    mark = AnnotationQuery().name(name).datasource(DATA_SOURCE).enable(True).hide(False)
    return mark.icon_color(colour).target(Query(query, letter="Anno"))


def numbered(built: Dashboard) -> model.Dashboard:
    """Return a dashboard with its panels numbered in order."""
    made = built.build()
    for number, panel in enumerate(made.panels or [], start=1):
        panel.id_val = number
    return made


def numbers(built: Dashboard) -> dict[str, int]:
    """Return the number of each panel of a dashboard, by its title."""
    return {
        panel.title: panel.id_val
        for panel in numbered(built).panels or []
        if panel.title is not None and panel.id_val is not None
    }


def encode(built: Dashboard) -> str:
    """Return a dashboard as JSON, always the same text."""
    plain = _without_menu(json.loads(json.dumps(numbered(built), cls=JSONEncoder)))
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _without_menu(value: object) -> object:
    """Leave out the place of links and annotations, for which the SDK knows a menu alone."""
    if isinstance(value, dict):
        return {
            name: _without_menu(each)
            for name, each in value.items()
            if (name, each) != ("placement", "inControlsMenu")
        }
    return [_without_menu(each) for each in value] if isinstance(value, list) else value
