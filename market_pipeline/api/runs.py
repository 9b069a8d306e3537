"""Endpoints that start work in Dagster, and tell how it goes."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic import BaseModel as Model
from starlette.concurrency import run_in_threadpool

from market_pipeline.api import auth
from market_pipeline.api.asked import Day, Name
from market_pipeline.api.auth import Scope
from market_pipeline.api.context import Works
from market_pipeline.api.errors import responses
from market_pipeline.market import Interval
from market_pipeline.sessions import trading_date
from market_pipeline.storage import instruments

_MOST_NAMED = 5000

router = APIRouter()
_read = [Depends(auth.require(Scope.READ))]
_control = [Depends(auth.require(Scope.CONTROL))]


class Launched(Model):
    """A run that was started."""

    run_id: str
    status_url: str = Field(examples=["/api/runs/3b5c9c5e-1f0e-4c53-9b26-0c4b3f6a1f55"])
    dagster_url: str = Field(description="The run in Dagster's own pages.")


class RunStatus(Model):
    """What became of a run."""

    run_id: str
    job: str = Field(examples=["history_backfill"])
    status: str = Field(examples=["QUEUED", "STARTED", "SUCCESS", "FAILURE", "CANCELED"])
    is_finished: bool
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    error: str | None = Field(description="What went wrong, of a run that failed.")


def _length(text: str) -> str:
    return Interval.read(text).name


class BackfillOrder(Model):
    """Whose candles to fetch from the broker, of which trading days and which length."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "names": ["NSE:RELIANCE"],
                "from": "2026-11-02",
                "to": "2026-11-20",
                "interval": "1m",
            }
        },
    )

    names: list[Name] = Field(
        [],
        max_length=_MOST_NAMED,
        description="EXCHANGE:SYMBOL, a symbol, or id:42. Without names, tokens and underlyings: "
        "what is subscribed.",
    )
    tokens: list[Annotated[int, Field(ge=0, le=2**63 - 1)]] = Field([], max_length=_MOST_NAMED)
    underlyings: list[Name] = Field([], max_length=100, description="All contracts of each.")
    first: Day = Field(alias="from", description="The first trading day.")
    last: Day | None = Field(None, alias="to", description="The last; today by default.")
    interval: Annotated[
        str, Field(pattern=r"^\s*[0-9]{1,4}[mhdMHD]\s*$"), AfterValidator(_length)
    ] = "1m"
    again: bool = Field(False, description="Fetch also what was fetched before.")

    @model_validator(mode="after")
    def _is_in_order(self) -> "BackfillOrder":
        last = self.last or trading_date(datetime.now(UTC))
        if self.first > last:
            raise ValueError(f"from {self.first} is later than to {last}")
        return self


@router.post("/api/instruments/sync", tags=["instruments"], status_code=202,
             dependencies=_control, response_model=Launched)  # fmt: skip
async def sync_instruments(works: Works, answered: Response) -> dict[str, str]:
    """Bring the instruments in line with the broker's master of today, in a run of Dagster's."""
    run_id = await works.dagster.launch("instrument_sync")
    return _launched(works.dagster.url, run_id, answered)


@router.post("/api/historical/backfill", tags=["historical"], status_code=202,
             dependencies=_control, response_model=Launched,
             responses=responses(404))  # fmt: skip
async def backfill(works: Works, order: BackfillOrder, answered: Response) -> dict[str, str]:
    """Fetch candles from the broker in a run of Dagster's; what was fetched is not asked again."""
    names = [*map(str, order.tokens), *order.names]
    if names:  # an unknown one is better told of now
        await run_in_threadpool(instruments.resolve, works.database, works.broker, names)
    last = order.last or trading_date(datetime.now(UTC))
    config = {
        "first": order.first.isoformat(),
        "last": last.isoformat(),
        "interval": order.interval,
        "instruments": names,
        "underlyings": order.underlyings,
        "again": order.again,
    }
    run_id = await works.dagster.launch(
        "history_backfill", {"ops": {"fetch_history": {"config": config}}}
    )
    return _launched(works.dagster.url, run_id, answered)


@router.get("/api/runs/{run_id}", tags=["runs"], dependencies=_read, response_model=RunStatus,
            responses=responses(404))  # fmt: skip
async def show_run(
    works: Works,
    run_id: Annotated[str, Path(pattern=r"^[0-9a-fA-F-]{36}$")],
) -> dict[str, Any]:
    """Tell how a run goes, and of one that failed why."""
    run = await works.dagster.run(run_id)
    is_finished = run.status in ("SUCCESS", "FAILURE", "CANCELED")
    return run._asdict() | {"is_finished": is_finished}


def _launched(dagster_url: str, run_id: str, answered: Response) -> dict[str, str]:
    status_url = f"/api/runs/{run_id}"
    answered.headers["Location"] = status_url
    return {
        "run_id": run_id,
        "status_url": status_url,
        "dagster_url": f"{dagster_url}/runs/{run_id}",
    }
