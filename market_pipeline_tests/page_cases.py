"""What the tests of the live page share: an API process to kill, a market behind it, a browser."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest
from psycopg import sql

from market_pipeline.api import live_page
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline_tests.acceptance.demo import ROOT, clean_environment, free_port, within
from market_pipeline_tests.browser import Page, browsing, chromium
from market_pipeline_tests.builders import OPEN, Tick, fetch
from market_pipeline_tests.live_cases import Feed, ids
from market_pipeline_tests.stream_cases import prepare

MINUTES = 60
"""So many have candles before the page is opened."""

_START_SECONDS = 60.0
_CUT = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE application_name IN ('market_pipeline_api', 'market_pipeline_live')"
)
_LIBRARY = live_page.FOLDER / "vendor" / "lightweight-charts.js"


class ApiProcess:
    """`market-pipeline api` in a process of its own, always at the same port."""

    def __init__(self, database: Database, home: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._environment = clean_environment(home) | {
            "DATABASE_URL": database.url,
            "BROKER": "simulator",
        }
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "market_pipeline", "api", "--port", str(self.port)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stderr=subprocess.DEVNULL
        )
        within(_START_SECONDS, self._answers)

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"the API ended with {self._process.returncode}"
        try:
            return httpx.get(f"{self.url}health", trust_env=False, timeout=2).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


class Market:
    """INFY and TCS, subscribed: a minute of yesterday's, an hour of today's, and what is committed
    from now on.
    """

    def __init__(self, database: Database) -> None:
        prepare(database)
        instruments.subscribe(database, "simulator", ["TCS"])
        self.database, self.ids, self.feed = database, ids(database), Feed(database)
        self._random = random.Random(7)
        self.feed.commit(*self._minute(int(time.time()) - 86_400 - OPEN))
        # The minute that is running is left to the tests.
        begin = int(time.time()) // 60 * 60 - MINUTES * 60
        begins = (begin + minute * 60 - OPEN for minute in range(MINUTES))
        self.feed.commit(*(tick for at in begins for tick in self._minute(at)))

    def _minute(self, begin: int) -> Iterator[Tick]:
        for instrument_id in self.ids.values():
            for second in (0, 15, 30, 45):
                price = 100 + round(self._random.uniform(-2, 2), 2)
                interest = 50_000 + self._random.randrange(5_000)
                yield Tick(begin + second, price, 10, instrument_id, open_interest=interest)

    def trade(self, symbol: str, price: float, volume: int = 5, late: int = 0) -> None:
        """Commit a trade of this second, or of so many seconds ago."""
        at = int(time.time()) - late - OPEN
        self.feed.commit(
            Tick(at, price, volume, self.ids[symbol], open_interest=51_000, high=price, low=price)
        )

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Keep everybody from the database but the writer, who has a connection."""
        parts = urlsplit(self.database.url)
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        name = sql.Identifier(parts.path.lstrip("/"))
        other = urlunsplit(parts._replace(path="/postgres"))
        with psycopg.connect(other, autocommit=True) as connection:
            connection.execute(allow.format(name, sql.Literal(False)))
            try:
                connection.execute(_CUT)
                yield
            finally:
                connection.execute(allow.format(name, sql.Literal(True)))

    def record_gap(self, cause: str) -> None:
        """Record that nothing came for five minutes."""
        statement = (
            "INSERT INTO gaps (stream, started_at, ended_at, cause) "
            "VALUES ('simulator-0', now() - interval '5 min', now(), %s)"
        )
        fetch(self.database, statement, cause)

    def forget_gaps(self) -> None:
        fetch(self.database, "DELETE FROM gaps")


def backfill(database: Database, instrument_id: int, days_ago: int) -> None:
    """Store an hour of the broker's candles of an old day."""
    statement = (
        "INSERT INTO broker_candles SELECT %s, 1, time, 'simulator', 90, 92, 89, 91, 10, 5, now() "
        "FROM date_trunc('minute', now() - make_interval(days => %s)) AS begin, "
        "generate_series(begin, begin + interval '59 min', interval '1 min') AS time"
    )
    fetch(database, statement, instrument_id, days_ago)


def lacking() -> str | None:
    """Say what the page cannot be tested without; None: everything is there."""
    if chromium() is None:
        return "chromium is not installed"
    return None if _LIBRARY.is_file() else "the chart library is missing: `make page` gets it"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if (reason := lacking()) and not os.environ.get("CI"):
        pytest.skip(reason)
    assert not reason, f"CI must have all of it, see .ci/run: {reason}"
    program = chromium()
    assert program is not None
    with browsing(program, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def market(shared_database: Database) -> Iterator[Market]:
    made = Market(shared_database)
    with closing(made.feed):
        yield made


@contextmanager
def api_process(database: Database, home: Path) -> Iterator[ApiProcess]:
    api = ApiProcess(database, home)
    try:
        yield api
    finally:
        api.kill()


@pytest.fixture(scope="module")
def api(
    browser: Page, market: Market, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiProcess]:
    with api_process(market.database, tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest.fixture
def page(browser: Page, api: ApiProcess) -> Page:
    """The page as it is when its chart was drawn and its first ticks may come."""
    visit(browser, api.url)
    browser.until(f"Number(document.querySelector('#chart').dataset.candles) >= {MINUTES}")
    browser.until(says("#connection", "connected"))
    return browser


def visit(browser: Page, address: str) -> None:
    """Open a page anew, and forget what was reported of the one before."""
    browser.resize(1440, 900)
    browser.open("about:blank")
    browser.until("location.href === 'about:blank'")
    browser.requested.clear()
    browser.complaints.clear()
    browser.open(address)
    browser.until("document.readyState === 'complete' && location.protocol === 'http:'")


def says(selector: str, text: str) -> str:
    """Return the JavaScript that tells whether something stands in an element."""
    return f"document.querySelector('{selector}')?.innerText.includes('{text}')"
