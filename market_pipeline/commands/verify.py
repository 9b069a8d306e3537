"""The command that proves the ticks: what the simulated exchange sent is what is stored."""

import json
from dataclasses import fields
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from market_pipeline import proof
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.commands.database import AsJson
from market_pipeline.config import BrokerName
from market_pipeline.errors import ConfigurationError
from market_pipeline.proof import Verdict
from market_pipeline.sessions import EXCHANGE_TZ, trading_date
from market_pipeline.simulator.dispatch import read_packets
from market_pipeline.storage.database import Database

_SHOWN_FAULTS = 20


def verify_ticks(
    ledger: Annotated[Path, typer.Argument(help="What the simulator was given as --ledger.")],
    broker: Annotated[
        BrokerName | None, typer.Option(help="Whose ledger it is; the preferred one's if not told.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that no tick was lost, doubled, altered or reordered since the ledger began.

    Compares every packet that the simulated exchange has sent with the ticks and gaps that are
    stored. A packet that is on its way would count as lost: stop the stream, or the exchange,
    first. Exit code 1 when it is not proven.
    """
    settings = configured()
    with market_database(settings) as database:
        verdict = verify(database, (broker or settings.broker).value, ledger)
    if as_json:
        typer.echo(json.dumps(_content(verdict), indent=2))
    else:
        _show(verdict, Console())
    if not verdict.is_proven:
        raise typer.Exit(1)


def verify(database: Database, broker: str, ledger: Path) -> Verdict:
    """Compare a ledger with what a database holds of a broker.

    Raises:
        ConfigurationError: there is no ledger, or nothing was sent yet.
    """
    sent = read_packets(ledger)
    if sent.is_empty():
        raise ConfigurationError(f"the ledger in {ledger} is empty: nothing was sent yet")
    nanoseconds = int(sent.select("sent_at").min().item())
    first = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    midnight = datetime.combine(trading_date(first), time(), EXCHANGE_TZ)
    rows = database.query("ticks_by_token", broker=broker, since=midnight)
    gaps = database.query("gaps_since", broker=broker, since=first)
    return proof.compare(sent, rows, gaps)


def _content(verdict: Verdict) -> dict[str, Any]:
    counts = {f.name: getattr(verdict, f.name) for f in fields(verdict) if f.name != "faults"}
    return {"proven": verdict.is_proven} | counts | {"faults": verdict.faults.to_dicts()}


def _show(verdict: Verdict, console: Console) -> None:
    table = Table(show_header=False)
    for label, value in {
        "packets sent": f"{verdict.sent:,}",
        "stored": f"{verdict.stored:,}",
        "not received": f"{verdict.not_received:,} (gaps recorded: {verdict.gaps:,})",
        "spoilt in the journal": f"{verdict.spoilt:,}",
        "lost": f"{verdict.lost:,}",
        "duplicated": f"{verdict.duplicated:,}",
        "altered": f"{verdict.altered:,}",
        "out of order": f"{verdict.out_of_order:,}",
        "sent damaged, not expected": f"{verdict.damaged:,}",
        "stored before the ledger began": f"{verdict.before_ledger:,}",
    }.items():
        table.add_row(label, value)
    console.print(table)
    if not verdict.faults.is_empty():
        console.print(_faults(verdict))
    console.print("Proven: every packet is accounted for." if verdict.is_proven else "Not proven.")


def _faults(verdict: Verdict) -> Table:
    table = Table("fault", "connection", "token", "number", "sent at (UTC)", "what", title="first")
    for fault in verdict.faults.head(_SHOWN_FAULTS).iter_rows(named=True):
        cells = [fault[name] for name in ("kind", "connection", "token", "number")]
        cells += [_clock(fault["sent_at"]), fault["what"]]
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    return table


def _clock(nanoseconds: int | None) -> str | None:
    if nanoseconds is None:
        return None
    instant = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)
    return f"{instant:%H:%M:%S.%f}"
