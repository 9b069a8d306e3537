"""The part of pipeline health that shows what is stored, and what was asked of brokers."""

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.generator import look, panels
from grafana.generator.look import column
from grafana.generator.panels import Text


def storage() -> list[Builder[Panel]]:
    """Return the panels of the database, of what fills it, and of days of ticks."""
    room = Text(
        "Database",
        "Its size, and what it grows to until as many days of ticks are stored as are kept, "
        "counting each as large as the largest of the last week.",
    )
    filled = Text("What fills it", "With indexes. Plain PostgreSQL compresses nothing.")
    return [
        panels.columns(
            panels.number(room, "pipeline_health/disk", look.BYTES, (8, 8)),
            {
                "database_bytes": column("size"),
                "forecast_bytes": column("grows to"),
                "limit_bytes": column("limit"),
                "bytes_a_day": column("ticks of a day"),
            },
        ),
        panels.columns(
            panels.rows(filled, "pipeline_health/sizes", look.BYTES, (16, 8)),
            {
                "compressed_from_bytes": column("compressed from"),
                "compressed_to_bytes": column("to"),
                "ratio": column("ratio", look.RATIO, 1),
            },
        ),
        _retention(),
    ]


def _retention() -> table.Panel:
    text = Text(
        "Days of ticks",
        "Stored or archived. A day goes once it is older than promised and its archive verified.",
    )
    return panels.columns(
        panels.rows(text, "pipeline_health/retention", look.WHOLE, (24, 8)),
        {
            "is_stored": column("stored"),
            "bytes": column("size", look.BYTES),
            "is_compressed": column("compressed"),
            "days_too_long": column("days too long", None, None, *look.from_on((1, look.BAD))),
            "archived_ticks": column("ticks in the archive"),
            "verified_at": column("verified", look.WHEN),
        },
    )


def requests() -> list[Builder[Panel]]:
    """Return the panels of requests to brokers."""
    spent = Text("Budgets", "Requests of the last day on which there was one, and refusals ever.")
    budgets = panels.columns(
        panels.rows(spent, "pipeline_health/budgets", look.WHOLE, (10, 8)),
        {
            "requests_of_day": column("requests of the day"),
            "refusals": column("refusals", None, None, *look.from_on((1, look.WARNING))),
            "paused_until": column("paused until", look.WHEN),
        },
    )
    text = Text("Requests for candles", "By purpose and by what came of them.")
    over_time = panels.time_series(text, "pipeline_health/requests", look.WHOLE, (14, 8))
    return [budgets, panels.stacked(over_time).interval("1m")]
