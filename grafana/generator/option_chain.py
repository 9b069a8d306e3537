"""The part of depth and open interest that shows the options of an underlying."""

from grafana_foundation_sdk.builders import barchart, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, Panel

from grafana.generator import frame, look, panels
from grafana.generator.look import column, option
from grafana.generator.panels import Text

SUBSCRIBED = "Of the options that are or were subscribed alone."
CANDLES = (
    "From our own candles of 5 minutes, of 15 where more than two days are shown; what the broker "
    "has repaired is not in them. A contract that does not trade keeps its open interest."
)


def underlying() -> QueryVariable:
    """Return the choice of what the options are of."""
    return frame.choice(
        "underlying",
        "Options of",
        "Of what options are or were subscribed, and have ticks or candles.",
        "depth_and_open_interest/underlying",
    )


def expiry() -> QueryVariable:
    """Return the choice of the day on which they expire."""
    return frame.choice(
        "expiry",
        "that expire on",
        "Days on which such options expire: the next first, those that are over last.",
        "depth_and_open_interest/expiry",
    )


def all_panels() -> list[Builder[Panel]]:
    """Return the panels in order."""
    return [
        _chain(),
        _ratio(),
        _open_interest(),
        _strikes(),
        _near_the_money(),
    ]


def _chain() -> stat.Panel:
    text = Text(
        "Puts against calls",
        "As of the end of the time shown. The forward is strike + call - put where both are "
        f"closest to each other: what the options take the price at expiry to be. {SUBSCRIBED}",
    )
    return panels.columns(
        panels.number(text, "depth_and_open_interest/chain", look.COUNT, (24, 4)),
        {
            "forward": column("Forward", look.PRICE, 2),
            "open_interest_ratio": column("Put-call ratio of open interest", look.RATIO, 2),
            "volume_ratio": column("Put-call ratio of volume", look.RATIO, 2),
            "call_open_interest": column("Calls", None, None, look.colour(look.CALLS)),
            "put_open_interest": column("Puts", None, None, look.colour(look.PUTS)),
        },
    )


def _ratio() -> timeseries.Panel:
    text = Text(
        "Put-call ratio",
        f"Puts divided by calls: open interest, and volume since the day began. {CANDLES} "
        f"{SUBSCRIBED}",
    )
    name = "depth_and_open_interest/put_call_ratio"
    panel = panels.time_series(text, name, look.RATIO, (12, 9)).decimals(2)
    return panels.columns(
        panel,
        {
            "open_interest_ratio": column("Open interest", None, None, look.colour(look.INTEREST)),
            "volume_ratio": column("Volume", None, None, look.colour(look.VOLUME)),
        },
    )


def _open_interest() -> timeseries.Panel:
    text = Text("Open interest of calls and puts", f"{CANDLES} {SUBSCRIBED}")
    name = "depth_and_open_interest/put_call_open_interest"
    return panels.columns(panels.time_series(text, name, look.COUNT, (12, 9)), _sides())


def _strikes() -> barchart.Panel:
    text = Text(
        "Open interest by strike",
        f"As of the end of the time shown; the 41 strikes around the forward. {SUBSCRIBED}",
    )
    name = "depth_and_open_interest/strikes"
    return panels.columns(panels.bars(text, name, look.COUNT, (24, 10), "strike"), _sides())


def _sides() -> dict[str, list[DynamicConfigValue]]:
    return {
        "call_open_interest": column("Calls", None, None, look.colour(look.CALLS)),
        "put_open_interest": column("Puts", None, None, look.colour(look.PUTS)),
    }


def _near_the_money() -> table.Panel:
    text = Text(
        "Near the money",
        "The ten strikes on either side of the forward, calls on the left and puts on the right, "
        "as of the end of the time shown. Changes are against the close of the day before.",
    )
    coloured = option("custom.cellOptions", {"type": "color-text"})
    change = column("Change", look.PERCENT, 2, coloured, *look.changed())
    settings = {"strike": column("Strike", look.PRICE, None, option("custom.align", "center"))}
    for side, name in {"call": "Call", "put": "Put"}.items():
        settings[f"{side}_open_interest"] = column(f"{name} open interest", look.COUNT)
        settings[f"{side}_volume"] = column(f"{name} volume", look.COUNT)
        settings[f"{side}_change_percent"] = [*column(f"{name} change"), *change[1:]]
        settings[f"{side}_bid"] = column(f"{name} bid", look.PRICE, 2)
        settings[f"{side}_ask"] = column(f"{name} ask", look.PRICE, 2)
        settings[f"{side}_ltp"] = column(f"{name} last price", look.PRICE, 2)
    panel = panels.rows(text, "depth_and_open_interest/near_the_money", look.COUNT, (24, 14))
    return panels.columns(panel, settings)
