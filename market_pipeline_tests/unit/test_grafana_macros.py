"""Variables and macros are replaced as Grafana's own tests of them have it."""

from datetime import UTC, datetime

import pytest

from market_pipeline_tests.grafana_macros import Range, Value, in_browser, in_server

SHOWN = Range(datetime(2018, 4, 12, 18, 0, tzinfo=UTC), datetime(2018, 4, 12, 18, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("$__time(at)", 'at AS "time"'),
        (
            "$__timeFilter(at)",
            "at BETWEEN '2018-04-12T18:00:00.000000Z' AND '2018-04-12T18:05:00.000000Z'",
        ),
        ("$__timeFrom()", "'2018-04-12T18:00:00.000000Z'"),
        ("$__timeGroup(at,'5m')", "floor(extract(epoch from at)/300)*300"),
        ("$__timeGroup(at , '5m'), x", 'floor(extract(epoch from at)/300)*300 AS "time", x'),
        ("$__timeGroupAlias(at,$__interval)", 'floor(extract(epoch from at)/15)*15 AS "time"'),
        ("$__unixEpochFrom() $__interval_ms", "1523556000 15000"),
    ],
)
def test_macro_becomes_what_grafana_makes_of_it(written: str, sent: str) -> None:
    assert in_server(written, SHOWN) == sent


def test_time_is_grouped_by_the_servers_own_function_where_it_has_one() -> None:
    sent = in_server("$__timeGroup(at,'30s')", SHOWN, is_timescale=True)
    assert sent == "time_bucket('30.000s',at)"


def test_macro_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'__timeRange'"):
        in_server("$__timeRange()", SHOWN)


@pytest.mark.parametrize(
    ("written", "value", "sent"),
    [
        ("${name:sqlstring}", "O'Neill", "'O''Neill'"),
        ("${name:sqlstring}", ["a", "b"], "'a','b'"),
        ("'$name'", "O'Neill", "'O''Neill'"),
        ("($name)", ["a", "b'c"], "('a','b''c')"),
        ("${name:raw}", "a'", "a'"),
        ("[[name]] $other $__timeFrom()", "a", "a $other $__timeFrom()"),
    ],
)
def test_variable_enters_as_its_format_says(written: str, value: Value, sent: str) -> None:
    assert in_browser(written, {"name": value}) == sent


def test_search_enters_once_something_is_typed() -> None:
    written = "found('${__searchFilter}')"
    assert in_browser(written, {}, "rel'") == "found('rel''')"
    assert in_browser(written, {}) == written


def test_points_are_as_far_apart_as_pixels_and_no_nearer_than_samples() -> None:
    day = Range(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    assert (SHOWN.interval, day.interval) == (15, 120)
