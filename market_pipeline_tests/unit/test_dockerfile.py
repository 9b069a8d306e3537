"""The Dockerfile: what it copies is there, its bases are pinned, and it ends without root."""

import re
import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet

from market_pipeline_tests.acceptance.demo import ROOT
from market_pipeline_tests.containers import SERVICES_USER

LINES = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text("utf-8")).splitlines()
IGNORED = (ROOT / ".dockerignore").read_text("utf-8").splitlines()


def arguments(instruction: str) -> list[list[str]]:
    """Return the words after each instruction of a kind."""
    return [line.split()[1:] for line in LINES if line.startswith(f"{instruction} ")]


def copied() -> list[str]:
    return [path for words in arguments("COPY") if "--from" not in words[0] for path in words[:-1]]


def test_what_is_copied_is_there() -> None:
    assert [path for path in copied() if not (ROOT / path).exists()] == []


def test_what_is_copied_is_sent_to_the_builder() -> None:
    sent = [Path(line[1:]) for line in IGNORED if line.startswith("!")]
    assert IGNORED[1] == "*"
    kept = [path for path in copied() if {Path(path), *Path(path).parents} & set(sent)]
    assert kept == copied()


def test_nothing_else_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in IGNORED if line.startswith("!")}
    assert {path for path in sent if not any(each.startswith(path) for each in copied())} == set()


def test_base_images_are_pinned_and_python_is_the_same_in_both_stages() -> None:
    images = [words[0] for words in arguments("FROM")]
    assert [image for image in images if not re.search(r":\d+\.\d+\.\d+-", image)] == []
    assert len({image for image in images if image.startswith("python:")}) == 1


def test_python_is_a_version_that_the_package_runs_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    image = next(words[0] for words in arguments("FROM") if words[0].startswith("python:"))
    version = re.findall(r"\d+\.\d+\.\d+", image)[0]
    assert version in SpecifierSet(project["requires-python"])


def test_all_that_is_installed_is_held_to_the_constraints() -> None:
    builder = "\n".join(LINES).split(" AS builder\n")[1].split("\nFROM ")[0]
    assert "PIP_CONSTRAINT=/build/constraints.txt" in builder
    assert "pip install --no-deps fyers-apiv3" in builder


def test_the_image_runs_without_root_as_the_user_that_compose_names() -> None:
    assert arguments("USER") == [[SERVICES_USER]]
    assert LINES.index(f"USER {SERVICES_USER}") > max(
        number for number, line in enumerate(LINES) if line.startswith("RUN ")
    )


def test_a_stop_reaches_all_processes_of_a_container() -> None:
    assert 'ENTRYPOINT ["tini", "-g", "--"]' in LINES


def test_the_image_says_how_it_is_checked() -> None:
    assert len(arguments("HEALTHCHECK")) == 1
