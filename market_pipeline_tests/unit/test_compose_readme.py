"""What README says of running in production names services and commands that there are."""

import re
import shlex

import pytest
from typer.main import get_command

from market_pipeline.__main__ import app
from market_pipeline_tests.acceptance.demo import ROOT
from market_pipeline_tests.containers import composed
from market_pipeline_tests.unit.test_compose import parsed

TEXT = (ROOT / "README.md").read_text("utf-8")
IN_SERVICES = re.findall(r"docker compose (?:exec|run) [^`\n<>]+", TEXT)


@pytest.mark.parametrize("line", IN_SERVICES)
def test_command_in_a_service_is_one_that_is_there(line: str) -> None:
    words = [word for word in shlex.split(line)[3:] if word not in ("-T", "--rm", "--no-deps")]
    service, program, *others = words
    assert service in composed()["services"]
    if program == "market-pipeline":
        parsed(get_command(app), others)


@pytest.mark.parametrize("program", ["pg_dump", "pg_restore"])
def test_what_goes_through_a_file_gets_no_terminal(program: str) -> None:
    lines = [line for line in IN_SERVICES if f" {program} " in line]
    assert lines
    assert [line for line in lines if "exec -T " not in line] == []


def test_nothing_of_timescaledb_is_dropped_while_it_is_restored() -> None:
    restoring = [line for line in IN_SERVICES if "pg_restore" in line]
    assert [line for line in restoring if "--clean" in line] == []
    steps = ["CREATE EXTENSION", "timescaledb_pre_restore()", "pg_restore -U", "timescaledb_post_"]
    places = [TEXT.index(step) for step in steps]
    assert places == sorted(places)
