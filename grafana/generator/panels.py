"""One function for each kind of panel, with what all panels of the kind have in common.

Each returns the SDK's builder, on which the module of a dashboard goes on. All have a title, a
description that says what is shown and what is not, a unit, a query, and a place: `size` is (width,
height), the width of 24 columns, and they follow each other from left to right.
"""

from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    candlestick,
    common,
    dashboard,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.candlestick import VizDisplayMode
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TableCellHeight,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from grafana.generator import look
from grafana.generator.queries import DATA_SOURCE, Query

Size = tuple[int, int]


class _AnyPanel(Protocol):
    """What the builders of all kinds of panels can do."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def datasource(self, datasource: DataSourceRef) -> Self: ...
    def with_target(self, target: Builder[Dataquery]) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def override_by_name(self, name: str, properties: list[DynamicConfigValue]) -> Self: ...


PanelT = TypeVar("PanelT", bound=_AnyPanel)


class Text:
    """What a panel says of itself: its title, and in a sentence or two what it shows."""

    def __init__(self, title: str, description: str) -> None:
        self.title = title
        self.description = description


def _panel(panel: PanelT, text: Text, query: Query, unit: str, size: Size) -> PanelT:
    panel = panel.title(text.title).description(text.description).datasource(DATA_SOURCE)
    return panel.with_target(query).unit(unit).span(size[0]).height(size[1])


def columns(panel: PanelT, settings: dict[str, list[DynamicConfigValue]]) -> PanelT:
    """Give columns or series, by the names that the query has for them, settings of their own."""
    for name, values in settings.items():
        panel = panel.override_by_name(name, values)
    return panel


def legend(*calculations: str) -> common.VizLegendOptions:
    """Return a legend below the chart with these of Grafana's calculations, such as lastNotNull."""
    shown = common.VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM)
    mode = LegendDisplayMode.TABLE if calculations else LegendDisplayMode.LIST
    return shown.display_mode(mode).calcs(list(calculations))


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.NONE)


def time_series(text: Text, name: str, unit: str, size: Size) -> timeseries.Panel:
    """Return lines over time. The query needs a column `time`, and of any other kind numbers."""
    panel = _panel(timeseries.Panel(), text, Query(name, "time_series"), unit, size)
    panel = panel.line_width(1).fill_opacity(8).show_points(VisibilityMode.NEVER)
    return panel.legend(legend()).tooltip(_tooltip())


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """Put the series of a panel on top of each other."""
    stacking = common.StackingConfig().mode(StackingMode.NORMAL).group("A")
    return panel.stacking(stacking).fill_opacity(30)


def candles(text: Text, name: str, size: Size) -> candlestick.Panel:
    """Return candles with their volume as bars.

    The query needs the columns time, open, high, low, close and volume; every other is a line.
    """
    fields = candlestick.CandlestickFieldMap().open("open").high("high").low("low")
    colours = candlestick.CandlestickColors().up(look.UP).down(look.DOWN).flat(look.FLAT)
    panel = _panel(candlestick.Panel(), text, Query(name), look.PRICE, size)
    panel = panel.mode(VizDisplayMode.CANDLES_VOLUME).include_all_fields(True).colors(colours)
    panel = panel.fields(fields.close("close").volume("volume"))
    return panel.legend(legend()).tooltip(_tooltip())


def rows(text: Text, name: str, unit: str, size: Size) -> table.Panel:
    """Return a table of the query's rows; `unit` is that of columns without their own."""
    panel = _panel(table.Panel(), text, Query(name), unit, size)
    return panel.cell_height(TableCellHeight.SM).filterable(True)


def number(text: Text, name: str, unit: str, size: Size) -> stat.Panel:
    """Return the first row's numbers, or words, in large; each column is one of them."""
    reduction = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("/.*/")
    panel = _panel(stat.Panel(), text, Query(name), unit, size).reduce_options(reduction)
    panel = panel.color_mode(BigValueColorMode.VALUE).graph_mode(BigValueGraphMode.NONE)
    return (
        panel.no_value("-").color_scheme(look.by_thresholds()).thresholds(look.thresholds("text"))
    )


def bars(text: Text, name: str, unit: str, size: Size, along: str) -> barchart.Panel:
    """Return a bar for each row and column of numbers, side by side along the column `along`."""
    panel = _panel(barchart.Panel(), text, Query(name), unit, size).x_field(along)
    panel = panel.show_value(VisibilityMode.NEVER).fill_opacity(80).group_width(0.8)
    return panel.x_tick_label_spacing(60).legend(legend()).tooltip(_tooltip())


def states(text: Text, name: str, size: Size, by: str | None = None) -> statetimeline.Panel:
    """Return a line for each thing, on which its states follow each other over time, as words.

    The query has a column `time` and a column of words for each thing, or, with `by`, rows of each
    thing that name it in the column `by`.
    """
    panel = _panel(statetimeline.Panel(), text, Query(name), look.TEXT, size)
    panel = panel.merge_values(True).show_value(VisibilityMode.AUTO).fill_opacity(70)
    if by is not None:
        apart = DataTransformerConfig("partitionByValues", options={"fields": [by]})
        panel = panel.with_transformation(apart)
    return panel.row_height(0.8).legend(legend()).tooltip(_tooltip())


def link(title: str, url: str) -> dashboard.DashboardLink:
    """Return a link for `data_links`; `url` may use variables such as ${__data.fields.x}."""
    return dashboard.DashboardLink(title).url(url).target_blank(False)
