"""The files of the live page as the API serves them."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from market_pipeline.api import live_page
from market_pipeline.storage.database import Database
from market_pipeline_tests.api_cases import KEYS, problem, serving, settings_of

pytestmark = pytest.mark.needs_real_server  # the API keeps several connections

MOST_LINES = 300
FILES = sorted(each for each in live_page.FOLDER.iterdir() if each.is_file())


@pytest.fixture(scope="module")
def client(
    shared_database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client without a key of an API that wants keys."""
    home = tmp_path_factory.mktemp("home")
    with serving(settings_of(shared_database, home, api_keys=KEYS)) as opened:
        yield opened


def test_the_page_needs_no_key_and_runs_nothing_but_its_own_scripts(client: httpx.Client) -> None:
    reply = client.get("/")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(
        each.split(" ", 1) for each in reply.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert {policy[f"{what}-src"] for what in ("script", "style", "connect")} == {"'self'"}
    assert client.head("/").headers["x-content-type-options"] == "nosniff"


def test_all_that_the_page_names_is_served_with_the_same_policy(client: httpx.Client) -> None:
    page = client.get("/")
    named = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
    assert len(named) == 3
    for path in named:
        reply = client.get(f"/{path}").raise_for_status()
        assert reply.headers["content-security-policy"] == page.headers["content-security-policy"]


def test_scripts_are_asked_for_again_but_sent_only_when_they_have_changed(
    client: httpx.Client,
) -> None:
    first = client.get("/page/main.js")
    assert "javascript" in first.headers["content-type"]
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["nothing.js", "../live_page.py", "%2e%2e/live_page.py"])
def test_nothing_beside_the_page_is_served(client: httpx.Client, path: str) -> None:
    problem(client.get(f"/page/{path}"), 404, "not-found")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_of_the_page_is_too_long_or_names_another_server(file: Path) -> None:
    text = file.read_text("utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    allowed = r"https://www\.tradingview\.com/|http://www\.w3\.org/2000/svg"
    assert re.findall(r"(?:https?|wss?)://\S+", re.sub(allowed, "", text)) == []


def test_the_page_has_no_script_or_style_in_its_text() -> None:
    text = (live_page.FOLDER / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text) == []
