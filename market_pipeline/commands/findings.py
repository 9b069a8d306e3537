"""What `doctor` finds: a check yields findings, and what breaks a check is one too."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from market_pipeline.config import Settings
from market_pipeline.errors import MarketPipelineError
from market_pipeline.storage.database import Database

log = logging.getLogger(__name__)


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    what: str
    verdict: Verdict
    told: str
    remedy: str = ""


@dataclass(frozen=True)
class Patient:
    """What is examined, and when."""

    settings: Settings
    now: datetime
    database: Database | None = None
    """None where it cannot be reached."""
    is_online: bool = False
    """Whether brokers may be asked."""


Check = Callable[[Patient], Iterable[Finding]]


def ok(what: str, told: str) -> Finding:
    return Finding(what, Verdict.OK, told)


def warning(what: str, told: str, remedy: str) -> Finding:
    return Finding(what, Verdict.WARNING, told, remedy)


def problem(what: str, told: str, remedy: str) -> Finding:
    return Finding(what, Verdict.PROBLEM, told, remedy)


def examine(patient: Patient, checks: Iterable[Check]) -> list[Finding]:
    """Make each check; one that fails is a finding and keeps none from the others."""
    return [found for check in checks for found in _found(patient, check)]


def _found(patient: Patient, check: Check) -> Iterator[Finding]:
    name = check.__name__.replace("_", " ")
    try:
        yield from check(patient)
    except MarketPipelineError as error:  # which says what to do itself
        yield problem(name, str(error), "")
    except Exception as error:  # whatever is broken, the rest is of use
        log.debug("where it happened", exc_info=True)  # with LOG_LEVEL=DEBUG
        told = f"cannot be checked: {type(error).__name__}: {error}"
        yield problem(name, told, "run with LOG_LEVEL=DEBUG, and report this")
