"""Ticks that went through the real writer are proven against a ledger; the command says so."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import pytest
from typer.testing import CliRunner

from market_pipeline import config
from market_pipeline.__main__ import app, main
from market_pipeline.brokers import kite_wire
from market_pipeline.commands.verify import verify
from market_pipeline.config import Settings
from market_pipeline.market import Mode
from market_pipeline.proof import Verdict
from market_pipeline.simulator.dispatch import Dispatch
from market_pipeline.storage.database import Database
from market_pipeline.streaming.records import RecordKind
from market_pipeline_tests.builders import INFY, INSTRUMENTS, NIFTY, OPEN, TCS, Packet, fetch, frame
from market_pipeline_tests.journals import Line

_INSTRUMENT: LiteralString = (
    "INSERT INTO instruments (instrument_id, exchange, segment, exchange_token, symbol, name, kind)"
    " OVERRIDING SYSTEM VALUE VALUES (%s, 'NSE', 'CM', %s, 'X', 'X', 'EQ')"
)
_TOKEN: LiteralString = "INSERT INTO broker_instruments VALUES (%s, %s, 'X', %s, %s)"


class Exchange:
    """An exchange that writes a ledger, and the line from it into the database."""

    def __init__(self, database: Database, home: Path) -> None:
        self.database, self.ledger = database, home / "ledger"
        self.now = int(time.time()) - OPEN
        self._line = Line(database, home / "journal")
        self._dispatch = Dispatch(self.ledger)
        self._say(RecordKind.STARTED)
        self.connect()

    def _say(self, kind: RecordKind, payload: bytes = b"") -> None:
        self._line.journal.append(kind, payload, time.time_ns())

    def connect(self) -> None:
        self._connection = self._dispatch.opened()
        self._say(RecordKind.CONNECTED)

    def cut(self) -> None:
        self._dispatch.closed(self._connection, "cut")
        self._say(RecordKind.DISCONNECTED, b"connection lost")

    def send(self, *packets: Packet, is_received: bool = True) -> None:
        for payload in map(frame, packets):
            self._dispatch.sent(self._connection, kite_wire.decode([payload]).packets)
            if is_received:
                self._say(RecordKind.FRAME, payload)

    def trade(self) -> None:
        """Send packets of every kind."""
        for second in range(3):
            at = self.now - 10 + second
            self.send(
                Packet(volume=100 + second, at=at),
                Packet(token=TCS, price=200 + second, mode=Mode.LTP),
                Packet(token=NIFTY, price=25_000 + second, at=at),
                Packet(volume=100 + second, mode=Mode.QUOTE),
            )

    def store(self) -> None:
        self._line.store()

    def verdict(self) -> Verdict:
        return verify(self.database, "simulator", self.ledger)

    def close(self) -> None:
        self._line.close()
        self._dispatch.close()


@pytest.fixture
def exchange(database: Database, tmp_path: Path) -> Iterator[Exchange]:
    for token, instrument in INSTRUMENTS.items():
        fetch(database, _INSTRUMENT, instrument, str(token))
        fetch(database, _TOKEN, "simulator", token, instrument, "2020-01-01")
    opened = Exchange(database, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def configured(exchange: Exchange, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings that name the exchange's database and nothing else."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MARKET_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", exchange.database.url)
    monkeypatch.setattr(config, "settings", config.load)


def test_packets_of_every_kind_are_stored_as_they_were_sent(exchange: Exchange) -> None:
    exchange.trade()
    exchange.store()
    verdict = exchange.verdict()
    assert verdict.is_proven, verdict.faults
    assert verdict.stored == 12


def test_packets_that_a_cut_line_has_lost_are_in_a_gap(exchange: Exchange) -> None:
    exchange.trade()
    exchange.send(Packet(volume=110, at=exchange.now), is_received=False)
    exchange.cut()
    exchange.connect()
    exchange.send(Packet(volume=110, at=exchange.now))
    exchange.store()
    verdict = exchange.verdict()
    assert verdict.is_proven, verdict.faults
    assert (verdict.stored, verdict.not_received, verdict.gaps) == (13, 1, 1)


def test_packets_missing_from_a_line_that_holds_are_lost(exchange: Exchange) -> None:
    exchange.send(Packet(volume=110, at=exchange.now), is_received=False)
    exchange.trade()
    exchange.store()
    assert exchange.verdict().lost == 1


def test_rows_stored_twice_are_found(exchange: Exchange) -> None:
    exchange.trade()
    exchange.store()
    fetch(exchange.database, "INSERT INTO ticks SELECT * FROM ticks WHERE instrument_id = 2")
    assert exchange.verdict().duplicated == 3


def test_packets_that_stood_by_and_were_told_again_count_once(exchange: Exchange) -> None:
    exchange.trade()
    exchange.store()
    fetch(
        exchange.database,
        "INSERT INTO standby_ticks SELECT * FROM ticks WHERE day_volume IS NOT NULL",
    )
    verdict = exchange.verdict()
    assert verdict.is_proven, verdict.faults


def test_instrument_is_found_under_the_token_of_its_day(exchange: Exchange) -> None:
    fetch(exchange.database, "UPDATE broker_instruments SET valid_to = '2021-01-01'")
    for broker in ("simulator", "other"):
        fetch(exchange.database, _TOKEN, broker, INFY, INSTRUMENTS[INFY], "2021-01-01")
    exchange.send(Packet(volume=110, at=exchange.now))
    exchange.store()
    assert exchange.verdict().is_proven


@pytest.mark.usefixtures("configured")
def test_command_succeeds_when_all_is_proven(exchange: Exchange) -> None:
    exchange.trade()
    exchange.store()
    result = CliRunner().invoke(app, ["verify-ticks", str(exchange.ledger)])
    assert result.exit_code == 0, result.output
    assert "Proven" in result.output


@pytest.mark.usefixtures("configured")
def test_ledger_is_that_of_the_preferred_broker_unless_another_is_told(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER", "fyers_simulator,simulator")
    exchange.trade()
    exchange.store()
    words = ["verify-ticks", str(exchange.ledger)]
    assert CliRunner().invoke(app, words).exit_code == 1
    assert CliRunner().invoke(app, [*words, "--broker", "simulator"]).exit_code == 0


@pytest.mark.usefixtures("configured")
def test_command_fails_with_the_faults_as_json(exchange: Exchange) -> None:
    exchange.trade()
    exchange.store()
    fetch(exchange.database, "UPDATE ticks SET last_price = 1 WHERE last_price = 201")
    result = CliRunner().invoke(app, ["verify-ticks", str(exchange.ledger), "--json"])
    assert result.exit_code == 1
    content = json.loads(result.output)
    assert (content["proven"], content["altered"]) == (False, 1)
    assert content["faults"][0]["what"] == "last_price"


@pytest.mark.usefixtures("configured")
def test_command_shows_the_first_faults(exchange: Exchange) -> None:
    exchange.trade()
    exchange.store()
    fetch(exchange.database, "DELETE FROM ticks WHERE last_price = 200")
    result = CliRunner().invoke(app, ["verify-ticks", str(exchange.ledger)])
    assert result.exit_code == 1
    assert "Not proven" in result.output
    assert str(TCS) in result.output


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(("folder", "words"), [("ledger", "is empty"), ("nowhere", "no ledger")])
def test_ledger_without_packets_is_a_mistake_of_the_caller(
    folder: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["market-pipeline", "verify-ticks", str(tmp_path / folder)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
