"""The live page without a mouse: where Tab comes, what Enter, Escape and the arrow keys do."""

import json

import pytest

from market_pipeline_tests.browser import Page
from market_pipeline_tests.page_cases import api as api
from market_pipeline_tests.page_cases import browser as browser
from market_pipeline_tests.page_cases import market as market
from market_pipeline_tests.page_cases import page as page
from market_pipeline_tests.page_cases import says

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

FOCUS = "(({ id, value, innerText }) => id || value || innerText)(document.activeElement)"
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
ROW = "document.activeElement.querySelector('.symbol')?.innerText"


def legend(page: Page) -> str:
    """Return the JavaScript that tells whether the legend still says what it says now."""
    return f"legend.innerText === {json.dumps(page.text('#legend'))}"


def test_tab_comes_to_each_part_of_the_page_once(page: Page) -> None:
    page.value("document.body.focus()")
    reached = []
    for _ in range(5):
        page.press("Tab")
        reached.append(str(page.value(FOCUS)).split("\n")[0])
    assert reached == ["search", "1m", "chart", "INFY", "gaps"]


def test_arrow_keys_go_through_the_watch_list_and_enter_opens(page: Page) -> None:
    page.value("document.querySelector('.watched').focus()")
    went = []
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "End", "Home", "End"):
        page.press(key)
        went.append(page.value(ROW))
    assert went == ["TCS", "TCS", "INFY", "TCS", "INFY", "TCS"]
    page.press("Enter")
    page.until(says("#instrument", "TCS"))
    assert page.value(ROW) == "TCS"


def test_enter_that_comes_before_the_answer_opens_what_it_finds_first(page: Page) -> None:
    page.press("/")
    page.write("infy")
    page.until(says("#found [aria-selected=true]", "INFY"))
    page.value("search.value = ''")
    page.write("tcs")
    page.press("Enter")
    page.until(says("#instrument", "TCS"))
    assert page.value("search.value") == ""


def test_escape_leaves_the_search_as_it_was_before(page: Page) -> None:
    page.press("/")
    page.write("tcs")
    page.until(says("#found [aria-selected=true]", "TCS"))
    page.press("Escape")
    assert page.value("[search.value, results.hidden, document.activeElement.tagName]") == [
        *("", True),
        "BODY",
    ]
    assert page.text("#instrument") == "INFY"


def test_arrow_keys_go_from_candle_to_candle_and_escape_to_the_newest(page: Page) -> None:
    newest = legend(page)
    page.press("ArrowLeft")  # nothing has the focus
    page.until(f"!({newest})")
    before = legend(page)
    page.press("ArrowLeft")
    page.until(f"!({before})")
    page.press("ArrowRight")
    page.until(before)
    page.press("Escape")
    page.until(newest)
    page.value("chart.focus()")
    page.press("ArrowLeft")
    page.until(before)


def test_the_candle_that_keys_chose_stays_when_the_chart_gets_another_size(page: Page) -> None:
    newest = legend(page)
    page.press("ArrowLeft")
    page.until(f"!({newest})")
    chosen = legend(page)
    page.resize(1000, 700)
    page.until("innerWidth === 1000")
    page.value(TWO_FRAMES)
    page.press("ArrowLeft")
    page.press("ArrowRight")
    page.until(chosen)
