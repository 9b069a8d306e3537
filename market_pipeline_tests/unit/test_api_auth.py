"""API keys: how they are set, what they open, how often."""

import pytest
from pydantic import SecretStr

from market_pipeline.api import auth
from market_pipeline.api.auth import ANYBODY, Bucket, Keys, Scope
from market_pipeline.api.errors import KeyMissing, KeyUnknown, ScopeMissing, TooManyRequests
from market_pipeline.config import Settings
from market_pipeline.errors import ConfigurationError

READ, CONTROL = "r" * 32, "c" * 32


def keys(text: str, rate: float = 50.0) -> Keys:
    return Keys.of(Settings(_env_file=None, api_keys=SecretStr(text), api_rate_limit=rate))


@pytest.fixture
def both() -> Keys:
    return keys(f"charts:read:{READ}, desk:control:{CONTROL}")


def test_without_keys_anybody_may_do_anything() -> None:
    assert not keys("")
    assert keys("").check(None, Scope.CONTROL) == ANYBODY


def test_a_key_is_known_by_its_name(both: Keys) -> None:
    assert both
    assert both.check(READ, Scope.READ) == "charts"


def test_who_controls_may_read(both: Keys) -> None:
    assert both.check(CONTROL, Scope.READ) == both.check(CONTROL, Scope.CONTROL) == "desk"


def test_who_reads_may_not_control_and_is_told_which_key_it_was(both: Keys) -> None:
    with pytest.raises(ScopeMissing, match="charts may read only"):
        both.check(READ, Scope.CONTROL)


@pytest.mark.parametrize("presented", [None, ""])
def test_no_key_is_refused(both: Keys, presented: str | None) -> None:
    with pytest.raises(KeyMissing, match="X-API-Key"):
        both.check(presented, Scope.READ)


@pytest.mark.parametrize("presented", [READ[:-1], READ + "r", READ.upper(), "ключ" * 8])
def test_a_key_that_is_not_quite_right_is_refused(both: Keys, presented: str) -> None:
    with pytest.raises(KeyUnknown, match="API_KEYS"):
        both.check(presented, Scope.READ)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (READ, "entry 1 is not"),
        (f"a:read:{READ},b", "entry 2 is not"),
        (f"a b:read:{READ}", "entry 1 is not"),
        (f"a:write:{READ}", "that of a is neither"),
        ("a:read:short", "shorter than 24"),
        (f"a:read:{READ},a:read:{CONTROL}", "same name twice"),
        (f"a:read:{READ},b:control:{READ}", "same key twice"),
    ],
)
def test_keys_in_another_form_are_refused_without_showing_them(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        keys(text)
    assert "API_KEYS" in str(caught.value)
    assert READ not in str(caught.value)


def test_a_key_may_hold_colons() -> None:
    assert keys(f"a:read:{READ}:more").check(f"{READ}:more", Scope.READ) == "a"


def test_a_new_key_is_long_enough_and_another_each_time() -> None:
    made = {auth.new_key() for _ in range(10)}
    assert len(made) == 10
    assert all(keys(f"a:read:{key}").check(key, Scope.READ) for key in made)


def test_a_bucket_gives_a_burst_and_then_as_much_as_flows_in() -> None:
    bucket = Bucket(rate=10.0)
    assert [bucket.take(100.0) for _ in range(20)] == [0.0] * 20
    assert bucket.take(100.0) == pytest.approx(0.1)
    assert bucket.take(100.2) == 0.0
    assert bucket.take(100.2) == pytest.approx(0.0, abs=1e-9)
    assert bucket.take(100.2) == pytest.approx(0.1)


def test_a_bucket_never_holds_more_than_its_size() -> None:
    bucket = Bucket(rate=1.0)
    bucket.take(0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [0.0, 0.0, pytest.approx(1.0)]


def test_who_asks_too_often_is_told_when_to_ask_again() -> None:
    some = keys(f"a:read:{READ},b:read:{CONTROL}", rate=0.1)
    name, other = some.check(READ, Scope.READ), some.check(CONTROL, Scope.READ)
    assert some.spend(name)["RateLimit-Remaining"] == "0"
    with pytest.raises(TooManyRequests, match="key a has made more than 0.1") as caught:
        some.spend(name)
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 10
    assert some.spend(other)["RateLimit-Limit"] == "1"
