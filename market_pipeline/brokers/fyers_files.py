"""Fyers' public files: symbol masters and the names of indices. Fetched once a day, kept in memory.

They say what Fyers calls what we know by token: tickers for requests, topics for the data socket.
Nobody has to log in for them, and they count against no budget.
"""

import functools
import json
import logging
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from importlib import resources
from typing import Any

import httpx
import polars as pl

from market_pipeline.brokers import fyers_indices, fyers_master
from market_pipeline.brokers.fyers_wire import EXCHANGES
from market_pipeline.errors import BrokerError, BrokerUnavailable, RequestRefused, UnexpectedReply
from market_pipeline.market import INSTRUMENT_SCHEMA
from market_pipeline.sessions import to_ist

log = logging.getLogger(__name__)

ROOT = "https://public.fyers.in"

SEGMENTS = {
    "1010": "NSE_CM",
    "1011": "NSE_FO",
    "1012": "NSE_CD",
    "1020": "NSE_COM",
    "1120": "MCX_COM",
    "1210": "BSE_CM",
    "1211": "BSE_FO",
}
"""The masters there are, by Fyers' codes of exchange and segment: how a token begins."""

_WITH_INDICES = {"1010", "1120", "1210"}
_TIMEOUT = httpx.Timeout(20.0, connect=5.0)  # seconds to connect, and between two bytes


class PublicFiles:
    """The files at one address. Two threads that share it may at worst fetch one twice."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._kept: dict[str, tuple[date, dict[int, str]]] = {}
        self._names: tuple[date, Mapping[str, str]] | None = None

    def fetch(self) -> pl.DataFrame:
        """Fetch all masters afresh, with the columns of INSTRUMENT_SCHEMA.

        Raises:
            BrokerUnavailable: a master cannot be had; the message names it.
            UnexpectedReply: a master is none.
        """
        return pl.concat(self._fetch(segment) for segment in SEGMENTS)

    def ticker(self, token: int) -> str:
        """Return what Fyers calls a token today, as NSE:SBIN-EQ.

        Raises:
            RequestRefused: it is not listed.
            BrokerError: the master cannot be had.
        """
        tickers = self.tickers([token])
        if token not in tickers:
            raise RequestRefused(
                f"Fyers lists nothing with the token {token} today: run "
                "`market-pipeline instruments sync`"
            )
        return tickers[token]

    def tickers(self, tokens: Collection[int]) -> dict[int, str]:
        """Return what Fyers calls tokens today, each once, without those that are not listed.

        Raises:
            BrokerError: a master cannot be had.
        """
        codes = {token: str(token)[:4] for token in tokens}
        masters = {each: self._tickers(each) for each in set(codes.values()) & SEGMENTS.keys()}
        return {
            token: ticker
            for token, segment in codes.items()
            if (ticker := masters.get(segment, {}).get(token)) is not None
        }

    def topics(self, tokens: Collection[int]) -> set[str]:
        """Return what tokens are called on the data socket.

        A contract's topic says no more than its token; an index has a name there, which Fyers
        publishes. Where that cannot be had today, or the master comes without indices, the names
        that came with the SDK serve, and indices that nobody here knows are taken for contracts:
        of those nothing will come.
        """
        indices = {
            segment: self._index_tickers(segment)
            for segment in {str(token)[:4] for token in tokens} & _WITH_INDICES
        }
        return {self._topic(token, indices.get(str(token)[:4], {})) for token in tokens}

    def _topic(self, token: int, indices: Mapping[int, str]) -> str:
        codes, exchange_token = str(token)[:4], str(token)[4:]
        segment = _TOPIC_SEGMENTS.get(codes)
        if segment is None:
            raise RequestRefused(f"{token} is not a token of Fyers")
        ticker = indices.get(token)
        if ticker is None:
            return f"sf|{segment}|{exchange_token}"
        return f"if|{segment}|{_index_name(ticker, self._index_names())}"

    def _index_tickers(self, segment: str) -> Mapping[int, str]:
        known = _KNOWN_INDICES.get(segment, {})
        try:
            tickers = self._tickers(segment)
        except BrokerError as error:
            log.warning("only the best known indices are recognised: %s", error)
            return known
        listed = {token: name for token, name in tickers.items() if name.endswith("-INDEX")}
        if known and not listed:
            log.warning("%s lists no index: only the best known are recognised", SEGMENTS[segment])
        return listed or known

    def _index_names(self) -> Mapping[str, str]:
        today = _today()
        if self._names is None or self._names[0] != today:
            path = "/sym_details/index_hsm_mapping.json"
            try:
                names = json.loads(self._get(path, "the names of indices"))
            except (BrokerError, ValueError) as error:
                log.warning("names of indices are taken from the SDK: %s", error)
                names = _packaged_names()
            self._names = (today, names)
        return self._names[1]

    def _tickers(self, segment: str) -> dict[int, str]:
        kept = self._kept.get(segment)
        if kept is None or kept[0] != _today():
            return _tickers_of(self._fetch(segment))
        return kept[1]

    def _fetch(self, segment: str) -> pl.DataFrame:
        name = SEGMENTS[segment]
        csv = self._get(f"/sym_details/{name}.csv", f"the symbol master {name}")
        if csv.strip():
            try:
                master = fyers_master.parse_master(csv)
            except UnexpectedReply as error:
                raise UnexpectedReply(f"{name}: {error}") from None
        else:
            log.warning("the symbol master %s is empty", name)
            return pl.DataFrame(schema=INSTRUMENT_SCHEMA)  # not kept: it may come yet today
        self._kept[segment] = (_today(), _tickers_of(master))
        return master

    def _get(self, path: str, what: str) -> bytes:
        try:
            answer = httpx.get(f"{self._root}{path}", timeout=_TIMEOUT, follow_redirects=True)
        except httpx.HTTPError as error:
            reason = type(error).__name__
            raise BrokerUnavailable(f"{what} could not be fetched ({reason})") from None
        if answer.status_code != 200:
            raise BrokerUnavailable(
                f"{what} could not be fetched: {self._root} answered HTTP {answer.status_code}"
            )
        return answer.content


@functools.cache
def files_at(root: str) -> PublicFiles:
    """Return the one of this process for an address."""
    return PublicFiles(root)


def _tickers_of(master: pl.DataFrame) -> dict[int, str]:
    return dict(master.select("token", "broker_symbol").iter_rows())


_KNOWN_INDICES: Mapping[str, Mapping[int, str]] = {
    "1010": {int(f"1010{i.fyers_token}"): i.ticker for i in fyers_indices.INDICES if i.fyers_token}
}
"""Tickers of the indices that need no master, by the segment they are in."""

_TOPIC_SEGMENTS = {f"{e}{s}": name for name, (e, s) in EXCHANGES.items()}


def _index_name(ticker: str, names: Mapping[str, str]) -> str:
    """Return an index's name in topics, in doubt as the SDK makes it up."""
    return names.get(ticker) or ticker.split(":")[1].split("-")[0]


def _packaged_names() -> Mapping[str, str]:
    try:
        file = resources.files("fyers_apiv3.FyersWebsocket").joinpath("map.json")
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return dict(content["index_dict"])
    except (ModuleNotFoundError, OSError, ValueError, KeyError):
        return {}


def _today() -> date:
    return to_ist(datetime.now(UTC)).date()
