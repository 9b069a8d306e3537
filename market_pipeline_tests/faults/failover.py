"""What happens to a stream of two brokers when one fails. Each function causes one fault."""

import signal

from market_pipeline_tests.builders import fetch
from market_pipeline_tests.faults.world import World, poll

TAKEN_OVER = 5.0  # seconds: three until a silence is taken for the end, and a batch
_BACK_SECONDS = 60.0

_NEWEST = (
    "SELECT broker FROM ticks JOIN feeds USING (feed) WHERE received_at > now() - INTERVAL '2 s'"
    " ORDER BY received_at DESC LIMIT 1"
)


def preferred_killed(world: World) -> None:
    """The preferred broker's server dies, is away for a while, and comes back without the login."""
    for _ in range(5 if world.full else 1):
        world.let_pass(300)
        world.exchange.kill()
        world.recover()
        stands_in(world)
        goes_on(world, 1000)
        world.exchange.start()
        world.log_in()
        returns(world)


def preferred_frozen(world: World) -> None:
    """Its line stays open and nothing comes, until it is given up and made anew."""
    for _ in range(5 if world.full else 1):
        world.let_pass(300)
        world.exchange.process.send_signal(signal.SIGSTOP)
        world.recover()
        stands_in(world)
        poll(_BACK_SECONDS, lambda: covered(world), world.say)  # the line was given up
        world.exchange.process.send_signal(signal.SIGCONT)
        returns(world)


def stands_in(world: World) -> None:
    """Wait until the other broker's packets become ticks."""
    assert world.standby is not None
    other = world.standby.broker.value
    poll(_BACK_SECONDS, lambda: world.value(_NEWEST) == other, world.say)


def returns(world: World) -> None:
    """Wait until the preferred broker makes the ticks again, and the gap says who covered it."""
    poll(_BACK_SECONDS, lambda: world.value(_NEWEST) == world.broker.value, world.say)
    assert covered(world), world.causes()


def covered(world: World) -> bool:
    """Tell whether a gap of the preferred broker is said to be covered by the other."""
    assert world.standby is not None
    found = fetch(world.database, "SELECT covered_by FROM gaps WHERE broker = %s", world.broker)
    return (world.standby.broker.value,) in found


def goes_on(world: World, packets: int) -> None:
    """Return when the other broker has sent so many more packets."""
    assert world.standby is not None
    standby = world.standby
    target = standby.status()["packets_sent"] + packets
    poll(_BACK_SECONDS, lambda: bool(standby.status()["packets_sent"] >= target), world.say)
