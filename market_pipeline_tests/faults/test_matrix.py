"""Whatever breaks: what reached us is stored once, what did not is in a gap, and it goes on."""

import os
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from market_pipeline.config import BrokerName
from market_pipeline.storage.database import Database
from market_pipeline_tests.faults.matrix import FAULTS, Fault
from market_pipeline_tests.faults.table import Row

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1800)]

_MOST_MEGABYTES = 600
# Recovery is part of the promise, and this machine is shared: what is over the limit is shown in
# the table, what is far over it fails.
_PATIENCE = 3


def _parameter(fault: Fault) -> object:
    marks = [pytest.mark.xdist_group("needs cores")] if fault.needs_cores else []
    return pytest.param(fault, id=fault.name, marks=marks)


@pytest.mark.parametrize("fault", [_parameter(fault) for fault in FAULTS])
def test_no_packet_is_lost_or_stored_twice(
    fault: Fault,
    full: bool,
    broker: BrokerName,
    new_database: Callable[..., str],
    template: str,
    rows: list[Row],
) -> None:
    fault = fault.of(broker)
    if missing := fault.needs():
        assert not os.environ.get("CI"), f"CI must have it: {missing}"
        pytest.skip(missing)
    with ExitStack() as around:
        world, cause = fault.scene(fault, full, lambda: Database(new_database(template)), around)
        world.start()
        cause()
        world.stop()
        verdict = world.count()
        rows.append(Row.of(fault.name, world, verdict, fault.limit))
        assert verdict.is_proven, f"{verdict}\n{verdict.faults}\n{world.say()}"
        assert verdict.sent > 0
        assert world.recovered_in < _PATIENCE * fault.limit
        assert world.peak_rss < _MOST_MEGABYTES
