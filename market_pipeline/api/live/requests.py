"""What clients may ask for over the WebSocket."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from market_pipeline.api.asked import Name
from market_pipeline.api.errors import NotAsked
from market_pipeline.api.live.subscriber import MOST_INSTRUMENTS
from market_pipeline.market import Mode

Number = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""As the database and JSON have room for it."""

Names = Annotated[list[Name | Number], Field(min_length=1, max_length=MOST_INSTRUMENTS)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Subscribe(_Request):
    """Send ticks of instruments; those that are subscribed take the new mode."""

    action: Literal["subscribe"]
    instruments: Names
    mode: Mode = Mode.LTP


class Unsubscribe(_Request):
    """Send no more ticks and no more candles of instruments."""

    action: Literal["unsubscribe"]
    instruments: Names


class Candles(_Request):
    """Send the candle that is being made, each time it changes."""

    action: Literal["candles"]
    instruments: Names
    interval: Literal["1m"] = "1m"


class Resume(_Request):
    """Before anything is subscribed: begin what is subscribed first behind what was seen before."""

    action: Literal["resume"]
    seq: dict[str, Number]


Request = Subscribe | Unsubscribe | Candles | Resume
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="action")])


def read(text: str) -> Request:
    """Read a request.

    Raises:
        NotAsked: it is none; says what is wrong where.
    """
    try:
        return _REQUEST.validate_json(text)
    except ValidationError as error:
        wrong = [
            f"{'.'.join(str(part) for part in each['loc']) or 'message'}: {each['msg']}"
            for each in error.errors(include_url=False)[:5]
        ]
        raise NotAsked(f"{'; '.join(wrong)}. README.md lists what may be asked for") from None
