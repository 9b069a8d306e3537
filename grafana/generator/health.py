"""The dashboard Pipeline health: what streams do, what is late or missing, what fills the disk."""

from grafana_foundation_sdk.builders import table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, TextBoxVariable
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import StackingMode
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.generator import frame, health_storage, look, panels
from grafana.generator.look import column
from grafana.generator.panels import Text

UID = "pipeline_health"

STATES = {
    "streaming": ("streaming", look.GOOD),
    "starting": ("starting", look.NEUTRAL),
    "connecting": ("connecting", look.WARNING),
    "awaiting_login": ("awaiting login", look.BAD),
    "journal_full": ("journal full", look.BAD),
    "no_heartbeat": ("no heartbeat", look.BAD),
    "failed": ("failed", look.BAD),
    "stopping": ("stopping", look.QUIET),
    "stopped": ("stopped", look.QUIET),
}
OUTCOMES = {
    "open": ("open", look.BAD),
    "waiting": ("waiting", look.WARNING),
    "given up": ("given up", look.BAD),
    "repaired": ("repaired", look.GOOD),
    "covered": ("covered", look.GOOD),
}
CHECKS = {
    "passed": ("passed", look.GOOD),
    "warning": ("warning", look.WARNING),
    "failed": ("failed", look.BAD),
}


def build() -> Dashboard:
    """Return the dashboard."""
    built = frame.frame(
        UID,
        "Pipeline health",
        "Whether streams run, ticks arrive and are stored in time, candles are complete, checks "
        "pass, and how much room there is.",
        "5s",
        "now-6h",
    )
    built = built.with_variable(_address("dagster", "Dagster", "http://127.0.0.1:3000"))
    built = built.with_variable(_address("api", "API", "http://127.0.0.1:8000"))
    built = built.link(_outside("Dagster", "${dagster}")).link(_outside("API", "${api}/docs"))
    built = built.annotation(frame.marks("Gaps", "pipeline_health/gap_marks", look.BAD))
    parts: list[tuple[str, list[Builder[Panel]]]] = [
        ("Ticks", _ticks()),
        ("Gaps and candles", _candles()),
        ("What checks say", [_checks()]),
        ("Storage", health_storage.storage()),
        ("Requests to brokers", health_storage.requests()),
    ]
    for panel in _now():
        built = built.with_panel(panel)
    for title, shown in parts:
        built = built.with_row(frame.row(title))
        for each in shown:
            built = built.with_panel(each)
    return built


def _address(name: str, label: str, default: str) -> TextBoxVariable:
    described = f"Where {label} answers, for the link at the top"
    return TextBoxVariable(name).label(label).description(described).default_value(default)


def _outside(title: str, url: str) -> DashboardLink:
    return panels.link(title, url).target_blank(True)


def _now() -> list[Builder[Panel]]:
    now = Text("Now", "Streams that stream, those in trouble, and their ticks, lag and backlog.")
    summary = panels.columns(
        panels.number(now, "pipeline_health/summary", look.WHOLE, (16, 4)),
        {
            "streaming": column("streaming"),
            "in_trouble": column("in trouble", None, None, *look.from_on((1, look.BAD))),
            "ticks_per_second": column("ticks/s", look.PER_SECOND),
            "lag_ms": column("received to committed", look.MILLISECONDS),
            "backlog_bytes": column("backlog", look.BYTES),
        },
    )
    failing = Text("Checks that fail", "Of all checks as each went the last time.")
    checks = panels.columns(
        panels.number(failing, "pipeline_health/failing_checks", look.WHOLE, (8, 4)),
        {
            "failed": column("failed", None, None, *look.from_on((1, look.BAD))),
            "warnings": column("warnings", None, None, *look.from_on((1, look.WARNING))),
        },
    )
    over_time = Text("States of streams", "The state that lasted longest; nothing where none ran.")
    states = panels.states(over_time, "pipeline_health/states", (24, 6), by="stream")
    return [summary, checks, states.mappings(look.words(STATES)), _streams(), _exchanges()]


def _streams() -> table.Panel:
    text = Text(
        "Streams",
        "The row that each stream writes every two seconds; a process that died has no heartbeat.",
    )
    return panels.columns(
        panels.rows(text, "pipeline_health/streams", look.WHOLE, (24, 6)),
        {
            "state": column("state", None, None, *look.in_words(STATES)),
            "heartbeat_age_seconds": column(
                "heartbeat", look.SECONDS, 0, *look.from_on((45, look.BAD))
            ),
            "silent_instruments": column("silent"),
            "ticks_per_second": column("ticks/s", look.PER_SECOND),
            "lag_ms": column("lag", look.MILLISECONDS, 0),
            "backlog_bytes": column("backlog", look.BYTES),
            "started_at": column("since", look.WHEN),
        },
    )


def _exchanges() -> table.Panel:
    text = Text(
        "Exchanges that are open",
        "How long ago the newest tick of each was received, and of how many instruments there was "
        "one in the last fifteen minutes.",
    )
    late = look.from_on((60, look.WARNING), (120, look.BAD))
    return panels.columns(
        panels.rows(text, "pipeline_health/exchanges", look.WHOLE, (24, 5)),
        {
            "open_since": column("open since", look.WHEN),
            "closes_at": column("closes", look.WHEN),
            "seconds_without_tick": column("last tick", look.SECONDS, 0, *late),
        },
    )


def _ticks() -> list[Builder[Panel]]:
    return [
        _line("ticks_per_second", look.PER_SECOND, "Ticks", "Stored each second by each stream."),
        _line("backlog", look.BYTES, "Backlog", "In the journal and not yet in the database."),
        _line(
            "lag",
            look.MILLISECONDS,
            "Received to committed",
            "The median of heartbeats' medians; and of the longest that a tick waited in each, the "
            "95th percentile and the largest.",
        ),
        _line(
            "exchange_lag",
            look.MILLISECONDS,
            "Exchange to received",
            "From the exchange's stamp of a trade until its packet came. Stamps are whole seconds, "
            "so it is half a second too large in the mean.",
        ),
        _line(
            "silent",
            look.WHOLE,
            "Silence",
            "Instruments of which nothing comes, and lines that were made anew.",
        ).span(24),
    ]


def _line(name: str, unit: str, title: str, description: str) -> timeseries.Panel:
    text = Text(title, description)
    panel = panels.time_series(text, f"pipeline_health/{name}", unit, (12, 8))
    return panel.min(0).interval("15s")


def _candles() -> list[Builder[Panel]]:
    ledger = panels.columns(
        panels.rows(
            Text("Gaps", "Times in which packets may have been missed, and what became of them."),
            "pipeline_health/gaps",
            look.WHOLE,
            (16, 9),
        ),
        {
            "outcome": column("outcome", None, None, *look.in_words(OUTCOMES)),
            "started_at": column("from", look.WHEN),
            "ended_at": column("until", look.WHEN),
            "seconds": column("lasted", look.SECONDS),
            "gap_id": column("gap"),
        },
    )
    causes = Text("Gaps by cause", "How long they lasted in sum, whole gaps that touch the range.")
    by_cause = panels.bars(causes, "pipeline_health/gap_causes", look.SECONDS, (8, 9), "cause")
    colours = {name: [look.colour(shade)] for name, (_, shade) in OUTCOMES.items()}
    by_cause = panels.columns(by_cause.stacking(StackingMode.NORMAL), colours)
    counted = Text(
        "Instruments with a candle", "Of one minute; over hours of five, and over days of fifteen."
    )
    counts = panels.time_series(counted, "pipeline_health/candle_counts", look.WHOLE, (12, 8))
    return [ledger, by_cause, counts.min(0).interval("1m"), _coverage()]


def _coverage() -> table.Panel:
    text = Text(
        "Coverage of the last day shown",
        "Minutes that have a candle, of those that would have one had everything subscribed traded "
        "in each minute of the session so far. What does not trade is no fault; the check "
        "candles_are_complete knows what is.",
    )
    return panels.columns(
        panels.rows(text, "pipeline_health/coverage", look.WHOLE, (12, 8)),
        {
            "with_candles": column("with candles"),
            "session_minutes": column("minutes of the session"),
            "share": column("share", look.PERCENT, 1),
        },
    )


def _checks() -> table.Panel:
    text = Text(
        "Checks",
        "How each went the last time. Dagster has all of what was found, and all earlier times.",
    )
    return panels.columns(
        panels.rows(text, "pipeline_health/checks", look.TEXT, (24, 10)),
        {
            "outcome": column("outcome", None, None, *look.in_words(CHECKS)),
            "failing_since": column("failing since", look.WHEN),
            "checked_at": column("looked at", look.WHEN),
        },
    )
