"""For how many days there is room, and whose archive a demo's ticks go to."""

import pytest

from market_pipeline import config, stack
from market_pipeline.commands.demo import demo_home
from market_pipeline.orchestration.retention import days_until_full


@pytest.mark.parametrize(
    ("free", "ticks", "archived", "growing", "expected"),
    [
        (100, 10, 0, 5, None),  # ticks stop growing before
        (100, 10, 0, 20, 10),
        (100, 10, 10, 4, 6),  # 80 in four days, then 10 a day
        (100, 0, 10, 0, 10),
        (100, 0, 0, 3, None),
    ],
)
def test_ticks_grow_until_they_are_dropped_and_the_archive_always(
    free: int, ticks: int, archived: int, growing: int, expected: int | None
) -> None:
    assert days_until_full(free, ticks, archived, growing) == expected


def test_a_demo_archives_into_its_own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE_URL", "s3://bucket/ticks")
    for name in ("DATABASE_URL", "DAGSTER_DATABASE_URL"):
        monkeypatch.setenv(name, "postgresql://127.0.0.1/market")
    assert stack.variables(config.load())["ARCHIVE_URL"] == "s3://bucket/ticks"
    assert demo_home(config.load()).archive_url == ""
