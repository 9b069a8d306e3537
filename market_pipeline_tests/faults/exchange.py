"""The simulated exchange in a process of its own, with its ledger and its faults."""

import subprocess
from pathlib import Path
from typing import Any

import httpx
import psutil

from market_pipeline import processes
from market_pipeline.config import PROTOCOLS, BrokerName
from market_pipeline_tests.acceptance.demo import free_port, within
from market_pipeline_tests.faults import run

START_SECONDS = 30.0


class Exchange:
    """Sends packets of its instruments, and keeps account of them in `ledger`."""

    def __init__(
        self,
        home: Path,
        instruments: int,
        *options: str,
        broker: BrokerName = BrokerName.SIMULATOR,
    ) -> None:
        self.broker = broker
        self.ledger = home / "ledger"
        self.url = f"http://127.0.0.1:{free_port()}"
        self._client = httpx.Client(base_url=self.url, timeout=20, trust_env=False)
        self._log = home / "exchange.log"
        port = self.url.rsplit(":", 1)[1]
        self._command = [
            *run.command("simulator", "--port", port, "--ledger", str(self.ledger)),
            *("--broker", PROTOCOLS[broker], "--instruments", str(instruments)),
            *("--no-rate-limits", *options),
        ]
        self.start()

    def start(self) -> None:
        """Start it, also after it was killed: its ledger goes on, and it knows no login."""
        self.process = processes.spawn(self._command, run.environment(), self._log)
        within(START_SECONDS, self._answers, lambda: self._log.read_text("utf-8", "replace"))

    def _answers(self) -> bool:
        assert self.process.poll() is None, self._log.read_text("utf-8", "replace")
        try:
            return self._client.get("/simulator/status").status_code == 200
        except httpx.HTTPError:
            return False

    def fault(self, name: str, **parameters: Any) -> None:
        """Cause a fault at the broker; returns when it has happened."""
        reply = self._client.post(f"/simulator/faults/{name}", json=parameters)
        assert reply.status_code == 200, reply.text

    def status(self) -> dict[str, Any]:
        """Say how many packets were sent, and to how many connections."""
        content: dict[str, Any] = self._client.get("/simulator/status").json()
        return content

    def connections(self) -> int:
        return len(self.status()["connections"])

    def kill(self) -> None:
        """End it as a crash does; the ledger has all that was handed to the line."""
        run.kill([psutil.Process(self.process.pid)])
        self.process.wait(10)

    def stop(self) -> None:
        """End it in order: the ledger is complete then."""
        self._client.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
