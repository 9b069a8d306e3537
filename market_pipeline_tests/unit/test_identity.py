"""A process is told from all others, while it runs and after."""

import os
import subprocess
import sys

from market_pipeline.streaming import identity


def test_this_process_is_not_gone() -> None:
    assert not identity.is_gone(identity.of_this_process())


def test_a_process_that_has_ended_is_gone() -> None:
    script = "from market_pipeline.streaming import identity; print(identity.of_this_process())"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert identity.is_gone(ended.stdout.strip())


def test_another_process_with_the_same_number_is_told_apart() -> None:
    place, pid, begun = identity.of_this_process().rsplit(" ", 2)
    assert int(pid) == os.getpid()
    assert identity.is_gone(f"{place} {pid} {begun}0")


def test_nothing_is_said_of_another_machine() -> None:
    assert not identity.is_gone(f"elsewhere {2**22 + 1} 12345")
