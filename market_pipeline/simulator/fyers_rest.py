"""Fyers' REST interface: login, profile, candles, quotes, depth, tokens and symbol masters."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import numpy as np
from aiohttp import web

from market_pipeline.market import Columns
from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator import fyers_history
from market_pipeline.simulator.exchange import epoch
from market_pipeline.simulator.faults import HistoryFaults
from market_pipeline.simulator.fyers_accounts import Accounts, Budgets, Refused
from market_pipeline.simulator.fyers_faults import FyersFaults
from market_pipeline.simulator.fyers_history import Span
from market_pipeline.simulator.fyers_quotes import depth, no_quote, quote
from market_pipeline.simulator.fyers_symbols import MARKETS, World
from market_pipeline.simulator.server import bad_gateway

MASTERS = ("NSE_CM", "NSE_FO", "NSE_CD", "NSE_COM", "BSE_CM", "BSE_FO", "MCX_COM")
_MOST_QUOTES = 50
_MOST_SYMBOLS = 500  # of a request for tokens


class Rest:
    """The routes. What they answer comes from the exchange as of the clock's second.

    Candles are `settle_seconds` behind, as those of the simulated Kite are.
    """

    def __init__(
        self,
        world: World,
        accounts: Accounts,
        budgets: Budgets,
        faults: FyersFaults,
        settle_seconds: int,
    ) -> None:
        self._world = world
        self._accounts = accounts
        self._budgets = budgets
        self._faults = faults
        self._settle_seconds = settle_seconds
        self._masters: dict[tuple[str, object], str] = {}

    def routes(self) -> list[web.RouteDef]:
        """List what this interface answers."""
        return [
            web.get("/api/v3/generate-authcode", self._login_page),
            web.post("/api/v3/validate-authcode", self._new_token),
            web.get("/api/v3/profile", self._profile),
            web.get("/data/history", self._history),
            web.get("/data/quotes", self._quotes),
            web.get("/data/depth", self._depth),
            web.get("/data/marketStatus", self._market_status),
            web.post("/data/symbol-token", self._symbol_token),
            web.get("/sym_details/index_hsm_mapping.json", self._index_mapping),
            web.get("/sym_details/{name}.csv", self._master),
        ]

    async def _login_page(self, request: web.Request) -> web.StreamResponse:
        """Log the user in at once; Fyers' page would ask for a password first."""
        code = self._accounts.new_code(request.query.get("client_id", ""))
        answer = {"s": "ok", "code": 200, "auth_code": code, "state": request.query.get("state")}
        target = request.query.get("redirect_uri") or "http://127.0.0.1/"
        separator = "&" if "?" in target else "?"
        raise web.HTTPFound(f"{target}{separator}{urlencode(answer)}")

    async def _new_token(self, request: web.Request) -> web.StreamResponse:
        self._budgets.spend("login")
        form = await _json(request)
        if form.get("grant_type") != "authorization_code":
            raise Refused(400, -50, "Invalid input: grant_type")
        token = self._accounts.exchange(str(form.get("code")), str(form.get("appIdHash")))
        return success(access_token=token, refresh_token="")

    async def _profile(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request, "profile")
        return success(data=_PROFILE)

    async def _history(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request, "history")
        faults = self._faults.history
        await asyncio.sleep(faults.seconds)
        if faults.failures > 0:
            faults.failures -= 1
            return _history_failure(faults)
        span = fyers_history.span(request.query)
        row = self._listed(span.ticker)
        # Months of candles take long enough to delay the ticks of everyone else.
        text = await asyncio.to_thread(self._candles, row, span)
        if faults.corrupt > 0:
            faults.corrupt -= 1
            text = text[: len(text) // 2]
        else:
            token = self._world.symbols.rows[row].token
            names = ("resolution", "range_from", "range_to")
            resolution, start, end = (request.query[name] for name in names)
            self._budgets.requests.history[token, resolution, start, end] += 1
        return web.Response(text=text, content_type="application/json")

    def _candles(self, row: int, span: Span) -> str:
        exchange, clock, symbols = self._world
        at = clock.now() - (0 if clock.finished else self._settle_seconds)
        if symbols.rows[row].token in self._faults.history.empty_tokens:
            at = 0  # before anything was listed
        token = int(exchange.listing.token[row])
        candles = exchange.candles(token, span.minutes, span.start, span.end, at)
        return fyers_history.body(candles, span.minutes, span.with_interest)

    async def _quotes(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request, "quotes")
        tickers = list(dict.fromkeys(request.query.get("symbols", "").split(",")))
        if len(tickers) > _MOST_QUOTES:
            raise Refused(400, -50, f"Invalid input: at most {_MOST_QUOTES} symbols")
        symbols = self._world.symbols
        rows = [symbols.row_by_ticker[t] for t in tickers if t in symbols.row_by_ticker]
        packets = self._packets(rows)
        listed = {
            symbols.rows[row].ticker: quote(symbols.rows[row], packets, at)
            for at, row in enumerate(rows)
        }
        return success(d=[listed.get(ticker) or no_quote(ticker) for ticker in tickers])

    async def _depth(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request, "depth")
        ticker = request.query.get("symbol", "")
        row = self._listed(ticker)
        security = self._world.exchange.listing.securities[row]
        with_day = request.query.get("ohlcv_flag") == "1"
        return success(d={ticker: depth(security, self._packets([row]), 0, with_day)})

    async def _market_status(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request, "marketStatus")
        exchange, now = self._world.exchange, self._world.clock.now()
        states = []
        for venue in exchange.listing.venues:
            if venue in MARKETS:
                is_open = now < epoch(exchange.session_by(venue, now), "closes")
                code = MARKETS[venue].code
                states.append(
                    {
                        "exchange": int(code[:2]),
                        "segment": int(code[2:]),
                        "market_type": "NORMAL",
                        "status": "OPEN" if is_open else "CLOSED",
                    }
                )
        return success(marketStatus=states)

    async def _symbol_token(self, request: web.Request) -> web.StreamResponse:
        """Answer what the SDK asks before it subscribes, with its token alone as authorisation."""
        if self._faults.symbol_token_status is not None:
            response = bad_gateway()
            response.set_status(self._faults.symbol_token_status)
            return response
        self._authorise(request, "symbol-token")
        tickers = (await _json(request)).get("symbols")
        if not isinstance(tickers, list) or len(tickers) > _MOST_SYMBOLS:
            raise Refused(400, -50, f"Invalid input: at most {_MOST_SYMBOLS} symbols")
        symbols = self._world.symbols
        rows = {str(t): symbols.row_by_ticker.get(str(t)) for t in tickers}
        valid = {t: symbols.rows[row].fy_token for t, row in rows.items() if row is not None}
        return success(validSymbol=valid, invalidSymbol=[t for t in rows if t not in valid])

    async def _index_mapping(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._world.symbols.index_mapping())

    async def _master(self, request: web.Request) -> web.StreamResponse:
        """Answer anyone, without counting: the masters stand on a public host."""
        name = request.match_info["name"]
        if name not in MASTERS:
            raise web.HTTPNotFound
        today = datetime.fromtimestamp(self._world.clock.now(), EXCHANGE_TZ).date()
        if (name, today) not in self._masters:
            self._masters[name, today] = self._world.symbols.master(name, today)
        response = web.Response(text=self._masters[name, today], content_type="text/csv")
        response.enable_compression()
        return response

    def _listed(self, ticker: str) -> int:
        row = self._world.symbols.row_by_ticker.get(ticker)
        if row is None:
            raise Refused(400, -300, "Invalid symbol provided")
        return row

    def _packets(self, rows: list[int]) -> Columns:
        exchange = self._world.exchange
        prints = exchange.prints(np.array(rows, np.int64), self._world.clock.now())
        return exchange.packets(prints)

    def _authorise(self, request: web.Request, kind: str) -> None:
        app_id, _, token = request.headers.get("Authorization", "").rpartition(":")
        if app_id not in ("", self._accounts.app_id):
            raise Refused(401, -352, "Invalid app id")
        self._accounts.check(token)
        self._budgets.spend(kind)


def success(**content: object) -> web.Response:
    """Wrap an answer as Fyers does."""
    return web.json_response({"s": "ok", "code": 200, "message": "", **content})


def failure(error: Refused) -> web.Response:
    """Wrap an error as Fyers does."""
    body = {"s": "error", "code": error.code, "message": str(error)}
    return web.json_response(body, status=error.status, headers=error.headers)


def _history_failure(faults: HistoryFaults) -> web.Response:
    status = faults.failure_status
    if status is None:
        return web.Response()  # aiohttp gives an empty answer no content type
    if status == 500:
        return failure(Refused(500, -500, "Something went wrong"))
    response = bad_gateway()
    response.set_status(status)
    return response


async def _json(request: web.Request) -> Mapping[str, Any]:
    try:
        content = await request.json()
    except ValueError as error:
        raise Refused(400, -50, "Invalid input: not JSON") from error
    if not isinstance(content, dict):
        raise Refused(400, -50, "Invalid input: not an object")
    return content


_PROFILE = {
    "fy_id": "SIM001",
    "name": "Simulated User",
    "display_name": "Simulated",
    "email_id": "simulator@example.com",
    "PAN": "",
    "image": "",
    "pin_change_date": "",
    "pwd_change_date": "",
    "mobile_number": "",
    "totp": True,
    "pwd_to_expire": 90,
    "ddpi_enabled": False,
    "mtf_enabled": False,
}
