"""What can happen to the processes of `market-pipeline up`. Each function causes one fault."""

import random
import time

from market_pipeline_tests.faults import run
from market_pipeline_tests.faults.stack_world import StackWorld

RESTARTED = 15.0  # seconds from the death of a stream until its successor stores ticks
REPLACED = 30.0  # the same while Dagster's code server is being started again
UNTOUCHED = 5.0  # the death of others does not stop a stream
STARTED = 60.0  # from `market-pipeline up` after everything was killed

DAEMON = ("dagster-daemon", "run")
CODE_SERVER = ("dagster", "api", "grpc")


def stream_killed(world: StackWorld) -> None:
    chance = random.Random(4)
    for _ in range(20 if world.full else 2):
        time.sleep(chance.uniform(0, 10))
        run.kill([world.stream])
        world.recover()


def daemon_killed(world: StackWorld) -> None:
    """The stream goes on without the daemon; with the new one it is looked after again."""
    victim = world.service(*DAEMON)
    stream = world.stream.pid
    run.kill([victim])
    world.recover()
    world.await_revival(victim, *DAEMON)
    assert world.stream.pid == stream, "the stream was restarted"


def code_server_killed(world: StackWorld) -> None:
    """The stream loses its parent and goes on; its own end is still noticed."""
    victim = world.service(*CODE_SERVER)
    stream = world.stream.pid
    run.kill([victim])
    world.recover()
    world.await_revival(victim, *CODE_SERVER)
    world.recover()
    assert world.stream.pid == stream, "the stream was restarted"


def orphan_killed(world: StackWorld) -> None:
    """A stream whose parent has died before it: Dagster is not told of its death."""
    victim = world.service(*CODE_SERVER)
    run.kill([victim])
    world.await_revival(victim, *CODE_SERVER)
    run.kill([world.stream])
    world.recover()


def everything_killed(world: StackWorld) -> None:
    for _ in range(3 if world.full else 1):
        run.kill(world.members())
        begun = time.monotonic()
        world.start_stack()
        world.await_live()
        world.recovered_in = max(world.recovered_in, time.monotonic() - begun)
