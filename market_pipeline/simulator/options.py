"""What can be simulated, and the exchange and clock that are made of it."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import EXCHANGE_TZ, AlwaysOpen, Calendar, to_ist, trading_date
from market_pipeline.simulator.clock import RealClock, ReplayClock
from market_pipeline.simulator.exchange import Exchange
from market_pipeline.simulator.listing import default_listing
from market_pipeline.simulator.replay import ReplayTape, read_candles, replay_listing
from market_pipeline.simulator.seeded import SeededTape

MOST_INSTRUMENTS = 100_000


@dataclass(frozen=True)
class SimulatorOptions:
    """What to simulate, and where to answer."""

    host: str = "127.0.0.1"
    port: int = 7600  # 0 takes a free one
    api_key: str = "simulator"
    api_secret: str = "simulator"
    seed: int = 1
    instruments: int = 200
    every_second: bool = False  # every instrument trades every second: a load test
    quotes: bool = True  # packets are also sent when only the book changed
    replay: Path | None = None  # candles to replay instead of inventing trades
    day: date | None = None  # replay this day; with `replay`, the file's first by default
    speed: float = 1.0
    start_when_subscribed: int | None = None
    rate_limits: bool = True
    always_open: bool = True
    settle_seconds: int = 10  # how far candles of history are behind the trades
    recent_listings: int = 0  # so many equities are listed since less than three months
    calendar_file: Path | None = None  # adds to the calendar, where it is not always open
    ledger: Path | None = None  # a folder for a record of every packet sent
    starts_at: datetime | None = None  # what the clock shows first; without zone it is IST


def build_exchange(options: SimulatorOptions) -> tuple[Exchange, RealClock | ReplayClock]:
    """Make the exchange and the clock that the options describe.

    Raises:
        ConfigurationError: the options or the file to replay are wrong.
    """
    _refuse_nonsense(options)
    calendar = AlwaysOpen() if options.always_open else Calendar(options.calendar_file)
    if options.replay is not None:
        return _replayed_file(options, options.replay, calendar)
    starts_at = to_ist(options.starts_at) if options.starts_at else None
    day = options.day or trading_date(starts_at or datetime.now(EXCHANGE_TZ))
    listing = default_listing(day, options.instruments, options.recent_listings)
    tape = SeededTape(listing, options.seed, options.every_second)
    exchange = Exchange(listing, tape, calendar, _quotes(options))
    if options.day is None:
        return exchange, RealClock.starting_at(starts_at)
    sessions = [calendar.session(venue, options.day) for venue in listing.venues]
    edges = [(s.opens_at.timestamp(), s.closes_at.timestamp()) for s in sessions if s]
    if not edges:
        raise ConfigurationError(f"{options.day} is not a trading day: choose another day")
    opens, closes = int(min(edges)[0]), int(max(edge[1] for edge in edges))
    return exchange, ReplayClock(opens - 1, closes, options.speed)


def _refuse_nonsense(options: SimulatorOptions) -> None:
    if options.speed <= 0:
        raise ConfigurationError(f"speed is {options.speed}: choose a number above 0")
    if not 1 <= options.instruments <= MOST_INSTRUMENTS:
        raise ConfigurationError(
            f"instruments is {options.instruments}: choose 1 to {MOST_INSTRUMENTS:,}"
        )
    for name in ("replay", "day"):
        if options.starts_at is not None and getattr(options, name) is not None:
            raise ConfigurationError(f"starts_at and {name} exclude each other: choose one")


def _quotes(options: SimulatorOptions) -> float:
    """Say how often only the book changes: more rarely in a replay, which is to be fast."""
    if not options.quotes or options.every_second:  # which leaves no second without a trade
        return 0.0
    return 1.0 if options.replay is None and options.day is None else 0.25


def _replayed_file(
    options: SimulatorOptions, path: Path, calendar: Calendar
) -> tuple[Exchange, ReplayClock]:
    candles = read_candles(path)
    listing = replay_listing(candles)
    tape = ReplayTape(candles, listing)
    first, end = tape.span(tape.day(options.day, path))
    return (
        Exchange(listing, tape, calendar, _quotes(options)),
        ReplayClock(first * 60 - 1, end * 60, options.speed),
    )
