"""What `doctor` looks at on this machine: settings, calendar, keys and tokens, disk, versions."""

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from market_pipeline import brokers, services
from market_pipeline.api.auth import Keys
from market_pipeline.archive.store import FolderStore, open_store
from market_pipeline.brokers.login import TokenStore
from market_pipeline.commands.findings import Check, Finding, Patient, ok, problem, warning
from market_pipeline.config import BrokerName, Settings
from market_pipeline.errors import BrokerError, TokenExpired
from market_pipeline.market import Exchange
from market_pipeline.sessions import to_ist, trading_date

_SOON = timedelta(days=14)
_LATER = timedelta(days=60)
_LEAST_FREE = 1.0  # gigabytes
_MOST_OFFSET = 2.0  # seconds, beyond which receive times are of no use
_ADDRESSES = {
    BrokerName.KITE: "https://api.kite.trade/",
    BrokerName.FYERS: "https://api-t1.fyers.in/",
}
_LIBRARIES = {BrokerName.KITE: "kiteconnect", BrokerName.FYERS: "fyers-apiv3"}
_TIMEOUT_SECONDS = 5.0
_MOST_NAMED = 5


def calendar(patient: Patient) -> Iterator[Finding]:
    """Say whether the trading days of the coming weeks are known."""
    calendar, today = patient.settings.calendar, trading_date(patient.now)
    remedy = "upgrade market-pipeline, or name a CALENDAR_FILE with the holidays"

    def unknown(until: timedelta) -> list[str]:
        return [each.value for each in Exchange if not calendar.knows(each, today + until)]

    if names := unknown(_SOON):
        told = f"trading days until {today + _SOON} are not known of {', '.join(names)}"
        yield problem("calendar", told, remedy)
    elif names := unknown(_LATER):
        told = f"trading days until {today + _LATER} are not known of {', '.join(names)}"
        yield warning("calendar", told, remedy)
    else:
        yield ok("calendar", f"trading days are known until {today + _LATER}")


def broker_keys(patient: Patient) -> Iterator[Finding]:
    """Say whether the keys of each real broker are set, and its library is there."""
    for each in patient.settings.each_broker:
        if each.broker is BrokerName.KITE:
            each.kite_credentials()
        elif each.broker is BrokerName.FYERS:
            each.fyers_credentials()
        if library := _LIBRARIES.get(each.broker):
            yield from _library(each.broker, library)
        yield ok("broker keys", f"{each.broker} has all it needs")


def _library(broker: BrokerName, name: str) -> Iterator[Finding]:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        remedy = "see README: Use it with Kite, Or with Fyers"
        yield problem("broker library", f"{name} is not installed, which {broker} needs", remedy)


def tokens(patient: Patient) -> Iterator[Finding]:
    """Say whether there is an access token of each broker, and until when it is good."""
    store = brokers.token_store(patient.settings)
    for each in patient.settings.each_broker:
        yield _token(store, each, patient.now)


def _token(store: TokenStore, settings: Settings, now: datetime) -> Finding:
    broker = settings.broker
    given = {
        BrokerName.KITE: settings.kite_access_token,
        BrokerName.FYERS: settings.fyers_access_token,
    }.get(broker)
    if given is not None:
        return ok("access token", f"that of {broker} is a setting; when it ends is not known")
    ends_at = store.ends_at(broker)
    if ends_at is not None and now < ends_at:
        return ok(
            "access token", f"that of {broker} is good until {to_ist(ends_at):%d %b %H:%M} IST"
        )
    state = "there is none" if ends_at is None else "it has ended"
    if settings.is_simulated:
        return ok("access token", f"{state} of {broker}: `up` logs in to the simulated exchange")
    return problem("access token", f"{broker}: {state}", f"run `market-pipeline login {broker}`")


def account(patient: Patient) -> Iterator[Finding]:
    """With --online, ask each broker whose the access token is, and so whether it is good."""
    for each in patient.settings.each_broker if patient.is_online else []:
        what = f"account at {each.broker}"
        try:
            yield ok(what, f"the access token is that of {brokers.open_broker(each).profile()}")
        except TokenExpired as error:
            if each.is_simulated:
                yield ok(what, "`up` logs in to the simulated exchange")
            else:
                yield problem(what, str(error), f"run `market-pipeline login {each.broker}`")
        except BrokerError as error:
            told = f"whether the access token is good is not known: {error}"
            yield problem(what, told, "see whether the broker has an outage, and try again")


def disk(patient: Patient) -> Iterator[Finding]:
    """Say whether the disk has room for what a journal may become."""
    home = patient.settings.market_pipeline_home.expanduser().absolute()
    place = next(each for each in (home, *home.parents) if each.exists())
    free, wanted = shutil.disk_usage(place).free / 1e9, patient.settings.journal_max_gigabytes
    told = f"{free:.1f} GB are free for {home}"
    if free < _LEAST_FREE:
        yield problem("disk", told, "make room: a full disk ends streams")
    elif free < wanted:
        remedy = f"make room, or lower JOURNAL_MAX_GIGABYTES, which is {wanted:g}, below that"
        yield warning("disk", told, remedy)
    else:
        yield ok("disk", told)


def archive(patient: Patient) -> Iterator[Finding]:
    """Say whether days can be archived; an object store is asked with --online only."""
    url = patient.settings.archive_url
    store = open_store(url, patient.settings.market_pipeline_home.expanduser().absolute())
    if isinstance(store, FolderStore):
        yield _archive_folder(Path(store.location))
        return
    if patient.is_online:
        store.list("")
    told = "answers" if patient.is_online else "was not asked: see --online"
    yield ok("archive", f"{store.location} {told}")


def _archive_folder(folder: Path) -> Finding:
    place = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        remedy = "let its owner give you the right, or name another folder in ARCHIVE_URL"
        return problem("archive", f"{place} cannot be written to", remedy)
    free = shutil.disk_usage(place).free / 1e9
    told = f"{free:.1f} GB are free for {folder}"
    if free < _LEAST_FREE:
        return problem("archive", told, "make room: what is not archived is never dropped")
    return ok("archive", told)


def access_to_the_api(patient: Patient) -> Iterator[Finding]:
    """Say who may use the API; with an address other machines reach it needs keys.

    Without keys that is known where it runs alone: a container of another service is not told them.
    """
    keys, host, port = (
        Keys.of(patient.settings),
        patient.settings.api_host,
        patient.settings.api_port,
    )
    if keys:
        yield ok("API", f"at {host}:{port}, for those with a key")
    elif services.is_taken(port, host):
        yield ok("API", f"at {host}:{port}, for everybody on this machine")
    else:
        told = f"nothing answers at {host}:{port}; who may use one that runs elsewhere is"
        yield ok("API", f"{told} not known here")


def versions(patient: Patient) -> Iterator[Finding]:
    """Say which versions run, and what is not as it was tested."""
    python = ".".join(map(str, sys.version_info[:3]))
    own = importlib.metadata.version("market-pipeline")
    if not (3, 11) <= sys.version_info < (3, 14):
        yield problem("versions", f"Python is {python}", "use Python 3.11, 3.12 or 3.13")
        return
    others = [] if (tested := tested_versions()) is None else untested(tested)
    if others:
        more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        told = f"not what was tested: {', '.join(others[:_MOST_NAMED])}{more}"
        yield warning("versions", told, "run `make`, which installs what constraints.txt says")
    else:
        yield ok("versions", f"market-pipeline {own}, Python {python}")


def tested_versions() -> dict[str, str] | None:
    """Return the version of each package in constraints.txt; None where that is not at hand."""
    file = Path(__file__).parents[2] / "constraints.txt"
    if not file.is_file():
        return None
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", file.read_text("utf-8"), re.MULTILINE))


def untested(tested: dict[str, str]) -> list[str]:
    """Return what is installed in another version than was tested, with both."""
    found = []
    for name, version in tested.items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of a broker that is not used, or for development
        if installed != version:
            found.append(f"{name} {installed} instead of {version}")
    return found


def clock_of_the_broker(patient: Patient) -> Iterator[Finding]:
    """With --online, compare this machine's clock with the Date that each broker answers with."""
    for each in patient.settings.each_broker if patient.is_online else []:
        url = _ADDRESSES.get(each.broker, each.simulator_url)
        try:
            stamp = httpx.get(url, timeout=_TIMEOUT_SECONDS).headers["Date"]
        except (httpx.HTTPError, KeyError) as error:
            remedy = "check the line to the internet, and whether a proxy or firewall is in the way"
            told = f"{url} does not tell the time: {type(error).__name__}"
            yield problem(f"clock of {each.broker}", told, remedy)
            continue
        offset = (datetime.now(UTC) - parsedate_to_datetime(stamp)).total_seconds()
        # The Date is cut to whole seconds, and on its way for some time.
        yield clock(f"clock of {each.broker}", offset, _MOST_OFFSET + 1)


def clock(what: str, offset: float, most: float = _MOST_OFFSET) -> Finding:
    """Judge by how many seconds this machine's clock is fast."""
    told = f"this machine's clock is {abs(offset):.1f} s {'fast' if offset > 0 else 'slow'}"
    if abs(offset) > most:
        return problem(what, told, "keep the clock right with NTP, as with chrony")
    return ok(what, told)


CHECKS: list[Check] = [
    versions,
    calendar,
    broker_keys,
    tokens,
    account,
    disk,
    archive,
    access_to_the_api,
    clock_of_the_broker,
]
