"""Market overview: what is subscribed and stands at what, and the candles of one instrument."""

from grafana_foundation_sdk.builders import candlestick, stat, statetimeline, table
from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.generator import frame, look, panels, variables
from grafana.generator.look import column, option
from grafana.generator.panels import Text

UID = "market_overview"
STATES = {
    "final": ("final", look.GOOD),
    "repaired": ("repaired", look.NEUTRAL),
    "backfilled": ("backfilled", look.INTEREST),
    "provisional": ("provisional", look.WARNING),
}
GAPS = {"gap": ("gap", look.BAD), "whole": ("no gap", look.QUIET)}
COMING = {
    "live": ("live", look.GOOD),
    "silent": ("silent", look.BAD),
    "nothing yet": ("nothing yet", look.QUIET),
}


def build() -> Dashboard:
    """Return the dashboard."""
    about = "What is subscribed and what it stands at; the candles of one instrument."
    built = frame.frame(UID, "Market overview", about, refresh="5s", since="now-6h")
    built = built.with_variable(variables.instrument()).with_variable(variables.length())
    built = built.annotation(frame.marks("Gaps", "market_overview/gaps", look.BAD))
    built = built.annotation(frame.marks("Repairs", "market_overview/repairs", look.NEUTRAL))
    for panel in [_quote(), _candle_states(), _candles(), _states(), _watch_list()]:
        built = built.with_panel(panel)
    return built


def _quote() -> stat.Panel:
    text = Text(
        "${instrument:text}",
        "The newest tick of the last five days. The change is against the last close of the day "
        "before, as the broker has it where its candles have replaced ours; volume is the day's.",
    )
    return panels.columns(
        panels.number(text, "market_overview/quote", look.PRICE, (15, 4)),
        {
            "ltp": column("Last price", look.PRICE, 2),
            "change": column("Change", look.PRICE, 2, *look.changed()),
            "change_percent": column("Change in percent", look.PERCENT, 2, *look.changed()),
            "volume": column("Volume", look.COUNT),
            "open_interest": column("Open interest", look.COUNT),
            "age": column("Age", look.SECONDS, 0),
        },
    )


def _candle_states() -> stat.Panel:
    text = Text(
        "Candles of ${interval}",
        "How many of the time shown are final (they agree with the broker's), repaired (the "
        "broker's in place of ours), backfilled (only the broker has one) or provisional (not "
        "compared yet), and in how many packets may have been missed.",
    )
    states = {
        state: column(word, None, None, look.colour(hue)) for state, (word, hue) in STATES.items()
    }
    missed = option("thresholds", look.thresholds(look.QUIET, (1, look.BAD)).build())
    panel = panels.number(text, "market_overview/candle_states", look.COUNT, (9, 4))
    return panels.columns(panel, states | {"has_gap": column("with a gap", None, None, missed)})


def _candles() -> candlestick.Panel:
    text = Text(
        "${instrument:text}, candles of ${interval}",
        "Candles with their volume, and the open interest as a line. A day's is shown where its "
        "midnight lies within the time. Marks are gaps (red) and minutes of the broker's (blue).",
    )
    line = [option("custom.axisPlacement", "right"), option("custom.fillOpacity", 0)]
    return panels.columns(
        panels.candles(text, "market_overview/candles", (24, 14)).decimals(2),
        {
            # Its name is what the panel looks for.
            "volume": [option("unit", look.COUNT)],
            "open_interest": column(
                "Open interest", look.COUNT, None, look.colour(look.INTEREST), *line
            ),
        },
    )


def _states() -> statetimeline.Panel:
    text = Text(
        "State of the candles",
        "How far each candle can be trusted, and whether packets may have been missed in it. It "
        "is drawn on until the next candle, over a night as well.",
    )
    panel = panels.states(text, "market_overview/states", (24, 5))
    panel = panel.mappings(look.words(STATES | GAPS))
    return panels.columns(panel, {"state": column("State"), "gap": column("Gaps")})


def _watch_list() -> table.Panel:
    text = Text(
        "Watch list",
        "What is subscribed, with the newest tick of the last five days. Click a name to see its "
        "candles or its depth. Silent is that of which nothing comes on a stream that lives.",
    )
    coloured = option("custom.cellOptions", {"type": "color-text"})
    states = option("mappings", look.words(COMING))
    return panels.columns(
        panels.rows(text, "market_overview/watch_list", look.COUNT, (24, 16)),
        {
            "symbol": column("Instrument", None, None, option("links", _links())),
            "ltp": column("Last price", look.PRICE, 2),
            "change_percent": column("Change", look.PERCENT, 2, coloured, *look.changed()),
            "volume": column("Volume of the day"),
            "open_interest": column("Open interest"),
            "age": column("Age", look.SECONDS, 0),
            "state": column("State", None, None, states, coloured),
            "instrument_id": look.hidden("instrument_id"),
        },
    )


def _links() -> list[object]:
    chosen = "${__url_time_range}&${interval:queryparam}"
    row = "var-instrument=${__data.fields.instrument_id}"
    places = {"Candles": UID, "Depth and open interest": "depth_and_open_interest"}
    return [panels.link(title, f"/d/{uid}?{chosen}&{row}").build() for title, uid in places.items()]
