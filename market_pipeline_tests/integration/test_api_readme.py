"""The examples of README's section on the API, run as they stand but for the port."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from market_pipeline_tests.api_cases import day as day
from market_pipeline_tests.dagster_server import working as working

pytestmark = [pytest.mark.needs_real_server, pytest.mark.timeout(300)]

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SECTION = README.split("\n## API\n")[1].split("\n## ")[0]
EXAMPLES = re.findall(r"```(sh|python)\n(.*?)```", SECTION, re.DOTALL)
LINES = [line for kind, text in EXAMPLES if kind == "sh" for line in text.splitlines()]
PROGRAMS = [text for kind, text in EXAMPLES if kind == "python"]
WRITTEN = "http://127.0.0.1:8000"


def output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def as_served(text: str, client: httpx.Client) -> str:
    assert WRITTEN in text
    return text.replace(WRITTEN, str(client.base_url).rstrip("/"))


def test_there_are_examples_in_both_languages() -> None:
    assert len(LINES) >= 5
    assert PROGRAMS


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_shell_works(working: httpx.Client, line: str) -> None:
    command = as_served(line, working).replace("curl ", "curl --fail-with-body -sS ", 1)
    assert len(output(["bash", "-c", command])) > 20


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_works(working: httpx.Client, program: str) -> None:
    printed = output([sys.executable, "-c", as_served(program, working)])
    assert "shape: (380, 10)" in printed


def test_every_path_is_in_the_readme(working: httpx.Client) -> None:
    for path in working.get("/openapi.json").json()["paths"]:
        assert path in SECTION or f"/{path.rsplit('/', 1)[1]}" in SECTION
