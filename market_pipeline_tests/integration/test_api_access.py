"""Who may use the API, from where and how often; and what it says to everybody else."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from market_pipeline.api.app import create_app
from market_pipeline.api.guard import MOST_BYTES
from market_pipeline.errors import ConfigurationError
from market_pipeline.storage.database import Database
from market_pipeline_tests.api_cases import (
    CONTROL_KEY,
    KEYS,
    READ_KEY,
    problem,
    serving,
    settings_of,
)

pytestmark = [pytest.mark.needs_real_server]

PAGE = "https://charts.example.com"
NOWHERE = Database("postgresql://nobody@127.0.0.1:1/nothing")
STATUS, STOP = "/api/ws/status", "/api/ws/stop"


@pytest.fixture
def guarded(database: Database, tmp_path: Path) -> Iterator[httpx.Client]:
    with serving(settings_of(database, tmp_path, api_keys=KEYS)) as client:
        yield client


@pytest.fixture
def unguarded(database: Database, tmp_path: Path) -> Iterator[httpx.Client]:
    with serving(settings_of(database, tmp_path)) as client:
        yield client


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": READ_KEY}, {"Authorization": f"Bearer {READ_KEY}"}]
)
def test_a_key_is_sent_in_either_header(guarded: httpx.Client, headers: dict[str, str]) -> None:
    assert guarded.get(STATUS, headers=headers).status_code == 200


def test_without_a_key_one_is_told_how_to_send_it(guarded: httpx.Client) -> None:
    reply = guarded.get(STATUS)
    assert "X-API-Key" in problem(reply, 401, "key-missing")["detail"]
    assert reply.headers["WWW-Authenticate"] == "Bearer"


def test_an_unknown_key_is_refused(guarded: httpx.Client) -> None:
    problem(guarded.get(STATUS, headers={"X-API-Key": "x" * 32}), 401, "key-unknown")


def test_a_key_to_read_controls_nothing(guarded: httpx.Client) -> None:
    reply = guarded.post(STOP, headers={"X-API-Key": READ_KEY})
    assert "charts" in problem(reply, 403, "scope-missing")["detail"]
    assert guarded.get(STATUS, headers={"X-API-Key": READ_KEY}).json()["is_streaming"]
    assert guarded.post(STOP, headers={"X-API-Key": CONTROL_KEY}).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json"])
def test_what_tells_nothing_needs_no_key(guarded: httpx.Client, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_with_keys_any_name_of_the_machine_is_answered(guarded: httpx.Client) -> None:
    headers = {"X-API-Key": READ_KEY, "Host": "market.example.com"}
    assert guarded.get(STATUS, headers=headers).status_code == 200


def test_too_many_requests_of_one_key_do_not_touch_another(
    database: Database, tmp_path: Path
) -> None:
    with serving(settings_of(database, tmp_path, api_keys=KEYS, api_rate_limit=1.0)) as client:
        replies = [client.get(STATUS, headers={"X-API-Key": READ_KEY}) for _ in range(4)]
        assert [reply.status_code for reply in replies][:2] == [200, 200]
        assert [reply.headers["RateLimit-Remaining"] for reply in replies][:2] == ["1", "0"]
        assert (
            "charts has made more than 1" in problem(replies[3], 429, "too-many-requests")["detail"]
        )
        assert replies[3].headers["Retry-After"] == "1"
        assert client.get(STATUS, headers={"X-API-Key": CONTROL_KEY}).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:8000", "[::1]:8000"])
def test_without_keys_names_of_this_machine_are_answered(
    unguarded: httpx.Client, host: str
) -> None:
    assert unguarded.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1.example.com", "10.0.0.1", "[x"])
def test_without_keys_other_names_are_refused(unguarded: httpx.Client, host: str) -> None:
    problem(unguarded.get("/health", headers={"Host": host}), 421, "host-refused")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.com"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_without_keys_a_page_of_another_site_changes_nothing(
    unguarded: httpx.Client, headers: dict[str, str]
) -> None:
    problem(unguarded.post(STOP, headers=headers), 403, "cross-site")
    assert unguarded.get(STATUS).json()["is_streaming"]


def test_without_keys_our_own_page_may_control(unguarded: httpx.Client) -> None:
    base = str(unguarded.base_url).rstrip("/")
    headers = {"Origin": base, "Sec-Fetch-Site": "same-origin"}
    assert unguarded.post(STOP, headers=headers).status_code == 200


def test_no_page_may_read_unless_it_is_named(database: Database, tmp_path: Path) -> None:
    asking = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
    with serving(settings_of(database, tmp_path)) as client:
        assert "access-control-allow-origin" not in client.options(STATUS, headers=asking).headers
    with serving(settings_of(database, tmp_path, api_cors_origins=f"{PAGE}, {PAGE}:1")) as client:
        reply = client.options(STATUS, headers=asking)
        assert reply.headers["access-control-allow-origin"] == PAGE
        assert client.post(STOP, headers={"Origin": PAGE}).status_code == 200
        other = asking | {"Origin": "https://evil.example.com"}
        assert client.options(STATUS, headers=other).status_code == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::"])
def test_without_keys_nothing_starts_beyond_this_machine(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match="new-key"):
        create_app(settings_of(NOWHERE, tmp_path, api_host=host))
    create_app(settings_of(NOWHERE, tmp_path, api_host=host, api_keys=KEYS))


def test_a_body_that_is_too_large_is_refused(guarded: httpx.Client) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(MOST_BYTES // 1000 + 1):
            yield b" " * 1000

    reply = guarded.post("/api/instruments/subscribe", content=body())
    assert "name fewer at a time" in problem(reply, 413, "body-too-large")["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/api/nothing", 404, "not-found"),
        ("DELETE", STATUS, 405, "method-not-allowed"),
        ("GET", "/api/instruments/", 404, "not-found"),
    ],
)
def test_every_error_is_a_problem(
    unguarded: httpx.Client, method: str, path: str, status: int, kind: str
) -> None:
    assert problem(unguarded.request(method, path), status, kind)["instance"] == path


def test_a_request_keeps_its_number_if_it_is_a_sane_one(unguarded: httpx.Client) -> None:
    given = unguarded.get("/health", headers={"X-Request-ID": "order-7.a_b"})
    assert given.headers["X-Request-ID"] == "order-7.a_b"
    for insane in ("a b", "x" * 65, "<script>"):
        made = unguarded.get("/health", headers={"X-Request-ID": insane})
        assert made.headers["X-Request-ID"] != insane
        assert len(made.headers["X-Request-ID"]) == 32
