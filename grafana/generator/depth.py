"""Depth and open interest: the best bid and ask of an instrument, and an underlying's options."""

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.common import GraphDrawStyle, LineInterpolation

from grafana.generator import frame, look, option_chain, panels, variables
from grafana.generator.look import column, option
from grafana.generator.panels import Text

UID = "depth_and_open_interest"
BEST = "Of the order book only the best bid and ask are stored; these are the last of each step."
ALL = "Of all orders of the book as the exchange adds them up, not of the best level alone."


def build() -> Dashboard:
    """Return the dashboard."""
    about = "The best bid and ask and the open interest of one instrument; calls against puts."
    built = frame.frame(UID, "Depth and open interest", about, refresh="5s", since="now-6h")
    for variable in [variables.instrument(), option_chain.underlying(), option_chain.expiry()]:
        built = built.with_variable(variable)
    built = built.with_variable(variables.length())
    built = built.annotation(frame.marks("Gaps", "market_overview/gaps", look.BAD))
    built = built.with_row(frame.row("Depth of ${instrument:text}"))
    built = built.with_panel(_quote()).with_panel(_best_prices()).with_panel(_spread())
    built = built.with_panel(_best_quantities()).with_panel(_orders()).with_panel(_imbalance())
    built = built.with_row(frame.row("Open interest of ${instrument:text}"))
    built = built.with_panel(_interest_and_price()).with_panel(_interest_change())
    built = built.with_row(frame.row("Options of ${underlying} that expire on ${expiry}"))
    for panel in option_chain.all_panels():
        built = built.with_panel(panel)
    return built


def _quote() -> stat.Panel:
    text = Text(
        "Best bid and ask", f"As of the newest tick. {BEST} The imbalance is of all orders."
    )
    return panels.columns(
        panels.number(text, "depth_and_open_interest/quote", look.PRICE, (24, 4)),
        {
            "bid": column("Bid", look.PRICE, 2, look.colour(look.BID)),
            "ask": column("Ask", look.PRICE, 2, look.colour(look.ASK)),
            "spread": column("Spread", look.PRICE, 2),
            "bid_quantity": column("Bid quantity", look.COUNT, None, look.colour(look.BID)),
            "ask_quantity": column("Ask quantity", look.COUNT, None, look.colour(look.ASK)),
            "imbalance": column("Imbalance", look.RATIO, 2, *look.changed()),
        },
    )


def _best_prices() -> timeseries.Panel:
    text = Text("Best bid and ask over time", f"With the last price. {BEST}")
    panel = panels.time_series(text, "depth_and_open_interest/best_prices", look.PRICE, (12, 9))
    panel = panel.line_interpolation(LineInterpolation.STEP_AFTER).fill_opacity(0).decimals(2)
    return panels.columns(
        panel,
        {
            "bid": column("Bid", None, None, look.colour(look.BID)),
            "ask": column("Ask", None, None, look.colour(look.ASK)),
            "ltp": column("Last price", None, None, look.colour(look.FLAT)),
        },
    )


def _spread() -> timeseries.Panel:
    text = Text("Spread", f"Ask less bid, also in hundredths of a percent of their middle. {BEST}")
    right = option("custom.axisPlacement", "right")
    panel = panels.time_series(text, "depth_and_open_interest/spread", look.PRICE, (12, 9))
    return panels.columns(
        panel.line_interpolation(LineInterpolation.STEP_AFTER).min(0),
        {
            "spread": column("Spread", None, 2),
            "spread_basis_points": column("Basis points", look.RATIO, 1, right),
        },
    )


def _best_quantities() -> timeseries.Panel:
    text = Text("Quantities at the best prices", BEST)
    name = "depth_and_open_interest/best_quantities"
    return panels.columns(
        panels.time_series(text, name, look.COUNT, (8, 8)),
        {
            "bid_quantity": column("Bid", None, None, look.colour(look.BID)),
            "ask_quantity": column("Ask", None, None, look.colour(look.ASK)),
        },
    )


def _orders() -> timeseries.Panel:
    text = Text("Quantities of all orders", ALL)
    return panels.columns(
        panels.time_series(text, "depth_and_open_interest/orders", look.COUNT, (8, 8)),
        {
            "buy_quantity": column("To buy", None, None, look.colour(look.BID)),
            "sell_quantity": column("To sell", None, None, look.colour(look.ASK)),
        },
    )


def _imbalance() -> timeseries.Panel:
    text = Text("Buy against sell", f"1: all orders want to buy; -1: all want to sell. {ALL}")
    panel = panels.time_series(text, "depth_and_open_interest/imbalance", look.RATIO, (8, 8))
    panel = panel.min(-1).max(1).decimals(2).axis_centered_zero(True)
    return panels.columns(panel, {"imbalance": column("Imbalance")})


def _interest_and_price() -> timeseries.Panel:
    text = Text(
        "Open interest against price",
        "Closes and open interest of candles of ${interval}. Equities and indices have no open "
        "interest.",
    )
    name = "depth_and_open_interest/open_interest_and_price"
    right = option("custom.axisPlacement", "right")
    return panels.columns(
        panels.time_series(text, name, look.PRICE, (12, 9)),
        {
            "close": column("Price", None, 2, look.colour(look.NEUTRAL)),
            "open_interest": column(
                "Open interest", look.COUNT, None, look.colour(look.INTEREST), right
            ),
        },
    )


def _interest_change() -> timeseries.Panel:
    text = Text(
        "Change of the open interest",
        "Against the candle before, of ${interval}. The first has none before it.",
    )
    name = "depth_and_open_interest/open_interest_change"
    panel = panels.time_series(text, name, look.COUNT, (12, 9))
    panel = panel.draw_style(GraphDrawStyle.BARS).fill_opacity(70).axis_centered_zero(True)
    settings = column("Change", None, None, look.colour(look.INTEREST))
    return panels.columns(panel, {"open_interest_change": settings})
