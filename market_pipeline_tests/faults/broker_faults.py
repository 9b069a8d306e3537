"""What a broker and the line to it can do to a stream. Each function causes one fault."""

import time

from market_pipeline.config import BrokerName
from market_pipeline.storage import instruments
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.faults.world import World, poll

RECONNECTED = 5.0  # seconds, as promised after a dropped socket
SILENCE_NOTICED = 16.0  # ten seconds of patience, a look every second, and the reconnection
FYERS_SILENCE_NOTICED = 75.0  # a minute: pings are answered, and there are no heartbeats
SILENT_INSTRUMENTS_TOLD = 45.0  # half a minute for the first packet, and two looks
REFUSALS_WAITED_OUT = 20.0  # ten seconds between attempts that were refused


def socket_dropped(world: World) -> None:
    for _ in range(10 if world.full else 2):
        world.let_pass(100)
        world.exchange.fault("drop")
        world.recover()


def silent_but_open(world: World) -> None:
    for noticed in range(1, 4 if world.full else 2):
        begun = time.monotonic()
        world.exchange.fault("silence")
        poll(90, lambda: len(silences(world)) >= noticed, world.say)  # noqa: B023 - asked at once
        world.exchange.fault("silence", on=False)
        world.await_live()
        world.recovered_in = max(world.recovered_in, time.monotonic() - begun)


def silences(world: World) -> list[str]:
    return [cause for cause in world.causes() if "no frame for" in cause]


def half_a_frame(world: World) -> None:
    for _ in range(10 if world.full else 2):
        world.let_pass(100)
        world.exchange.fault("half_frame")
        world.recover()


def cut_message(world: World) -> None:
    _damaged(world, "cut")


def garbage_length(world: World) -> None:
    _damaged(world, "garbage_length")


def _damaged(world: World, fault: str) -> None:
    for _ in range(20 if world.full else 3):
        world.exchange.fault(fault)
        world.let_pass(100)
    world.recover()
    kept = world.value("SELECT count(*) FROM rejected")
    assert kept == (20 if world.full else 3), f"{kept} damaged frames are kept"


def duplicate_frames(world: World) -> None:
    for _ in range(20 if world.full else 5):
        world.exchange.fault("duplicate", frames=3)
        world.let_pass(100)
    world.recover()


def late_frames(world: World) -> None:
    for _ in range(20 if world.full else 5):
        world.exchange.fault("late", frames=2, seconds=1.5)
        world.let_pass(100)
    time.sleep(1.5)  # what was held back last
    world.recover()


def day_rolls_over(world: World) -> None:
    """Midnight on the exchange: volumes begin anew on the same connection."""
    midnight = "SELECT count(DISTINCT (exchange_time AT TIME ZONE 'Asia/Kolkata')::date) FROM ticks"
    poll(60, lambda: bool(world.value(midnight) == 2), world.say)
    world.let_pass(500)
    world.recover()
    below = world.value("SELECT count(*) FROM ticks WHERE volume < 0")
    assert below == 0, f"{below} ticks have a negative volume"
    assert world.causes() == [], world.causes()


def token_expires(world: World) -> None:
    for _ in range(3 if world.full else 1):
        world.exchange.fault("expire_tokens")
        world.exchange.fault("drop")
        world.await_state("awaiting_login")
        starts = world.starts
        time.sleep(10 if world.full else 2)  # nobody is at the keyboard yet
        world.log_in()
        world.recover()
        assert world.starts == starts, "the process was restarted"


def login_refused_once(world: World) -> None:
    """A refusal though the token is good; the next login gives the same token again."""
    is_fyers = world.broker is BrokerName.FYERS_SIMULATOR

    def refuse(is_refused: bool) -> None:
        if is_fyers:  # which answers the login on the line
            world.exchange.fault("refuse", on=is_refused)
        else:
            world.exchange.fault("refuse_upgrade", status=403 if is_refused else None)

    refuse(True)
    world.exchange.fault("drop")
    world.await_state("awaiting_login")
    refuse(False)
    world.log_in()
    world.recover()


def too_many_connections(world: World) -> None:
    world.exchange.fault("refuse_upgrade", status=429)
    world.exchange.fault("drop")
    time.sleep(15 if world.full else 3)
    world.exchange.fault("refuse_upgrade", status=None)
    world.recover()


def slow_handshake(world: World) -> None:
    world.exchange.fault("slow_handshake", seconds=4.0)
    world.exchange.fault("drop")
    world.recover()


def subscriptions_change(world: World) -> None:
    names = world.names
    for number in range(10 if world.full else 3):
        part = names[number::3]
        instruments.unsubscribe(world.database, world.broker.value, part)
        world.let_pass(150)
        instruments.subscribe(world.database, world.broker.value, part)
        world.let_pass(150)
    world.recover()
    # The line goes on; of what the stream has seen leave, the pause is told.
    assert set(world.causes()) <= {"not subscribed"}, world.causes()


def instruments_fall_silent(world: World) -> None:
    """Some instruments are missing from a connection that lives: the stream says which."""
    tokens = [int(row[0]) for row in fetch(world.database, "SELECT token FROM broker_instruments")]
    muted = sorted(tokens)[:5]
    world.exchange.fault("mute", tokens=muted)
    world.exchange.fault("drop")
    begun = time.monotonic()
    silent = "SELECT cardinality(stale_instruments) FROM streams"
    poll(90, lambda: bool(world.value(silent) == len(muted)), world.say)
    world.exchange.fault("mute", tokens=[])
    world.exchange.fault("drop")
    poll(60, lambda: bool(world.value(silent) == 0), world.say)
    world.recovered_in = time.monotonic() - begun
