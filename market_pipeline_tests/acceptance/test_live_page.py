"""The live page in a real browser, on a real API process: it draws, follows, and comes back."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from market_pipeline.api import live_page
from market_pipeline_tests.api_cases import KEYS, READ_KEY, serving, settings_of
from market_pipeline_tests.browser import Page
from market_pipeline_tests.builders import eventually
from market_pipeline_tests.page_cases import MINUTES, ApiProcess, Market, backfill, says, visit
from market_pipeline_tests.page_cases import api as api
from market_pipeline_tests.page_cases import browser as browser
from market_pipeline_tests.page_cases import market as market
from market_pipeline_tests.page_cases import page as page

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

PHONE = 390, 844
LEAST_TOUCH = 44

# How many pixels of the chart have a colour of the style sheet.
PIXELS = """
(() => {
  const wanted = getComputedStyle(document.documentElement).getPropertyValue("--NAME").trim();
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(wanted.slice(at, at + 2), 16));
  let found = 0;
  for (const canvas of document.querySelectorAll("#chart canvas")) {
    if (!canvas.width || !canvas.height) continue;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) {
      found += data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255;
    }
  }
  return found;
})()
"""
SMALL = """
[...document.querySelectorAll("button, a, input, .intervals label")]
  .filter((each) => each.checkVisibility() && !each.matches("[type=radio]"))
  .filter((each) => each.getBoundingClientRect().height < LEAST)
  .map((each) => each.outerHTML)
"""

WIDE = """
[...document.querySelectorAll("main, aside, aside ul, .title, .marks")]
  .filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.outerHTML)
"""

BOOKS = """
import("/page/candle_book.js").then(({ CandleBook }) => {
  const minute = (number, price, trades, state = "provisional") => ({
    time: `2026-11-20T03:${number}:00Z`, open: price, high: price + 1, low: price - 1, close: price,
    volume: 10, open_interest: null, trades, state,
  });
  const five = new CandleBook(5);
  five.load([minute(45, 100, 4)], [minute(45, 100, 4)]);
  const one = new CandleBook(1);
  one.load([minute(45, 100, 4, "repaired"), minute(47, 100, 4)], []);
  return {
    within: five.add(minute(46, 110, 2)),
    older: five.add(minute(46, 90, 1)),
    behind: five.add(minute(50, 120, 1)),
    isStillBehind: five.load([minute(45, 100, 6), minute(50, 119, 1)], [minute(50, 119, 1)]),
    last: five.last,
    late: five.add(minute(46, 130, 3)),
    from: five.tail,
    repaired: one.add(minute(45, 200, 9)),
    between: one.add(minute(46, 101, 1)),
    prices: one.candles.map((each) => each.close),
  };
})
"""


def pixels(name: str) -> str:
    return PIXELS.replace("NAME", name)


def candle(page: Page) -> str:
    """Return what the legend says, on one line."""
    return page.text("#legend").replace("\n", " ")


def test_it_draws_candles_and_open_interest(page: Page) -> None:
    assert page.value(pixels("up")) > 500
    assert page.value(pixels("down")) > 500
    assert page.value(pixels("interest")) > 50
    assert "OI 5" in candle(page)


def test_it_says_nothing_to_the_console_and_asks_nobody_but_its_server(
    page: Page, api: ApiProcess
) -> None:
    own = api.url, api.url.replace("http:", "ws:")
    assert any(each.startswith(own[1]) for each in page.requested)
    assert [each for each in page.requested if not each.startswith(own)] == []
    assert page.complaints == []


def test_a_committed_tick_moves_candle_quote_and_watch_list(
    page: Page, api: ApiProcess, market: Market
) -> None:
    market.trade("INFY", 104.35)
    page.until(says("#legend", "104.35"))
    page.until(says("#quote", "104.35"))
    page.until(says(".watched[aria-current]", "104.35"))
    market.trade("TCS", 97.15)
    page.until(says("#watch-list li:last-child", "97.15"))
    assert "104.35" in candle(page)
    listed = httpx.get(f"{api.url}api/watchlist", trust_env=False).raise_for_status().json()
    (before,) = (row["previous_close"] for row in listed["instruments"] if row["symbol"] == "INFY")
    change = (104.35 - before) / before * 100
    assert f"▲ +{change:.2f} %" in page.text(".watched[aria-current]")


def test_a_longer_candle_is_what_the_server_makes_of_its_minutes(
    page: Page, api: ApiProcess, market: Market
) -> None:
    page.press("3")
    page.until("location.hash.endsWith('/5m') && Number(chart.dataset.candles) >= 12")
    asked = {"instrument": "NSE:INFY", "interval": "5m"}
    market.trade("INFY", 105.25, volume=7)
    market.trade("INFY", 94.75, volume=11)
    page.until(says("#legend", "94.75"))

    def is_the_same() -> bool:
        reply = httpx.get(f"{api.url}api/historical/candles", params=asked, trust_env=False)
        last = reply.raise_for_status().json()["candles"][-1]
        names = {"O": "open", "H": "high", "L": "low", "C": "close"}
        prices = " ".join(f"{name} {last[field]:.2f}" for name, field in names.items())
        return f"{prices} V {last['volume']} " in candle(page)

    eventually(is_the_same, "chart and server differ")


def test_live_minutes_change_the_candle_they_belong_to_and_no_other(page: Page) -> None:
    found = page.value(BOOKS)
    made = found["within"]["changed"]
    names = ("open", "high", "low", "close", "volume", "trades")
    assert [made[name] for name in names] == [100, 111, 99, 110, 20, 6]
    assert found["older"] == {}
    assert found["behind"] == {"isBehind": True}
    assert (found["isStillBehind"], found["last"]["close"]) == (False, 120)
    assert found["late"] == {"isBehind": True}
    assert found["from"] == datetime(2026, 11, 20, 3, 45, tzinfo=UTC).timestamp()
    assert found["repaired"] == {}
    assert found["between"]["isNew"]
    assert found["prices"] == [100, 101, 100]


def test_keys_search_choose_and_switch_the_interval(page: Page) -> None:
    page.press("/")
    page.write("tcs")
    page.until(says("#found [aria-selected=true]", "TCS"))
    page.press("1")  # is written, and switches nothing
    assert page.value("document.activeElement.value") == "tcs1"
    page.value("document.activeElement.value = ''")
    page.write("tcs")
    page.until(says("#found [aria-selected=true]", "TCS"))
    page.press("ArrowDown")
    page.press("Enter")
    page.until(says("#instrument", "TCS"))
    page.press("4")
    page.until("document.querySelector('#intervals input:checked').value === '15m'")
    page.until("Number(chart.dataset.candles) >= 4")
    page.value("chart.focus()")
    newest = page.text("#legend")
    page.press("ArrowLeft")
    page.until(f"legend.innerText !== {json.dumps(newest)}")


def test_older_candles_are_read_when_the_reader_comes_to_the_beginning(
    page: Page, market: Market
) -> None:
    backfill(market.database, market.ids["INFY"], days_ago=8)
    page.press("2")
    page.until("location.hash.endsWith('/3m')")
    page.press("1")
    page.until(f"Number(chart.dataset.candles) >= {2 * MINUTES}")
    page.value("chart.focus()")
    page.press("Home")
    page.until(says("#legend", "backfilled"))


def test_a_gap_is_listed_and_the_candles_it_touches_are_marked(page: Page, market: Market) -> None:
    assert page.value(pixels("gap")) == 0
    market.record_gap("line was cut")
    page.until(says("#gaps", "line was cut"), 15)
    page.until(f"{pixels('gap').strip()} > 0")
    assert page.value("document.querySelector('#gap-mark').checkVisibility()")
    market.forget_gaps()


def test_it_goes_on_by_itself_when_the_server_was_killed(
    page: Page, api: ApiProcess, market: Market
) -> None:
    page.value("window.isTheSame = true")
    market.trade("INFY", 101.05)
    page.until(says("#legend", "101.05"))
    api.kill()
    page.until(says("#connection", "reconnecting"))
    market.trade("INFY", 108.45)
    market.trade("INFY", 100.15)
    api.start()
    page.until(says("#connection", "connected"))
    page.until(says("#legend", "100.15"))
    page.until(says("#legend", "108.45"))  # the high, which nobody saw
    market.trade("INFY", 102.65)
    page.until(says("#legend", "102.65"))
    assert page.value("window.isTheSame")


def test_a_server_with_keys_is_asked_with_the_one_that_the_reader_gives(
    browser: Page, market: Market, tmp_path: Path
) -> None:
    settings = settings_of(market.database, tmp_path, broker="simulator", api_keys=KEYS)
    with serving(settings) as client:
        visit(browser, f"{client.base_url}/")
        browser.until("document.querySelector('#key-dialog').open")
        browser.write("not a key")
        browser.press("Enter")
        browser.until(says("#key-note", "not known"))
        browser.write(READ_KEY)
        browser.press("Enter")
        browser.until(says("#connection", "connected"))
        browser.until("Number(chart.dataset.candles) > 0")
        assert browser.value("Object.values(sessionStorage)") == [READ_KEY]
        assert not any(READ_KEY in each for each in browser.requested)
        browser.value("sessionStorage.clear()")


def test_without_the_chart_library_it_says_how_to_get_it_and_shows_the_rest(
    browser: Page, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "page"
    shutil.copytree(live_page.FOLDER, bare, ignore=shutil.ignore_patterns("vendor"))
    monkeypatch.setattr(live_page, "FOLDER", bare)
    settings = settings_of(market.database, tmp_path, broker="simulator")
    with serving(settings) as client:
        visit(browser, f"{client.base_url}/")
        browser.until(says("#chart-note", "make page"))
        browser.until(says("#connection", "connected"))
        browser.until("document.querySelectorAll('#watch-list li').length === 2")
        market.trade("TCS", 93.65)
        browser.until(says("#watch-list li:last-child", "93.65"))


def test_streams_and_gaps_are_seen_however_long_the_watch_list_is(page: Page) -> None:
    row = "document.querySelector('#watch-list li')"
    page.value(f"for (let i = 0; i < 98; i++) {row}.after({row}.cloneNode(true))")
    bottoms = "['streams', 'gaps'].map((id) => window[id].getBoundingClientRect().bottom)"
    assert all(0 < bottom <= page.value("innerHeight") for bottom in page.value(bottoms))


def test_labels_that_stand_for_different_numbers_differ(page: Page) -> None:
    shorts = (
        "import('/page/formats.js').then(({ writtenShorts }) => writtenShorts([3286000, 3286100]))"
    )
    assert page.value(shorts) == ["32.860L", "32.861L"]


def test_a_phone_has_one_column_that_is_as_wide_as_it_is(page: Page, market: Market) -> None:
    market.record_gap("a connection was lost, for a reason that takes many words to tell " * 3)
    page.resize(*PHONE, is_phone=True)
    page.until(f"innerWidth === {PHONE[0]}")
    page.until(says("#gaps", "many words"), 15)
    market.forget_gaps()
    assert page.value("document.documentElement.scrollWidth") <= PHONE[0]
    assert page.value(WIDE) == []
    assert page.value(SMALL.replace("LEAST", str(LEAST_TOUCH))) == []
    tops = "['.charted', 'aside'].map((each) => document.querySelector(each).offsetLeft)"
    assert page.value(tops) == [0, 0]
    assert page.value(pixels("up")) > 100
