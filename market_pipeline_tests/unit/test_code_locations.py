"""Two code locations share the definitions, so that code is deployed while streams run."""

from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.autodiscovery import loadable_targets_from_python_module

from market_pipeline import definitions
from market_pipeline.definitions import defs


def contents(location: dg.Definitions) -> dict[str, set[str]]:
    """Return the names of all that a location defines, what Dagster adds by itself left out."""
    repository = location.get_repository_def()
    graph = repository.asset_graph
    found: dict[str, set[Any]] = {
        "jobs": {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")},
        "schedules": {each.name for each in repository.schedule_defs},
        "sensors": {each.name for each in repository.sensor_defs},
        "assets": {key.to_user_string() for key in graph.get_all_asset_keys()},
        "checks": {key.to_user_string() for key in graph.asset_check_keys},
    }
    return found


MAIN, STREAMING, WHOLE = (
    contents(each) for each in (definitions.main(), definitions.streaming(), defs)
)


@pytest.mark.parametrize("location", [definitions.main(), definitions.streaming()])
def test_each_location_is_loadable_alone(location: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(location)


def test_the_two_locations_together_are_the_whole() -> None:
    assert {kind: MAIN[kind] | STREAMING[kind] for kind in WHOLE} == WHOLE


def test_nothing_is_in_both_locations() -> None:
    assert {kind: MAIN[kind] & STREAMING[kind] for kind in WHOLE} == {kind: set() for kind in WHOLE}


def test_the_job_of_streams_and_the_sensor_that_starts_it_are_alone() -> None:
    assert STREAMING == {
        "jobs": {"tick_stream"},
        "schedules": set(),
        "sensors": {"tick_stream_sensor"},
        "assets": set(),
        "checks": set(),
    }


def test_each_sensor_and_schedule_starts_jobs_of_its_own_location() -> None:
    for location in (definitions.main(), definitions.streaming()):
        repository = location.get_repository_def()
        started = {name for each in repository.sensor_defs for name in targets(each)}
        started |= {each.job_name for each in repository.schedule_defs}
        assert started <= {job.name for job in repository.get_all_jobs()}


def targets(sensor: dg.SensorDefinition) -> set[str]:
    return {target.job_name for target in sensor.targets}


def test_what_a_code_server_loads_without_a_name_is_the_whole() -> None:
    found = loadable_targets_from_python_module("market_pipeline.definitions", None)
    assert [each.attribute for each in found] == ["defs"]
