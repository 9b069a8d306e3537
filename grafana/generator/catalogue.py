"""Which files the generator writes, and what belongs into them."""

from collections.abc import Callable
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.generator import alerts, depth, frame, health, market_overview

GRAFANA_FOLDER = Path(__file__).parents[1]

#: The name of a file in grafana/dashboards/, without .json, and who builds it.
DASHBOARDS: dict[str, Callable[[], Dashboard]] = {
    market_overview.UID: market_overview.build,
    depth.UID: depth.build,
    health.UID: health.build,
}

#: The path of a file in grafana/provisioning/, and who writes it.
PROVISIONED: dict[str, Callable[[], str]] = {"alerting/rules.yaml": alerts.rules}


def files() -> dict[Path, str]:
    """Return every generated file with the text that it is to have."""
    folder, provisioning = GRAFANA_FOLDER / "dashboards", GRAFANA_FOLDER / "provisioning"
    made = {folder / f"{name}.json": frame.encode(build()) for name, build in DASHBOARDS.items()}
    return made | {provisioning / name: write() for name, write in PROVISIONED.items()}


def outdated() -> list[Path]:
    """Return the generated files that are missing or differ, and dashboards of nobody."""
    wanted = files()
    differing = [
        file
        for file, text in wanted.items()
        if not file.exists() or file.read_text("utf-8") != text
    ]
    return differing + [file for file in _dashboards() if file not in wanted]


def write() -> list[Path]:
    """Bring the files in step with the code; return those that were not."""
    changed = outdated()
    wanted = files()
    for file in changed:
        if file in wanted:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(wanted[file], "utf-8")
        else:
            file.unlink()
    return changed


def _dashboards() -> list[Path]:
    return sorted((GRAFANA_FOLDER / "dashboards").glob("*.json"))
