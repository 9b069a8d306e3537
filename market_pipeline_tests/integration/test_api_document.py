"""The API does what its OpenAPI document says, whatever it is asked: nothing breaks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from market_pipeline.api.app import create_app
from market_pipeline.storage.database import Database
from market_pipeline_tests.api_cases import CONTROL_KEY, KEYS, READ_KEY, serving, settings_of
from market_pipeline_tests.api_cases import client as client
from market_pipeline_tests.api_cases import day as day
from market_pipeline_tests.history_days import Day

pytestmark = [pytest.mark.needs_real_server]

SEED = 20261120
EXAMPLES = 15
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]
NOWHERE = Database("postgresql://nobody@127.0.0.1:1/nothing")
DOCUMENT = create_app(settings_of(NOWHERE, Path("/nowhere"))).openapi()
OPERATIONS = [
    f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods
]
OPEN = {"GET /health", "GET /health/ready"}


@pytest.fixture(scope="module")
def guarded(day: Day) -> Iterator[httpx.Client]:
    """A client of an API with keys, which sends none."""
    home = day.settings.market_pipeline_home
    with serving(settings_of(day.database, home, api_keys=KEYS)) as client:
        yield client


def ask(
    client: httpx.Client, operation: str, headers: dict[str, str], *modes: GenerationMode
) -> set[int]:
    """Ask one operation this and that, right and wrong, and return the statuses of the answers."""
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    found = schema.find_operation_by_label(operation)
    assert found is not None
    statuses: set[int] = set()

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of([found.as_strategy(mode) for mode in modes or GenerationMode]))
    def asked(case: Case[Any]) -> None:
        response = case.call(base_url=str(client.base_url), headers=headers)
        assert response.status_code != 500, response.text
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    asked()
    return statuses


@pytest.mark.parametrize("operation", OPERATIONS)
def test_everybody_gets_what_the_document_says(client: httpx.Client, operation: str) -> None:
    assert not ask(client, operation, {}) & {401, 403}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_with_a_key_too(guarded: httpx.Client, operation: str) -> None:
    assert 401 not in ask(guarded, operation, {"X-API-Key": CONTROL_KEY})


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_a_key_nothing_is_told(guarded: httpx.Client, operation: str) -> None:
    statuses = ask(guarded, operation, {}, GenerationMode.POSITIVE)
    assert operation in OPEN or statuses == {401}


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.startswith("POST")])
def test_a_key_to_read_changes_nothing(guarded: httpx.Client, operation: str) -> None:
    headers = {"X-API-Key": READ_KEY}
    assert ask(guarded, operation, headers, GenerationMode.POSITIVE) == {403}


def test_the_document_asks_for_keys_where_there_are_any(
    client: httpx.Client, guarded: httpx.Client
) -> None:
    def asking(of: httpx.Client) -> set[str]:
        paths = of.get("/openapi.json").json()["paths"]
        return {
            f"{method.upper()} {path}"
            for path, methods in paths.items()
            for method, operation in methods.items()
            if operation.get("security")
        }

    assert asking(client) == set()
    assert asking(guarded) == set(OPERATIONS) - OPEN


def test_the_page_of_the_documentation_needs_no_other_server(client: httpx.Client) -> None:
    page = client.get("/docs").text
    assert "https://" not in page.replace("https://127.0.0.1", "")
    script = client.get("/static-offline-docs/swagger-ui-bundle.js")
    assert script.status_code == 200
    assert len(script.content) > 100_000
