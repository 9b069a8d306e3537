"""The programs of the stack, as they are described before they are started."""

import pytest

from market_pipeline import services


@pytest.mark.parametrize(
    ("always_open", "option"), [(True, "--always-open"), (False, "--exchange-hours")]
)
def test_the_simulated_exchange_keeps_the_hours_it_is_told(always_open: bool, option: str) -> None:
    command = services.simulator("http://127.0.0.1:7611", always_open).command
    assert option in command
    assert command[-4:] == ("--host", "127.0.0.1", "--port", "7611")
