"""The examples of README's sections on live ticks and the Python client, run as they stand but for
the port."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from market_pipeline_tests.builders import Tick
from market_pipeline_tests.live_cases import Api, Feed, listening
from market_pipeline_tests.live_cases import api as api
from market_pipeline_tests.live_cases import feed as feed
from market_pipeline_tests.live_cases import hurried_feed as hurried_feed

pytestmark = pytest.mark.needs_real_server("waits for notifications on a connection of its own")

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
LIVE = README.split("\n## Live ticks\n")[1].split("\n## ")[0]
CLIENT = README.split("\n## Python client\n")[1].split("\n## ")[0]
REQUESTS = re.findall(r"```json\n(.*?)```", LIVE, re.DOTALL)[0].splitlines()
TOLD = set(re.findall(r"^\| ([`a-z_, ]+) \|", LIVE, re.MULTILINE))
FRAMES, STREAMING = re.findall(r"```python\n(.*?)```", CLIENT, re.DOTALL)


def run(program: str, api: Api) -> str:
    text = program.replace("http://127.0.0.1:8000", api.url)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_request_is_understood(api: Api, feed: Feed) -> None:
    feed.commit(Tick())
    with listening(api) as client:
        for request in REQUESTS:
            client.connection.send(request)
        told = client.until("unsubscribed")
        assert [each["instrument"] for each in told["instruments"]] == ["NSE:INFY"]
        assert not [message for message in client.seen if message["type"] == "error"]
        assert all(not message.get("unknown") for message in client.seen)


def test_each_type_of_message_is_in_the_table() -> None:
    written = "".join(
        path.read_text("utf-8") for path in (ROOT / "market_pipeline/api/live").glob("*.py")
    )
    told = {name for cell in TOLD for name in re.findall("`([a-z_]+)`", cell)}
    sent = set(re.findall(r'tell\(\s*"([a-z_]+)"', written))
    sent |= set(re.findall(r'"type":\s?"([a-z]+)"', written))
    assert told - {"type"} == sent  # the heading


def test_the_frames_of_the_client_are_printed(api: Api, feed: Feed) -> None:
    feed.commit(Tick(price=1234.5))
    assert "1234.5" in run(FRAMES, api)


def test_the_stream_of_the_client_prints_a_tick(api: Api, feed: Feed) -> None:
    done = threading.Event()

    def commit() -> None:
        while not done.wait(0.2):
            feed.commit(Tick(price=77.5))

    committing = threading.Thread(target=commit)
    committing.start()
    try:
        assert "NSE:INFY 77.5 1" in run(STREAMING, api)
    finally:
        done.set()
        committing.join()
