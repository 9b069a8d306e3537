"""The command that runs the simulated exchange by itself."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from market_pipeline.commands.connected import configured
from market_pipeline.config import PROTOCOLS, Settings
from market_pipeline.errors import ConfigurationError
from market_pipeline.simulator import fyers_server, kite_server
from market_pipeline.simulator.kite_server import SimulatorOptions

_MOMENTS = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]


class SimulatedBroker(StrEnum):
    KITE = "kite"
    FYERS = "fyers"


def simulator(  # noqa: PLR0913 - each is an option of the command line
    broker: Annotated[
        SimulatedBroker | None,
        typer.Option(help="Whose protocol to speak.", show_default="what BROKER says, or kite"),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to answer at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 7600,
    api_key: Annotated[str, typer.Option(help="The only API key that is accepted.")] = "simulator",
    api_secret: Annotated[str, typer.Option(help="Its secret.")] = "simulator",
    seed: Annotated[int, typer.Option(help="The same seed trades the same.")] = 1,
    instruments: Annotated[int, typer.Option(min=1, help="How many are listed.")] = 200,
    every_second: Annotated[
        bool, typer.Option("--every-second", help="Every instrument trades every second.")
    ] = False,
    quotes: Annotated[
        bool, typer.Option(help="Also send packets of books that changed without a trade.")
    ] = True,
    replay: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Replay the candles of this file."),
    ] = None,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Which day to replay.")
    ] = None,
    speed: Annotated[float, typer.Option(min=0.01, help="2 replays twice as fast.")] = 1.0,
    start_when_subscribed: Annotated[
        int | None, typer.Option(help="Hold a replay until so many instruments are subscribed.")
    ] = None,
    rate_limits: Annotated[bool, typer.Option(help="Refuse too many requests, as Kite.")] = True,
    always_open: Annotated[
        bool | None,
        typer.Option(
            "--always-open/--exchange-hours",
            help="When there is trading.",
            show_default="what SIMULATOR_ALWAYS_OPEN says",
        ),
    ] = None,
    settle_seconds: Annotated[
        int, typer.Option(min=0, help="How far candles of history are behind the trades.")
    ] = 10,
    recent_listings: Annotated[
        int, typer.Option(min=0, help="How many equities are listed since less than three months.")
    ] = 0,
    ledger: Annotated[
        Path | None, typer.Option(file_okay=False, help="Record every packet sent in this folder.")
    ] = None,
    starts_at: Annotated[
        datetime | None,
        typer.Option(formats=_MOMENTS, help="What the exchange's clock shows first, in IST."),
    ] = None,
) -> None:
    """Run a simulated exchange that speaks a broker's protocol."""
    settings = configured()
    protocol = broker or _protocol(settings)
    options = SimulatorOptions(
        host=host,
        port=port,
        api_key=api_key,
        api_secret=api_secret,
        seed=seed,
        instruments=instruments,
        every_second=every_second,
        quotes=quotes,
        replay=replay,
        day=day.date() if day else None,
        speed=speed,
        start_when_subscribed=start_when_subscribed,
        rate_limits=rate_limits,
        always_open=settings.simulator_always_open if always_open is None else always_open,
        settle_seconds=settle_seconds,
        recent_listings=recent_listings,
        calendar_file=settings.calendar_file,
        ledger=ledger,
        starts_at=starts_at,
    )
    server = fyers_server if protocol is SimulatedBroker.FYERS else kite_server
    server.serve(options, lambda url: typer.echo(f"listening on {url}"))


def _protocol(settings: Settings) -> SimulatedBroker:
    """Return what the simulated broker that BROKER names speaks, Kite's if it names a real one."""
    if settings.is_simulated and settings.standby_broker is not None:
        raise ConfigurationError(
            f"BROKER is {settings.broker_names}, and one simulated exchange speaks one protocol: "
            "say which with --broker. `market-pipeline up` runs both, docker compose one alone: "
            "there set BROKER to simulator or fyers_simulator"
        )
    return SimulatedBroker(PROTOCOLS.get(settings.broker, SimulatedBroker.KITE))
