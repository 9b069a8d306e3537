"""The alert rules, as Grafana reads them from grafana/provisioning/alerting/rules.yaml.

Each asks the database one question, sql/panels/alerts/<name>.sql, whose rows are a number `value`
and words that tell them apart; a row whose number is above the rule's threshold is an alert. They
are not asked over the range of a dashboard but over the minutes before.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from grafana.generator import frame, health
from grafana.generator.queries import DATA_SOURCE, sql

FOLDER = "Market pipeline"

_EXPRESSIONS = "__expr__"  # Grafana's own data source, which compares numbers
_SAMPLE_MILLISECONDS = 15_000


@dataclass(frozen=True)
class Rule:
    """One rule.

    `above` is the largest value that is in order, and `lasting` how long it must be exceeded, such
    as 2m: longer than what it is to overlook. `no_rows` is OK where nothing to look at is in order,
    as on an evening, and NoData where there is always something: then the database is not that of
    a pipeline. A query that fails is an alert in any case, DatasourceError.
    """

    name: str
    title: str
    summary: str
    todo: str
    above: float
    lasting: str
    panel: str
    severity: str = "critical"
    no_rows: str = "OK"
    minutes: int = 5


# Asked every minute: most of what they look at changes every two seconds.
URGENT = (
    Rule(
        "no_ticks",
        "No ticks during a session",
        "No tick of {{ $labels.exchange }} has been received for "
        "{{ humanizeDuration $values.A.Value }} though it is open.",
        "See the state of the streams and what Dagster's runs of tick_stream say. If they stream, "
        "see whether the broker's own site shows prices. On a holiday that the calendar lacks, add "
        "it to CALENDAR_FILE. The gap is being recorded and is filled from the broker later.",
        above=120,  # shares trade every second, commodities at noon hardly ever pause so long
        lasting="1m",
        panel="Exchanges that are open",
    ),
    Rule(
        "stream_trouble",
        "Stream down",
        "Stream {{ $labels.stream }} has failed, its journal is full, or its process is dead.",
        "See its state and detail. Dagster's sensor tick_stream_sensor starts it again by itself: "
        "see whether the daemon runs. With a full journal give the database, or the disk of the "
        "journal, room: what is received until then is lost.",
        above=0,
        lasting="2m",  # it is started again within one
        panel="Streams",
    ),
    Rule(
        "awaiting_login",
        "Broker's token is missing",
        "Stream {{ $labels.stream }} waits for a login to {{ $labels.broker }}.",
        "Run `market-pipeline login` for the broker; the stream goes on by itself. Tokens end each "
        "morning, so before the session this is the day's reminder.",
        above=0,
        lasting="1m",
        panel="Streams",
    ),
    Rule(
        "lag",
        "Ticks are stored late",
        "Ticks of stream {{ $labels.stream }} wait {{ humanize $values.A.Value }} ms to be stored.",
        "See whether the database is busy, waits for its disk, or for a lock: what runs long in "
        "pg_stat_activity? Nothing is lost meanwhile: it is in the journal.",
        above=5_000,  # usually 300: FLUSH_INTERVAL_SECONDS and a commit
        lasting="5m",  # a checkpoint or a large read of history passes
        panel="Received to committed",
        severity="warning",
    ),
    Rule(
        "backlog",
        "Journal is not stored",
        "{{ humanize1024 $values.A.Value }}B in the journal of stream {{ $labels.stream }} are not "
        "stored.",
        "See whether the database answers and its disk has room. The stream goes on until "
        "JOURNAL_MAX_GIGABYTES; from then on ticks are missed.",
        above=256 * 1024**2,  # some minutes of 3,000 instruments
        lasting="2m",
        panel="Backlog",
    ),
)

# Asked every five minutes: nothing of this changes within less.
SLOW = (
    Rule(
        "failed_checks",
        "Check failed",
        "Check {{ $labels.name }} of {{ $labels.asset }} fails.",
        "Its message is on the dashboard, all of what it found in Dagster, at the asset.",
        above=0,
        lasting="15m",  # those of ticks are made every ten minutes: once may be a hiccup
        panel="Checks",
        severity="warning",
    ),
    Rule(
        "disk",
        "Database is nearly as large as it may be",
        "The database is {{ humanize $values.A.Value }} % of DATABASE_MAX_GIGABYTES.",
        "Keep fewer days of ticks (TICK_RETENTION_DAYS), see whether days wait for their archive, "
        "or give it more room and say so in DATABASE_MAX_GIGABYTES.",
        above=85,
        lasting="10m",
        panel="Database",
        no_rows="NoData",
    ),
    Rule(
        "disk_forecast",
        "Database will become too large",
        "With the days of ticks that are promised the database grows to "
        "{{ humanize $values.A.Value }} % of DATABASE_MAX_GIGABYTES.",
        "There are days left: keep fewer of ticks (TICK_RETENTION_DAYS) or give it more room.",
        above=95,
        lasting="1h",  # a day is as large as its largest so far
        panel="Database",
        severity="warning",
        no_rows="NoData",
    ),
    Rule(
        "retention",
        "Ticks stay longer than promised",
        "The oldest ticks are {{ humanize $values.A.Value }} days older than promised.",
        "A day goes once its archive is verified: see which one waits, and the run of "
        "partition_upkeep and of the archive in Dagster. `market-pipeline archive verify` says "
        "what is wrong with an archive.",
        above=0,
        lasting="30m",
        panel="Days of ticks",
        severity="warning",
    ),
    Rule(
        "archive",
        "Archive is damaged",
        "{{ humanize $values.A.Value }} archived days are not what was certified.",
        "The dashboard names the file. While the day's ticks are still stored, archive it again; "
        "else restore the file from your backup of the archive. Nothing is dropped meanwhile.",
        above=0,
        lasting="5m",
        panel="Days of ticks",
    ),
)


def rules() -> str:
    """Return the file of rules."""
    groups = [_group("Urgent", "1m", URGENT), _group("Slow", "5m", SLOW)]
    return _HEAD + yaml.dump(
        {"apiVersion": 1, "groups": groups},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=1_000_000,
    )


_HEAD = "# Written by python -m grafana.generator: see grafana/generator/alerts.py.\n"


def _group(name: str, interval: str, of_group: tuple[Rule, ...]) -> dict[str, Any]:
    numbers = frame.numbers(health.build())
    built = [_rule(rule, numbers[rule.panel]) for rule in of_group]
    return {"orgId": 1, "name": name, "folder": FOLDER, "interval": interval, "rules": built}


def _rule(rule: Rule, panel: int) -> dict[str, Any]:
    return {
        "uid": f"market-pipeline-{rule.name.replace('_', '-')}",
        "title": rule.title,
        "condition": "B",
        "data": [_question(rule), _comparison(rule)],
        "dashboardUid": health.UID,
        "panelId": panel,
        "noDataState": rule.no_rows,
        "execErrState": "Error",
        "for": rule.lasting,
        "annotations": {"summary": rule.summary, "description": rule.todo},
        "labels": {"severity": rule.severity},
        "isPaused": False,
    }


def _question(rule: Rule) -> dict[str, Any]:
    return {
        "refId": "A",
        "relativeTimeRange": {"from": rule.minutes * 60, "to": 0},
        "datasourceUid": DATA_SOURCE.uid,
        "model": {
            "refId": "A",
            "datasource": {"type": DATA_SOURCE.type_val, "uid": DATA_SOURCE.uid},
            "editorMode": "code",
            "format": "table",
            "rawQuery": True,
            "rawSql": sql(f"alerts/{rule.name}"),
            "intervalMs": _SAMPLE_MILLISECONDS,
            "maxDataPoints": 1000,
        },
    }


def _comparison(rule: Rule) -> dict[str, Any]:
    return {
        "refId": "B",
        "relativeTimeRange": {"from": rule.minutes * 60, "to": 0},
        "datasourceUid": _EXPRESSIONS,
        "model": {
            "refId": "B",
            "datasource": {"type": _EXPRESSIONS, "uid": _EXPRESSIONS},
            "type": "threshold",
            "expression": "A",
            "conditions": [{"evaluator": {"type": "gt", "params": [rule.above]}}],
            "intervalMs": _SAMPLE_MILLISECONDS,
            "maxDataPoints": 1000,
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes SQL as it is, line by line, and nothing as a reference to something else."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
