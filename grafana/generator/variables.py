"""Variables of more than one dashboard, so that links between them keep what was chosen."""

from grafana_foundation_sdk.builders.dashboard import CustomVariable, QueryVariable

from grafana.generator import frame

LENGTHS = ["1m", "5m", "15m", "1h", "1d"]


def instrument() -> QueryVariable:
    """Return the choice of an instrument: of what is subscribed, or of what is typed."""
    return frame.choice(
        "instrument",
        "Instrument",
        "What is subscribed; whatever else the exchanges list is found by typing.",
        "market_overview/instrument",
    )


def length() -> CustomVariable:
    """Return the choice of how long candles are."""
    return frame.setting(
        "interval",
        "Candles of",
        "Counted from the opening of the session; a day is one of Asia/Kolkata.",
        LENGTHS,
    )
