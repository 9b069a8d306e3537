"""The live page when database or server is away, ticks come late or not at all: it comes back."""

from pathlib import Path

import pytest

from market_pipeline.storage.database import Database
from market_pipeline_tests.api_cases import serving, settings_of
from market_pipeline_tests.browser import Page
from market_pipeline_tests.live_cases import ids
from market_pipeline_tests.page_cases import MINUTES, ApiProcess, Market, backfill, says, visit
from market_pipeline_tests.page_cases import api as api
from market_pipeline_tests.page_cases import browser as browser
from market_pipeline_tests.page_cases import market as market
from market_pipeline_tests.page_cases import page as page
from market_pipeline_tests.stream_cases import prepare

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

IS_CHARTED = f"Number(chart.dataset.candles) >= {MINUTES}"
TCS = "document.querySelector('#watch-list li:last-child button')"

# A LiveTicks whose sockets are told what the server says; returns what the page heard and sent.
TALK = """
import("/page/live_ticks.js").then(async ({ LiveTicks }) => {
  const sockets = [], told = [];
  const real = window.WebSocket;
  window.WebSocket = class {
    static OPEN = 1;
    readyState = 1;
    sent = [];
    constructor() { sockets.push(this); }
    send(text) { this.sent.push(JSON.parse(text)); }
    close() { this.isClosed = true; }
    open() { this.onopen(); }
    says(message) { this.onmessage({ data: JSON.stringify(message) }); }
  };
  try {
    const hear = (name) => (value) => told.push(name === "state" ? value : name);
    const live = new LiveTicks(new Proxy({}, { get: (_, name) => hear(name) }));
    await (SCRIPT)(live, sockets);
  } finally {
    window.WebSocket = real;
  }
  return { told, sockets: sockets.map(({ isClosed = false, sent }) => ({ isClosed, sent })) };
})
"""
REFUSED = """
async (live, sockets) => {
  live.watch([1]);
  live.chart(1);
  live.connect();
  sockets[0].open();
  sockets[0].says({ type: "subscribed", seq: { "simulator-0": 7 } });
  const problem = { type: "urn:market-pipeline:problem:NAME", status: STATUS, detail: "not now" };
  sockets[0].says({ type: "error", problem });
  sockets[0].says({ type: "ticks", ticks: [] });
  while (sockets.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  sockets[1].open();
  sockets[1].says({ type: "subscribed", seq: { "simulator-0": 9 } });
  sockets[1].says({ type: "candles_subscribed" });
}
"""
DATABASE = """
async (live, sockets) => {
  live.connect();
  sockets[0].open();
  sockets[0].says({ type: "status", database: "unavailable" });
  sockets[0].says({ type: "heartbeat", database: "unavailable" });
  sockets[0].says({ type: "heartbeat", database: "available" });
  sockets[0].says({ type: "heartbeat", database: "available" });
  sockets[0].says({ type: "candles", candles: [], lost: 1 });
}
"""


def test_what_was_refused_while_the_database_was_away_is_asked_for_again(
    page: Page, market: Market
) -> None:
    with market.without_database():
        page.value(f"{TCS}.click()")
        page.until(says("#connection", "database away"))
        page.until(says("#chart-note", "Trying again"))
    page.until(says("#connection", "connected"), 40)
    page.until(IS_CHARTED, 40)
    assert page.text("#chart-note") == ""
    market.trade("TCS", 98.35)
    page.until(says("#legend", "98.35"))
    market.trade("INFY", 103.85)
    page.until(says("#watch-list li:first-child", "103.85"))


def test_a_page_that_is_opened_while_the_database_is_away_fills_when_it_is_back(
    page: Page, market: Market
) -> None:
    address = page.value("location.origin")
    with market.without_database():
        visit(page, f"{address}/")
        page.until(says("#connection", "database away"))
        assert page.text("#watch-list") == ""
    page.until(IS_CHARTED, 40)
    market.trade("INFY", 102.15)
    page.until(says("#legend", "102.15"))


@pytest.mark.parametrize(
    ("status", "name", "state"),
    [(429, "too-many-requests", "reconnecting"), (503, "database-unavailable", "database away")],
)
def test_a_refusal_that_passes_makes_a_new_connection_that_asks_again(
    page: Page, status: int, name: str, state: str
) -> None:
    script = REFUSED.replace("STATUS", str(status)).replace("NAME", name)
    talk = page.value(TALK.replace("SCRIPT", script))
    asked = [{"action": a, "instruments": ["id:1"]} for a in ("subscribe", "candles")]
    first, second = talk["sockets"]
    assert (first["isClosed"], first["sent"]) == (True, asked)
    assert second["sent"] == [{"action": "resume", "seq": {"simulator-0": 7}}, *asked]
    assert talk["told"] == ["ticksFlow", state, "ticksFlow", "connected", "candlesFlow"]


def test_it_reads_again_when_the_database_is_back_or_a_closed_minute_was_left_out(
    page: Page,
) -> None:
    told = page.value(TALK.replace("SCRIPT", DATABASE))["told"]
    away = ["database away", "database away"]
    back = ["connected", "missed", "connected"]
    assert told == ["connected", *away, *back, "candles", "missed"]


def test_a_tick_that_is_older_than_the_last_leaves_its_row_as_it_is(
    page: Page, market: Market
) -> None:
    market.trade("TCS", 97.15)
    page.until(says("#watch-list li:last-child", "97.15"))
    before = page.value(f"{TCS}.ariaLabel")
    market.trade("TCS", 90.05, late=40)
    market.trade("INFY", 101.75)
    page.until(says("#watch-list li:first-child", "101.75"))
    assert page.value(f"{TCS}.ariaLabel") == before
    page.value(f"{TCS}.click()")
    page.until(says("#instrument", "TCS"))
    page.until(IS_CHARTED)


def test_what_was_live_is_grey_while_the_server_is_away(page: Page, api: ApiProcess) -> None:
    colours = (
        "['quote', 'streams'].map((id) => getComputedStyle(document.getElementById(id)).filter)"
    )
    assert page.value(colours) == ["none", "none"]
    api.kill()
    page.until(says("#connection", "reconnecting"))
    assert page.value(colours) == ["grayscale(1)", "grayscale(1)"]
    page.press("/")
    page.write("tcs")
    page.until(says("#search-note", "The server does not answer."))
    page.press("Escape")
    api.start()
    page.until(says("#connection", "connected"))
    assert page.value(colours) == ["none", "none"]


@pytest.mark.parametrize("interval", ["1m", "5m"])
def test_of_an_instrument_of_which_nothing_came_lately_it_shows_what_came_last(
    browser: Page, database: Database, tmp_path: Path, interval: str
) -> None:
    prepare(database)
    infy = ids(database)["INFY"]
    backfill(database, infy, days_ago=90)
    with serving(settings_of(database, tmp_path, broker="simulator")) as client:
        visit(browser, f"{client.base_url}/#id:{infy}/{interval}")
        browser.until(f"Number(chart.dataset.candles) >= {60 // int(interval[0])}")
        assert browser.text("#chart-note") == ""
