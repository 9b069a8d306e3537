"""The endpoint of the watch list: what is subscribed, at which price and how far from yesterday."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from market_pipeline.api import auth, cursors
from market_pipeline.api.asked import Cursor
from market_pipeline.api.auth import Scope
from market_pipeline.api.context import Works
from market_pipeline.api.errors import responses
from market_pipeline.api.models import NextCursor

router = APIRouter(prefix="/api/watchlist", tags=["instruments"])


class Watched(BaseModel):
    """A subscribed instrument."""

    instrument_id: int
    exchange: str
    symbol: str
    name: str
    kind: str
    tick_size: float | None
    time: datetime | None = Field(description="Of its newest tick of the last five days.")
    last_price: float | None
    previous_close: float | None = Field(description="Of the last trading day before that tick.")
    is_stale: bool = Field(description="Nothing comes of it though its stream lives.")


class WatchList(BaseModel):
    instruments: list[Watched]
    next_cursor: NextCursor


@router.get("", dependencies=[Depends(auth.require(Scope.READ))], response_model=WatchList,
            responses=responses(400))  # fmt: skip
async def watch_list(
    works: Works, limit: Annotated[int, Query(ge=1, le=500)] = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """List what is subscribed with its last price and the close of the day before."""
    after = cursors.read(["watchlist"], cursor, 1)[0] if cursor else 0
    rows = await works.reader.rows("watch_list", after=after, rows=limit + 1)
    following = None
    if len(rows) > limit:
        following = cursors.write(["watchlist"], [rows[limit - 1]["instrument_id"]])
    return {"instruments": rows[:limit], "next_cursor": following}
