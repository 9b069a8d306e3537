"""Access tokens on disk."""

import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import SecretStr

from market_pipeline.brokers.login import TokenStore, expires_at
from market_pipeline.errors import ConfigurationError

IST = timezone(timedelta(hours=5, minutes=30))
MORNING = datetime(2026, 11, 23, 8, 0, tzinfo=IST)
TOKEN = SecretStr("a-token")


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "tokens")


def test_a_saved_token_comes_back(store: TokenStore) -> None:
    store.save("kite", TOKEN, MORNING)
    assert store.current("kite", MORNING + timedelta(hours=1)) == TOKEN


def test_a_login_that_gives_the_same_token_again_is_noticed(store: TokenStore) -> None:
    assert store.last_login("kite") == 0
    store.save("kite", TOKEN, MORNING)
    first = store.last_login("kite")
    store.save("kite", TOKEN, MORNING)
    assert store.last_login("kite") > first > 0


def test_without_a_login_there_is_no_token(store: TokenStore) -> None:
    assert store.current("kite", MORNING) is None


def test_brokers_do_not_share_tokens(store: TokenStore) -> None:
    store.save("simulator", TOKEN, MORNING)
    assert store.current("kite", MORNING) is None


def test_a_later_login_replaces_the_token(store: TokenStore) -> None:
    store.save("kite", TOKEN, MORNING)
    store.save("kite", SecretStr("newer"), MORNING + timedelta(hours=1))
    assert store.current("kite", MORNING + timedelta(hours=2)) == SecretStr("newer")


@pytest.mark.parametrize(
    ("issued", "dies"),
    [
        pytest.param(MORNING, datetime(2026, 11, 24, 6, 0, tzinfo=IST), id="by day"),
        pytest.param(
            datetime(2026, 11, 23, 5, 59, tzinfo=IST),
            datetime(2026, 11, 23, 6, 0, tzinfo=IST),
            id="just before six",
        ),
        pytest.param(
            datetime(2026, 11, 23, 6, 0, tzinfo=IST),
            datetime(2026, 11, 24, 6, 0, tzinfo=IST),
            id="at six",
        ),
        pytest.param(
            datetime(2026, 11, 22, 20, 0, tzinfo=UTC),  # 01:30 of the 23rd in India
            datetime(2026, 11, 23, 6, 0, tzinfo=IST),
            id="after midnight, told in UTC",
        ),
    ],
)
def test_a_token_dies_at_the_next_six_oclock_in_india(issued: datetime, dies: datetime) -> None:
    assert expires_at(issued) == dies


def test_an_expired_token_is_not_given_out(store: TokenStore) -> None:
    store.save("kite", TOKEN, MORNING)
    six = datetime(2026, 11, 24, 6, 0, tzinfo=IST)
    assert store.current("kite", six - timedelta(seconds=1)) == TOKEN
    assert store.current("kite", six) is None


def test_only_the_owner_can_read_a_token(store: TokenStore, tmp_path: Path) -> None:
    store.save("kite", TOKEN, MORNING)
    assert stat.S_IMODE((tmp_path / "tokens").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "tokens/kite.json").stat().st_mode) == 0o600


def test_saving_leaves_no_other_file_behind(store: TokenStore, tmp_path: Path) -> None:
    store.save("kite", TOKEN, MORNING)
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == ["kite.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"access_token": "x", "issued_at": "?"}'])
def test_a_broken_file_is_named(store: TokenStore, tmp_path: Path, content: str) -> None:
    store.save("kite", TOKEN, MORNING)
    (tmp_path / "tokens/kite.json").write_text(content)
    with pytest.raises(ConfigurationError, match="tokens/kite.json cannot be read"):
        store.current("kite", MORNING)
