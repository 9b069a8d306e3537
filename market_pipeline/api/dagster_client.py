"""Dagster, asked through its web server's GraphQL: start a run, see how it goes, who lives."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx

from market_pipeline.api.errors import DagsterUnavailable, NotAsked, NotFound
from market_pipeline.errors import ConfigurationError

LOCATION = "market_pipeline"
"""The code location's name in services.py, pyproject.toml and workspace.yaml."""

_REPOSITORY = "__repository__"
_SECONDS = 10.0
_PAGE = 1000  # events of a run, at most three times
_PAGES = 3

_LAUNCH = """
mutation Launch($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PipelineNotFoundError { message }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
    ... on InvalidSubsetError { message }
  }
}
"""

_RUN = """
query Run($id: ID!) {
  runOrError(runId: $id) {
    __typename
    ... on Run { runId jobName status creationTime startTime endTime }
    ... on PythonError { message }
  }
}
"""

_EVENTS = """
query Events($id: ID!, $after: String, $limit: Int!) {
  logsForRun(runId: $id, afterCursor: $after, limit: $limit) {
    ... on EventConnection {
      cursor hasMore
      events {
        ... on ExecutionStepFailureEvent { error { message causes { message } } }
        ... on RunFailureEvent { message error { message causes { message } } }
      }
    }
  }
}
"""

_DAEMONS = """
query Daemons {
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
}
"""


class Run(NamedTuple):
    """A run as Dagster has it: times in UTC, null where it is not so far."""

    run_id: str
    job: str
    status: str
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    error: str | None


class DagsterClient:
    """One Dagster web server. Each call is a request of its own: they are few."""

    def __init__(self, url: str) -> None:
        """Take its address, with a user and a password if there are any; `url` is without them.

        Raises:
            ConfigurationError: it is none.
        """
        try:
            given = httpx.URL(url.rstrip("/"))
        except httpx.InvalidURL:
            raise ConfigurationError("DAGSTER_URL is no address: correct it") from None
        self._auth = (given.username, given.password) if given.userinfo else None
        self.url = str(given.copy_with(userinfo=b""))

    async def launch(self, job: str, config: dict[str, Any] | None = None) -> str:
        """Start a run and return its id.

        Raises:
            DagsterUnavailable: no answer, or it has no such job: another version runs there.
            NotAsked: the configuration is refused.
        """
        parameters = {
            "selector": {
                "repositoryLocationName": LOCATION,
                "repositoryName": _REPOSITORY,
                "jobName": job,
            },
            "runConfigData": config or {},
            "executionMetadata": {"tags": [{"key": "market/launched_by", "value": "api"}]},
        }
        result = (await self._ask(_LAUNCH, parameters=parameters))["launchRun"]
        match result["__typename"]:
            case "LaunchRunSuccess":
                return str(result["run"]["runId"])
            case "RunConfigValidationInvalid":
                raise NotAsked("; ".join(each["message"] for each in result["errors"]))
        message = result.get("message", result["__typename"])
        raise DagsterUnavailable(f"Dagster did not start {job}: {message}")

    async def run(self, run_id: str) -> Run:
        """Return a run.

        Raises:
            NotFound: Dagster knows none of that id.
            DagsterUnavailable: no answer.
        """
        found = (await self._ask(_RUN, id=run_id))["runOrError"]
        if found["__typename"] == "PythonError":
            raise DagsterUnavailable(f"Dagster cannot read run {run_id}: {found['message']}")
        if found["__typename"] != "Run":
            raise NotFound(f"Dagster knows no run {run_id}: see {self.url}/runs")
        status = str(found["status"])
        return Run(
            run_id=found["runId"],
            job=found["jobName"],
            status=status,
            created_at=_time(found["creationTime"]),
            started_at=_time(found["startTime"]),
            ended_at=_time(found["endTime"]),
            error=await self._error(run_id) if status == "FAILURE" else None,
        )

    async def unhealthy_daemons(self) -> list[str]:
        """Return the daemons that are needed and do not live.

        Raises:
            DagsterUnavailable: no answer.
        """
        instance = (await self._ask(_DAEMONS))["instance"]
        found = instance["daemonHealth"]["allDaemonStatuses"]
        return [str(d["daemonType"]) for d in found if d["required"] and not d["healthy"]]

    async def _error(self, run_id: str) -> str | None:
        """Return the innermost message of the first failure among a run's events."""
        after = None
        for _ in range(_PAGES):
            page = (await self._ask(_EVENTS, id=run_id, after=after, limit=_PAGE))["logsForRun"]
            for event in page.get("events", []):
                if error := event.get("error"):
                    causes = [error, *error.get("causes", [])]
                    return str(causes[-1]["message"]).strip()
                if event.get("message"):
                    return str(event["message"])
            if not page.get("hasMore"):
                break
            after = page["cursor"]
        return None

    async def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        try:
            async with httpx.AsyncClient(
                auth=self._auth, timeout=_SECONDS, trust_env=False
            ) as client:
                reply = await client.post(f"{self.url}/graphql", json=body)
                content = reply.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise DagsterUnavailable(
                f"Dagster does not answer at {self.url} ({type(error).__name__}): start it with "
                "`market-pipeline up`, or correct DAGSTER_URL",
                {"Retry-After": "10"},
            ) from error
        if "errors" in content:
            raise DagsterUnavailable(
                f"Dagster refused to answer: {content['errors'][0]['message']}"
            )
        data: dict[str, Any] = content["data"]
        return data


def _time(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
