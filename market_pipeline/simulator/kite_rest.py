"""Kite's REST interface: login, profile, instruments, candles and quotes."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from aiohttp import web

from market_pipeline.market import Columns
from market_pipeline.sessions import EXCHANGE_TZ, to_ist
from market_pipeline.simulator.accounts import Accounts, Budgets, Refused, wrong_token
from market_pipeline.simulator.clock import RealClock, ReplayClock
from market_pipeline.simulator.exchange import DAY_MINUTES, Exchange
from market_pipeline.simulator.faults import Faults
from market_pipeline.simulator.kite_quotes import last_price, ohlc, quote
from market_pipeline.simulator.server import Handler, bad_gateway

# interval -> minutes of a candle, most days of a request
_INTERVALS = {
    "minute": (1, 60),
    "3minute": (3, 100),
    "5minute": (5, 100),
    "10minute": (10, 100),
    "15minute": (15, 200),
    "30minute": (30, 200),
    "60minute": (60, 400),
    "day": (DAY_MINUTES, 2000),
}


class _Span(NamedTuple):
    """Which candles are asked for; see Exchange.candles."""

    token: int
    minutes: int
    start: int
    end: int


class Rest:
    """The routes. What they answer comes from the exchange as of the clock's second.

    Candles are `settle_seconds` behind: like Kite's, a candle lacks its last trades for a while.
    """

    def __init__(
        self,
        exchange: Exchange,
        clock: RealClock | ReplayClock,
        accounts: Accounts,
        budgets: Budgets,
        faults: Faults,
        settle_seconds: int,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._accounts = accounts
        self._budgets = budgets
        self._faults = faults
        self._settle_seconds = settle_seconds
        self._dumps: dict[str | None, str] = {}

    def routes(self) -> list[web.RouteDef]:
        """List what this interface answers."""
        return [
            web.get("/connect/login", self._login_page),
            web.post("/session/token", self._new_session),
            web.delete("/session/token", self._end_session),
            web.get("/user/profile", self._profile),
            web.get("/instruments", self._instruments),
            web.get("/instruments/historical/{token}/{interval}", self._historical),
            web.get("/instruments/{exchange}", self._instruments),
            web.get("/quote", self._quotes(quote, 500)),
            web.get("/quote/ohlc", self._quotes(ohlc, 1000)),
            web.get("/quote/ltp", self._quotes(last_price, 1000)),
        ]

    async def _login_page(self, request: web.Request) -> web.StreamResponse:
        """Log the user in at once; Kite's page would ask for a password first."""
        token = self._accounts.new_request_token(request.query.get("api_key", ""))
        target = f"http://127.0.0.1/?action=login&status=success&request_token={token}"
        raise web.HTTPFound(target)

    async def _new_session(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        fields = [str(form.get(k, "")) for k in ("api_key", "request_token", "checksum")]
        api_key, request_token, checksum = fields
        self._budgets.spend(api_key, "other")
        access_token = self._accounts.exchange(api_key, request_token, checksum)
        login_time = datetime.now(EXCHANGE_TZ).strftime("%Y-%m-%d %H:%M:%S")
        session = {
            **_PROFILE,
            "api_key": api_key,
            "access_token": access_token,
            "public_token": "",
            "refresh_token": "",
            "enctoken": "",
            "login_time": login_time,
        }
        return success(session)

    async def _end_session(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request, "other")
        self._accounts.expire_tokens()
        return success(True)

    async def _profile(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request, "other")
        return success(_PROFILE)

    async def _instruments(self, request: web.Request) -> web.StreamResponse:
        """Answer anyone: Kite does not check who asks for the dump."""
        self._budgets.spend(_credentials(request)[0], "other")
        exchange = request.match_info.get("exchange")
        if exchange not in self._dumps:
            self._dumps[exchange] = self._exchange.listing.csv(exchange)
        response = web.Response(text=self._dumps[exchange], content_type="text/csv")
        response.enable_compression()
        return response

    async def _historical(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request, "historical")
        faults = self._faults.history
        await asyncio.sleep(faults.seconds)
        if faults.failures > 0:
            faults.failures -= 1
            return _history_failure(faults.failure_status)
        span = _span(request, self._exchange)
        with_interest = request.query.get("oi") == "1"
        # Months of candles take long enough to delay the ticks of everyone else.
        body = await asyncio.to_thread(self._candles, span, with_interest)
        if faults.corrupt > 0:
            faults.corrupt -= 1
            body = body[: len(body) // 2]
        else:
            edges = (request.query["from"], request.query["to"])
            self._budgets.requests.history[span.token, request.match_info["interval"], *edges] += 1
        return web.Response(text=body, content_type="application/json")

    def _candles(self, span: _Span, with_interest: bool) -> str:
        rows = ""
        if span.token not in self._faults.history.empty_tokens:
            behind = 0 if self._clock.finished else self._settle_seconds
            candles = self._exchange.candles(*span, self._clock.now() - behind)
            rows = _candle_rows(candles, with_interest)
        return f'{{"status":"success","data":{{"candles":[{rows}]}}}}'

    def _quotes(self, describe: Callable[[Columns, int], dict[str, Any]], most: int) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            self._authorise(request, "quote")
            names = list(dict.fromkeys(request.query.getall("i", [])))
            if len(names) > most:
                raise _bad_request(f"maximum {most} instruments are allowed")
            rows = {name: self._row(name) for name in names}
            listed = {name: row for name, row in rows.items() if row is not None}
            wanted = np.array(list(listed.values()), np.int64)
            prints = self._exchange.prints(wanted, self._clock.now())
            packets = self._exchange.packets(prints)
            return success({name: describe(packets, i) for i, name in enumerate(listed)})

        return answer

    def _row(self, name: str) -> int | None:
        """Find what is called EXCHANGE:SYMBOL or by its token, as Kite takes either."""
        listing = self._exchange.listing
        token = int(name) if name.isdecimal() else 0
        return listing.row_by_name.get(name, listing.row_by_token.get(token))

    def _authorise(self, request: web.Request, kind: str) -> None:
        api_key, access_token = _credentials(request)
        if not self._accounts.is_valid(api_key, access_token):
            raise wrong_token()
        self._budgets.spend(api_key, kind)


def success(content: object) -> web.Response:
    """Wrap an answer as Kite does."""
    return web.json_response({"status": "success", "data": content})


def failure(error: Refused) -> web.Response:
    """Wrap an error as Kite does."""
    body = {"status": "error", "message": str(error), "error_type": error.error_type}
    return web.json_response(body, status=error.status, headers=error.headers)


def _history_failure(status: int | None) -> web.Response:
    if status is None:
        return web.Response()  # aiohttp gives an empty answer no content type
    if status == 500:
        return failure(Refused(500, "GeneralException", "Something went wrong"))
    response = bad_gateway()
    response.set_status(status)
    return response


def _credentials(request: web.Request) -> tuple[str, str]:
    scheme, _, both = request.headers.get("Authorization", "").partition(" ")
    api_key, _, access_token = both.partition(":")
    return (api_key, access_token) if scheme.lower() == "token" else ("", "")


def _bad_request(message: str) -> Refused:
    return Refused(400, "InputException", message)


def _listed_token(text: str, exchange: Exchange) -> int:
    if not text.isdecimal() or int(text) not in exchange.listing.row_by_token:
        raise _bad_request("invalid token")
    return int(text)


def _interval(name: str) -> tuple[int, int]:
    if name not in _INTERVALS:
        raise _bad_request("invalid interval")
    return _INTERVALS[name]


def _span(request: web.Request, exchange: Exchange) -> _Span:
    token = _listed_token(request.match_info["token"], exchange)
    length, most_days = _interval(request.match_info["interval"])
    start, end = (_instant(request.query.get(name, "")) for name in ("from", "to"))
    if end - start > timedelta(days=most_days):
        raise _bad_request(f"interval exceeds max limit: {most_days} days")
    if length == DAY_MINUTES:  # a day's candle is stamped midnight: both days are meant whole
        start = start.replace(hour=0, minute=0, second=0)
        end = end.replace(hour=23, minute=59, second=59)
    return _Span(token, length, int(start.timestamp()), int(end.timestamp()))


def _instant(text: str) -> datetime:
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d"):
        try:
            return to_ist(datetime.strptime(text, form))  # noqa: DTZ007
        except ValueError:
            continue
    raise _bad_request("invalid from or to date: use yyyy-mm-dd hh:mm:ss")


def _candle_rows(candles: Columns, with_interest: bool) -> str:
    """Write candles as JSON. Polars does it, which keeps no other thread waiting meanwhile."""
    stamp = pl.from_epoch("time", "s").dt.replace_time_zone("UTC")
    columns = ["open", "high", "low", "close", "volume", *["open_interest"] * with_interest]
    row = pl.format(
        f'["{{}}",{",".join(["{}"] * len(columns))}]',
        stamp.dt.convert_time_zone(EXCHANGE_TZ.key).dt.strftime("%Y-%m-%dT%H:%M:%S%z"),
        *columns,
    )
    rows: str = pl.DataFrame(candles).select(row.str.join(",")).item()
    return rows


_PROFILE: dict[str, object] = {
    "user_id": "SIM001",
    "user_type": "individual",
    "email": "simulator@example.com",
    "user_name": "Simulated User",
    "user_shortname": "Simulated",
    "broker": "ZERODHA",
    "exchanges": ["NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX"],
    "products": ["CNC", "NRML", "MIS"],
    "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
    "avatar_url": None,
    "meta": {"demat_consent": "empty"},
}
