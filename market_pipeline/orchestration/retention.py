"""Whether ticks go when they should and only then, and for how long there is room for them."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from market_pipeline.orchestration import checks
from market_pipeline.orchestration.partitions import TIMEZONE
from market_pipeline.orchestration.resources import BATCH_TAGS, MarketBroker, MarketDatabase
from market_pipeline.orchestration.ticks import server_policies, ticks
from market_pipeline.sessions import trading_date
from market_pipeline.storage import retention
from market_pipeline.storage.database import Database

_SHOWN = 20


@checks.asset_check(asset=ticks.key)
def tick_retention(database: MarketDatabase, broker: MarketBroker) -> dg.AssetCheckResult:
    """No day of ticks has stayed longer than promised, and old ones are compressed where that is
    done. Days that must stay are named with the reason.

    Tells for how many days there is room, where the database is on this machine.
    """
    settings, store = broker.settings, database.open()
    today = trading_date(datetime.now(UTC))
    overdue, restored = _days(store, today - timedelta(days=settings.tick_retention_days))
    uncompressed = retention.uncompressed(store, settings.compress_after_days)
    problems = overdue | {name: "not compressed" for name in uncompressed}
    late = store.query("late_candles").row(0, named=True)
    return dg.AssetCheckResult(
        passed=not problems,
        description=_sentence(problems),
        metadata={
            "retention days": settings.tick_retention_days,
            "problems": len(problems),
            "restored until": restored,
            "candles that ticks came too late for": late["candles"],
            **_room(store, today, settings.tick_retention_days, _archive_folder(broker)),
        },
    )


def _days(store: Database, before: date) -> tuple[dict[str, str], dict[str, str]]:
    """Return the days that should be gone and why they are not, and those that were restored."""
    overdue: dict[str, str] = {}
    restored: dict[str, str] = {}
    for row in store.query("kept_tick_days", before=before).iter_rows(named=True):
        day = row["day"]
        if row["keep_until"] is not None:
            restored[str(day)] = f"{row['keep_until']:%Y-%m-%d %H:%M}"
        elif row["damage"] is not None:
            overdue[str(day)] = f"its archive is damaged: {row['damage']}"
        # A day more: what has just become too old is dropped at half past midnight.
        elif day < before - timedelta(days=1):
            overdue[str(day)] = _reason(store, day, len(overdue))
    return overdue, restored


def _reason(store: Database, day: date, before: int) -> str:
    if before >= _SHOWN:  # to find one counts the ticks of a day
        return "not dropped"
    reason = retention.why_kept(store, day)
    return reason or "nothing hinders it: see the last run of partition_upkeep"


def _sentence(problems: dict[str, str]) -> str:
    if not problems:
        return "All ticks that are older were dropped."
    shown = [f"{name}: {reason}" for name, reason in list(problems.items())[:_SHOWN]]
    more = len(problems) - len(shown)
    return "\n".join(shown + ([f"and {more} more"] if more else []))


def _archive_folder(broker: MarketBroker) -> Path | None:
    """Return the folder of the archive, None where it is not on this machine."""
    url = broker.settings.archive_url
    if not url:
        return broker.settings.market_pipeline_home / "archive"
    return None if "://" in url else Path(url).expanduser()


def _room(store: Database, today: date, keep_days: int, archive: Path | None) -> dict[str, Any]:
    sizes = store.query("tick_sizes", before=today)
    found: dict[str, Any] = {}
    if not sizes.is_empty():
        found["bytes a day"] = int(sizes["bytes"].mean())  # type: ignore[arg-type]
    if sizes["archived_bytes"].count():
        found["archived bytes a day"] = int(sizes["archived_bytes"].mean())  # type: ignore[arg-type]
    data = retention.data_folder(store)
    if data is None or not found:
        return found
    found["free bytes"] = shutil.disk_usage(data).free
    growing = max(keep_days - store.query("kept_tick_days", before=today).height, 0)
    archived = found.get("archived bytes a day", 0) if _on_one_disk(data, archive) else 0
    until = days_until_full(found["free bytes"], found.get("bytes a day", 0), archived, growing)
    return found | ({} if until is None else {"days until full": until})


def _on_one_disk(data: Path, archive: Path | None) -> bool:
    if archive is None:
        return False
    there = next(each for each in (archive, *archive.absolute().parents) if each.exists())
    return there.stat().st_dev == data.stat().st_dev


def days_until_full(free: int, ticks_a_day: int, archived_a_day: int, growing: int) -> int | None:
    """Return for how many days there is room in bytes; None: nothing grows.

    Ticks take more room for `growing` days, until the first of them are dropped; their archive
    always.
    """
    both = ticks_a_day + archived_a_day
    if both and free < both * growing:
        return free // both
    return growing + (free - both * growing) // archived_a_day if archived_a_day else None


retention_verification = dg.define_asset_job(
    "retention_verification",
    selection=dg.AssetSelection.checks(tick_retention, server_policies),
    description="Look whether ticks were dropped and compressed as promised.",
    tags=BATCH_TAGS,
)

verify_retention = dg.ScheduleDefinition(
    name="verify_retention",
    job=retention_verification,
    cron_schedule="30 3 * * *",  # after the days were dropped, and the server has compressed
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
