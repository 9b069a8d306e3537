"""Whether two brokers' feeds say the same."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from market_pipeline import disagreement
from market_pipeline.disagreement import Disagreement
from market_pipeline.orchestration import checks
from market_pipeline.orchestration.candle_checks import worst_rows
from market_pipeline.orchestration.resources import MarketBroker, MarketDatabase
from market_pipeline.orchestration.ticks import ticks
from market_pipeline.storage import feeds

_MINUTES = 15
"""How far one run looks back: the checks run every ten minutes, and some may be late."""


@checks.asset_check(asset=ticks.key)
def feeds_agree(database: MarketDatabase, broker: MarketBroker) -> dg.AssetCheckResult:
    """Two brokers' closes and volumes of the last minutes are as near as two working feeds are.

    A warning: candles are made of the preferred one's ticks, whichever is wrong.
    """
    if broker.settings.standby_broker is None:
        note = f"{broker.name} alone is listened to: there is nothing to compare it with"
        return dg.AssetCheckResult(passed=True, description=note)
    start, end = feeds.closed_minutes(datetime.now(UTC), _MINUTES)
    minutes = feeds.minutes(database.open(), start, end)
    if minutes.is_empty():
        note = "in none of these minutes both brokers' feeds were up"
        return dg.AssetCheckResult(
            passed=True, description=note, metadata={"from": _shown(start), "to": _shown(end)}
        )
    found = disagreement.in_sum(minutes)
    worst = disagreement.off(disagreement.by_instrument(minutes))
    columns = ["name", "minutes", "price_off", "volume_off", "most_ticks", "most_volume_share"]
    return dg.AssetCheckResult(
        passed=found.is_tolerable,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "brokers": " and ".join(broker.names),
            "from": _shown(start),
            "to": _shown(end),
            **_metadata(found),
            **worst_rows(worst, [*columns, "lead"], by=["price_off", "volume_off"]),
        },
    )


def _metadata(found: Disagreement) -> dict[str, Any]:
    """Return what is known in sum; UI and API draw the numbers over time."""
    numbers = found.numbers()
    return {name.replace("_", " "): each for name, each in numbers.items() if each is not None}


def _shown(instant: datetime) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.timestamp(instant)
