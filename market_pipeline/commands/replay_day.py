"""The command that streams a day that is over once more, beside the pipeline."""

import contextlib
import shutil
import time as clock
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, NamedTuple

import polars as pl
import typer
from rich.console import Console

from market_pipeline import brokers, services
from market_pipeline.archive.store import open_store
from market_pipeline.commands import replay_showing as showing
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.commands.replay_serving import Serving, serving
from market_pipeline.config import Settings
from market_pipeline.errors import ConfigurationError
from market_pipeline.replay import archived, comparing, journalled
from market_pipeline.replay.archived import Archived
from market_pipeline.replay.comparing import Comparison
from market_pipeline.replay.journalled import Journalled
from market_pipeline.replay.order import Following, Order, Progress
from market_pipeline.storage import instruments, scratch
from market_pipeline.storage.database import Database
from market_pipeline.storage.instruments import Catalogue
from market_pipeline.storage.scratch import Scratch
from market_pipeline.streaming.meaning import Source

_CLOCKS = ["%H:%M", "%H:%M:%S"]
_JOURNAL_HELP = "The stream whose journal is read, as in kite-0; without it the archive is."
_INSTRUMENTS_HELP = "Only of these, as for subscribe; with commas, or several times."
_REPAIRED_HELP = "Show candles as they are now, with what the broker has otherwise."
_WAIT_HELP = "Begin when a client has subscribed over the WebSocket."


class _Asked(NamedTuple):
    """How a replay is to be served and shown."""

    serve: bool
    port: int | None
    wait: bool
    drop: bool
    as_json: bool


def replay_day(  # noqa: PLR0913 - each is an option of the command line
    day: Annotated[
        datetime | None, typer.Argument(formats=["%Y-%m-%d"], help="The day, as in 2026-11-20.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--from-journal", metavar="STREAM", help=_JOURNAL_HELP)
    ] = None,
    speed: Annotated[str, typer.Option(help="How many times as fast as it was, or max.")] = "1",
    names: Annotated[
        list[str] | None, typer.Option("--instruments", help=_INSTRUMENTS_HELP)
    ] = None,
    since: Annotated[
        datetime | None, typer.Option("--from", formats=_CLOCKS, help="From this time of day; IST.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=_CLOCKS, help="And up to this one.")
    ] = None,
    clients_only: Annotated[
        bool, typer.Option("--clients-only", help="Store nothing: ticks for WebSocket clients.")
    ] = False,
    repaired: Annotated[
        bool, typer.Option("--repaired/--as-known-then", help=_REPAIRED_HELP)
    ] = False,
    serve: Annotated[bool, typer.Option(help="Serve an API over the replay.")] = True,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="At this port; a free one otherwise.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help=_WAIT_HELP)] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Drop its schema at the end.")] = False,
    as_list: Annotated[
        bool, typer.Option("--list", help="Show the replays whose schema was kept.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Drop the schema of the day's last replay.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Stream a day that is over once more, from the archive or from a stream's journal.

    Ticks go through the same writer into a schema of their own, replay_YYYYMMDD, and an API serves
    that; the pipeline's tables are only read. At the end the candles are compared with those of
    the live day by hash: exit code 1 when they differ.
    """
    settings = configured()
    with market_database(settings) as database:
        if as_list:
            showing.kept(Console(), scratch.listed(database), as_json)
            return
        if day is None:
            raise ConfigurationError("say which day is to be replayed, as in 2026-11-20")
        if forget:
            _forget(settings, database, day.date())
            return
        order = Order(
            day=day.date(),
            speed=_speed(speed),
            since=_clock(since),
            until=_clock(until),
            instrument_ids=_instrument_ids(settings, database, names),
            is_repaired=repaired,
            is_kept=not clients_only,
            flush_seconds=settings.flush_interval_seconds,
        )
        asked = _Asked(serve, port, wait, drop, as_json)
        is_equal = _Replay(settings, database, order, asked).run(stream)
    if not is_equal:
        raise typer.Exit(1)


def _forget(settings: Settings, database: Database, day: date) -> None:
    found = scratch.kept(database, day)
    scratch.drop(database, day)
    # One that was killed has left it.
    shutil.rmtree(_folder(settings, found), ignore_errors=True)
    typer.echo(f"The replay of {day} is dropped.")


def _folder(settings: Settings, made: Scratch) -> Path:
    """Return where a replay keeps what is not due yet."""
    return Path(settings.market_pipeline_home) / "replay" / made.schema


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise ConfigurationError(f"--speed {text}: give a number above 0, as in 10, or max")
    return speed


def _clock(given: datetime | None) -> time | None:
    return given.time() if given else None


def _instrument_ids(
    settings: Settings, database: Database, names: list[str] | None
) -> list[int] | None:
    if not names:
        return None
    wanted = [part.strip() for name in names for part in name.split(",") if part.strip()]
    first, *others = (each.broker.value for each in settings.each_broker)
    found = instruments.resolve(database, first, wanted, others[0] if others else None)
    return [instrument_id for instrument_id, _ in found]


@dataclass
class _Replay:
    settings: Settings
    database: Database
    order: Order
    asked: _Asked

    def run(self, stream: str | None) -> bool:
        """Replay and show what came of it; return whether the candles are equal."""
        found = self._found(stream)
        contents = self.order.contents(has_gaps=isinstance(found, Archived))
        # Before the replay, in the hours of which its files may give way to others.
        live = archived.as_known_then(found, self.order) if isinstance(found, Archived) else None
        try:
            with scratch.making(self.database, self.order.day, contents) as made:
                return self._played(found, made, live)
        finally:
            if self.asked.drop:
                scratch.drop(self.database, self.order.day)

    def _found(self, stream: str | None) -> Archived | Journalled:
        home = self.settings.market_pipeline_home
        if stream is None:
            return archived.find(
                self.order, self.database, open_store(self.settings.archive_url, home)
            )
        if not stream.startswith(f"{self.settings.broker.value}-"):
            raise ConfigurationError(
                f"stream {stream} is not one of {self.settings.broker.value}: set BROKER to its "
                "broker"
            )
        names = [each.broker.value for each in self.settings.each_broker]
        return journalled.find(self.order, stream, home / "journal" / stream, names)

    def _played(
        self, found: Archived | Journalled, made: Scratch, live: pl.DataFrame | None
    ) -> bool:
        with contextlib.ExitStack() as stack:
            served = stack.enter_context(self._serving(made)) if self.asked.serve else None
            console = Console(stderr=self.asked.as_json)
            showing.begun(console, self.order, made, served.url if served else None)
            if served and self.asked.wait:
                served.wait_for_client()
            started = clock.monotonic()
            with showing.progress(console) as advanced:
                is_behind = served.is_behind if served else Following().is_behind
                following = Following(advanced=advanced, is_behind=is_behind)
                progress = self._replayed(found, made, following)
            seconds = clock.monotonic() - started
            if served:
                served.wait_for_delivery(progress.ticks)
        compared = self._compared(live, made, progress) if self.order.is_kept else []
        result = showing.Result(self.order, made, progress, seconds, compared)
        showing.ended(result, self.asked.as_json)
        return all(each.is_equal for each in compared)

    def _serving(self, made: Scratch) -> contextlib.AbstractContextManager[Serving]:
        port = self.asked.port
        if port is None:
            port = services.free_port(self.settings.api_port + 1)
        services.require_free(
            port, "the replay's API", "choose another with --port", self.settings.api_host
        )
        return serving(self.settings.model_copy(update={"api_port": port}), made)

    def _replayed(
        self, found: Archived | Journalled, made: Scratch, following: Following
    ) -> Progress:
        folder = _folder(self.settings, made)
        if isinstance(found, Archived):
            return archived.replay(self.order, found, made, folder, following)
        sources = [
            Source(brokers.open_broker(each).decoder(), Catalogue(made.database, each.broker.value))
            for each in self.settings.each_broker
        ]
        return journalled.replay(self.order, found, made, sources, folder, following)

    def _compared(
        self, live: pl.DataFrame | None, made: Scratch, progress: Progress
    ) -> list[Comparison]:
        """Compare with the live candles that are given, or with those of what a stream carried."""
        order = self.order
        if live is None:
            order = replace(order, instrument_ids=sorted(progress.instrument_ids))
            live = comparing.as_known_then(self.database, order)
        compared = [
            Comparison("as known then", live, comparing.as_known_then(made.database, order))
        ]
        if order.is_repaired:
            sides = (comparing.as_known_now(each, order) for each in (self.database, made.database))
            compared.append(Comparison("repaired", *sides))
        return compared
