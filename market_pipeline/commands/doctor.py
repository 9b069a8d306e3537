"""The command that examines the set-up end to end, and says what to do about what it finds."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from market_pipeline.commands import doctor_database, doctor_machine
from market_pipeline.commands.connected import configured
from market_pipeline.commands.findings import Finding, Patient, Verdict, examine

_COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.PROBLEM: "red"}


def doctor(
    online: Annotated[bool, typer.Option("--online", help="Ask the brokers' servers too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Examine the whole set-up and say what to do. Changes nothing and starts nothing.

    Exit code 1 when there is a problem; a warning is none.
    """
    found = diagnose(Patient(configured(), datetime.now(UTC), is_online=online))
    if as_json:
        typer.echo(json.dumps([each._asdict() for each in found], indent=2))
    else:
        _show(found)
    if any(each.verdict is Verdict.PROBLEM for each in found):
        raise typer.Exit(1)


def diagnose(patient: Patient) -> list[Finding]:
    """Make all checks; those of the database where it answers."""
    found = examine(patient, doctor_machine.CHECKS)
    database, finding = doctor_database.reach(patient)
    found.append(finding)
    if database is not None:
        found += examine(replace(patient, database=database), doctor_database.CHECKS)
    return found


def _show(found: list[Finding]) -> None:
    table = Table("what", "", "found", "what to do")
    for each in found:
        verdict = f"[{_COLOURS[each.verdict]}]{each.verdict}"
        table.add_row(escape(each.what), verdict, escape(each.told), escape(each.remedy))
    Console().print(table)
