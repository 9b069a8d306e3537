"""A headless Chromium that is driven over its DevTools protocol: one page, and what it reports.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from market_pipeline_tests.builders import eventually

_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-first-run",
)
_DOMAINS = ("Page", "Runtime", "Log", "Network")
_CODES = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36} | {
    f"Arrow{side}": 37 + place for place, side in enumerate(("Left", "Up", "Right", "Down"))
}


def chromium() -> str | None:
    """Return the browser's program; None: there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """A page that is open; requests, messages and errors are collected whenever it is asked."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._calls = connection, 0
        self.requested: list[str] = []
        self.complaints: list[str] = []
        """Errors and warnings of scripts, and of the browser about the page."""
        for domain in _DOMAINS:
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Do what a method of the protocol does, and return its result."""
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": parameters}
        self._connection.send(json.dumps(call))
        while True:
            message = json.loads(self._connection.recv(30))
            if message.get("id") == self._calls:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message.get("method"), message.get("params", {}))

    def _note(self, method: str, values: Any) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.requested.append(values["request"]["url"])
            case "Network.webSocketCreated":
                self.requested.append(values["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(values["exceptionDetails"]))
            case "Log.entryAdded" if values["entry"]["level"] in ("error", "warning"):
                self.complaints.append(f"{values['entry']['text']} {values['entry'].get('url')}")
            case "Runtime.consoleAPICalled" if values["type"] in ("error", "warning"):
                self.complaints.append(str([each.get("value") for each in values["args"]]))

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript, waiting for what it promises."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """Return what is written in an element; nothing if there is none."""
        found = self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return str(found)

    def until(self, expression: str, seconds: float = 20) -> Any:
        """Wait until JavaScript finds something true, and return it."""
        found: list[Any] = [None]

        def is_there() -> bool:
            found[0] = self.value(expression)
            return bool(found[0])

        eventually(is_there, f"never true: {expression}; {self.complaints}", seconds)
        return found[0]

    def press(self, key: str) -> None:
        """Press a key as a hand does."""
        text = key if len(key) == 1 else "\r" if key == "Enter" else ""
        code = _CODES.get(key) or ord(key.upper())
        values = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **values)
        self.call("Input.dispatchKeyEvent", type="keyUp", **values)

    def write(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def resize(self, width: int, height: int, is_phone: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=is_phone,
        )

    def prefer(self, **features: str) -> None:
        """Let the reader prefer something: `color_scheme="dark"`."""
        told = [{"name": f"prefers-{n.replace('_', '-')}", "value": v} for n, v in features.items()]
        self.call("Emulation.setEmulatedMedia", features=told)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def browsing(program: str, profile: Path) -> Iterator[Page]:
    """Start the browser with an empty page, and end it."""
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", *_QUIET]
    command += [f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_address(process, profile), max_size=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(20)


def _address(process: subprocess.Popen[bytes], profile: Path) -> str:
    """Return where the browser's one page is driven, once it has written down its port."""
    written = profile / "DevToolsActivePort"
    eventually(
        lambda: process.poll() is not None or (written.is_file() and written.read_text().strip()),
        "the browser did not start",
    )
    assert process.poll() is None, f"the browser ended with {process.returncode}"
    port = written.read_text().splitlines()[0]
    listed = f"http://127.0.0.1:{port}/json/list"
    pages: list[dict[str, Any]] = []

    def has_page() -> bool:
        reply = httpx.get(listed, trust_env=False, timeout=10)
        pages[:] = [each for each in reply.json() if each["type"] == "page"]
        return bool(pages)

    eventually(has_page, "the browser has no page")
    return str(pages[0]["webSocketDebuggerUrl"])
