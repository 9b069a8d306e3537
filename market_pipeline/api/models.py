"""What is answered, field by field; it is also what /docs shows."""

from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from market_pipeline.market import Mode

NextCursor = Annotated[
    str | None, Field(description="Send it as `cursor` for what follows; null: this is the end.")
]

_RELIANCE: dict[str, JsonValue] = {
    "instrument_id": 42,
    "token": 738561,
    "exchange": "NSE",
    "segment": "CM",
    "symbol": "RELIANCE",
    "name": "RELIANCE INDUSTRIES",
    "kind": "EQ",
    "underlying": None,
    "expiry": None,
    "strike": None,
    "lot_size": 1,
    "tick_size": 0.05,
    "is_subscribed": True,
}


class Listed(BaseModel):
    """What an instrument is called."""

    instrument_id: int = Field(description="Ours: one contract for ever.")
    token: int | None = Field(description="The active broker's; null if it is not offered now.")
    exchange: str
    segment: str
    symbol: str
    name: str
    kind: str = Field(description="EQ, INDEX, FUT, CE or PE.")
    underlying: str | None
    expiry: date | None


class Instrument(Listed):
    """An instrument."""

    model_config = ConfigDict(json_schema_extra={"example": _RELIANCE})

    strike: float | None
    lot_size: int | None
    tick_size: float | None
    is_subscribed: bool


class InstrumentPage(BaseModel):
    instruments: list[Instrument]
    next_cursor: NextCursor


class Found(Listed):
    """A search result."""

    strike: float | None
    lot_size: int | None
    tick_size: float | None
    rank: int = Field(description="0: is called so; rising; from 10 on options.")


class SearchResults(BaseModel):
    instruments: list[Found] = Field(description="The best first.")
    is_similar: bool = Field(description="Nothing is called so; words were taken for mistyped.")
    has_more: bool = Field(description="There are more than `limit`: say more, or use filters.")


class TokenOfBroker(BaseModel):
    broker: str
    token: int
    broker_symbol: str
    valid_from: date
    valid_to: date | None = Field(description="The first day on which it no longer held.")


class Version(BaseModel):
    """What an instrument was called and how it was traded for some time."""

    valid_from: date
    valid_to: date | None
    symbol: str
    name: str
    underlying: str | None
    lot_size: int | None
    tick_size: float | None


class LastTick(BaseModel):
    time: datetime
    last_price: float
    day_volume: int | None
    open_interest: int | None
    bid_price: float | None
    ask_price: float | None
    received_at: datetime


class InstrumentDetails(Instrument):
    listed_on: date
    delisted_on: date | None
    tokens: list[TokenOfBroker]
    history: list[Version]
    last_tick: LastTick | None = Field(description="Of the last five days.")


class Subscription(Listed):
    mode: Mode | None
    is_active: bool
    since: datetime | None


class Subscriptions(BaseModel):
    subscriptions: list[Subscription]


class SubscriptionPage(Subscriptions):
    next_cursor: NextCursor


class Coverage(BaseModel):
    """How many candles a liquid instrument has in the period, and how many there are."""

    expected: int | None = Field(description="Null: the calendar does not know all its days.")
    present: int
    note: str | None = None


_CANDLE: dict[str, JsonValue] = {
    "time": "2026-11-20T03:45:00Z",
    "open": 1415.4,
    "high": 1416.0,
    "low": 1415.0,
    "close": 1415.7,
    "volume": 594,
    "open_interest": None,
    "trades": 4,
    "state": "final",
    "has_gap": False,
}


class Candle(BaseModel):
    """A candle, of the length that was asked for."""

    model_config = ConfigDict(json_schema_extra={"example": _CANDLE})

    time: datetime = Field(description="When it begins.")
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    open_interest: int | None
    trades: int | None
    state: str = Field(description="provisional, final, repaired or backfilled.")
    has_gap: bool = Field(description="Packets may have been missed in it.")


class OfPeriod(BaseModel):
    """What an answer about a period says besides its rows."""

    model_config = ConfigDict(populate_by_name=True)

    instrument: Listed
    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to")
    assumed_zone: str | None = Field(description="The zone of times that came without one.")
    next_cursor: NextCursor


class CandlePage(OfPeriod):
    interval: str
    coverage: Coverage
    candles: list[Candle]


class Tick(BaseModel):
    """What a feed said of an instrument at one moment."""

    time: datetime = Field(description="Of the trade, or the exchange's stamp.")
    seq: int = Field(description="Orders ticks of one second; larger than JavaScript can count.")
    last_price: float
    last_quantity: int | None
    average_price: float | None
    day_volume: int | None
    volume: int | None = Field(description="Since the tick before; null where it is not known.")
    open_interest: int | None
    buy_quantity: int | None
    sell_quantity: int | None
    bid_price: float | None
    bid_quantity: int | None
    ask_price: float | None
    ask_quantity: int | None
    high: float
    low: float
    exchange_time: datetime | None
    received_at: datetime
    is_trade: bool
    broker: str | None = Field(description="Who sent it; null of what is older than that column.")


class TickPage(OfPeriod):
    ticks: list[Tick]
