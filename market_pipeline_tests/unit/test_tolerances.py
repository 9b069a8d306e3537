"""What is tolerated, as it comes with the program and as TOLERANCE_FILE changes it."""

from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from market_pipeline.errors import ConfigurationError
from market_pipeline.market import Segment
from market_pipeline.reconciliation import Verdict, verdicts
from market_pipeline.tolerances import PRICES, CandleField, Scope, Tolerance, Tolerances
from market_pipeline_tests.reconciliation_cases import (
    FUTURE,
    PACKAGED,
    Candle,
    broker,
    instruments,
    live,
)

A = "tolerances:\n- {segments: [CM], fields: [close], "
WHY = "why: We say so}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tolerances.yaml"


def loaded(file: Path, text: str) -> Tolerances:
    file.write_text(text, "utf-8")
    return Tolerances.load(file)


def refusal(file: Path, text: str) -> str:
    """Return what is said of a file that is wrong, which begins with its name."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(file, text)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    return message.removeprefix(f"{file}: ")


def verdict(tolerances: Tolerances, ours: Candle, theirs: Candle) -> str:
    found = verdicts(live(ours), broker(theirs), instruments(), tolerances)
    return str(found["verdict"].item())


@pytest.mark.parametrize(("segment", "field"), list(product(Segment, CandleField)))
def test_something_is_said_of_every_field_of_every_segment(
    segment: Segment, field: CandleField
) -> None:
    rule = PACKAGED.of(segment, field, Scope.OPENING)
    assert rule is not None
    assert rule.why


def test_the_day_is_narrower_than_a_minute() -> None:
    for segment in Segment:
        day = PACKAGED.of(segment, CandleField.VOLUME, Scope.DAY)
        minute = PACKAGED.of(segment, CandleField.VOLUME, Scope.MINUTE)
        assert minute is not None
        assert (day is None) is (segment is Segment.INDEX)
        assert day is None or day.share < minute.share


@pytest.mark.parametrize(("segment", "field"), list(product(Segment, PRICES)))
def test_the_opening_is_not_narrower_than_a_minute(segment: Segment, field: str) -> None:
    opening = PACKAGED.of(segment, CandleField(field), Scope.OPENING)
    minute = PACKAGED.of(segment, CandleField(field), Scope.MINUTE)
    assert opening is not None
    assert minute is not None
    assert opening.amount >= minute.amount
    assert opening.share >= minute.share


def test_a_minute_settles_for_longer_than_the_broker_says() -> None:
    assert PACKAGED.settles_after >= timedelta(seconds=10)


def test_an_entry_of_a_file_goes_before_that_of_the_program(file: Path) -> None:
    ours = loaded(file, A + "ticks: 7, " + WHY)
    rule = ours.of(Segment.CM, CandleField.CLOSE, Scope.MINUTE)
    assert rule == Tolerance("ticks", 7.0, 0.0, True, "We say so")
    others = set(ours.rules.items()) - set(PACKAGED.rules.items())
    assert [key for key, _ in others] == [(Segment.CM, CandleField.CLOSE, Scope.MINUTE)]


def test_an_entry_of_a_file_decides_what_differs(file: Path) -> None:
    theirs = Candle()
    ours = theirs.but(close=100.35)
    wide = loaded(file, A + "ticks: 7, " + WHY)
    assert verdict(wide, ours, theirs) == Verdict.AGREES
    narrow = loaded(file, A + "ticks: 6, " + WHY)
    assert verdict(narrow, ours, theirs) == Verdict.DIFFERS


def test_only_equal_values_agree_where_nothing_is_tolerated(file: Path) -> None:
    strict = loaded(file, A + "ticks: 0, " + WHY)
    assert verdict(strict, Candle(), Candle()) == Verdict.AGREES
    assert verdict(strict, Candle(close=100.05), Candle()) == Verdict.DIFFERS


def test_the_opening_is_a_minute_like_others_where_a_file_says_nothing_of_it(file: Path) -> None:
    ours = loaded(file, A + "ticks: 7, " + WHY)
    off, theirs = Candle(at=0, close=100.35), Candle(at=0)
    assert verdict(ours, off, theirs) == Verdict.AGREES
    opening = loaded(file, A + "of: opening, ticks: 6, " + WHY)
    assert verdict(opening, off, theirs) == Verdict.DIFFERS


def test_a_volume_that_is_left_out_need_not_be_known(file: Path) -> None:
    text = "tolerances: [{segments: [FO], fields: [volume], compared: false, " + WHY + "]"
    future = Candle(instrument=FUTURE)
    assert verdict(PACKAGED, future.but(volume=None), future) == Verdict.DIFFERS
    assert verdict(loaded(file, text), future.but(volume=None), future) == Verdict.AGREES


def test_the_total_of_the_day_can_be_left_out(file: Path) -> None:
    text = "tolerances: [{segments: [CM], fields: [volume], of: day, compared: false, " + WHY + "]"
    ours, theirs = Candle(volume=960), Candle()
    assert verdict(PACKAGED, ours, theirs) == Verdict.DIFFERS
    assert verdict(loaded(file, text), ours, theirs) == Verdict.AGREES


def test_how_long_minutes_settle_can_be_said(file: Path) -> None:
    ours = loaded(file, "settles_after: {seconds: 30, why: Ours is slow}")
    assert (ours.settles_after, ours.settles_why) == (timedelta(seconds=30), "Ours is slow")
    theirs = Candle(fetched_after=29)
    assert verdict(ours, Candle(), theirs) == Verdict.NOT_COMPARED
    assert verdict(PACKAGED, Candle(), theirs) == Verdict.AGREES


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Tolerance("ticks", 2.0, 0.0002, True, ""), "2 ticks or 0.02 %"),
        (Tolerance("lots", 0.0, 0.05, True, ""), "5 %"),
        (Tolerance("lots", 1.0, 0.0, True, ""), "1 lot"),
        (Tolerance("points", 0.5, 0.0, True, ""), "0.5 points"),
        (Tolerance("ticks", 0.0, 0.0, True, ""), "no difference"),
        (Tolerance("lots", 0.0, 0.0, False, ""), "not compared"),
    ],
)
def test_a_tolerance_is_written_as_people_read_it(rule: Tolerance, expected: str) -> None:
    assert str(rule) == expected


def test_what_is_said_of_other_segments_is_not_told() -> None:
    told = "\n".join(PACKAGED.lines(["INDEX"]))
    assert "INDEX open, high, low, close: 0.5 points or 0.01 %" in told
    assert "INDEX open, high, low of the opening minute: 2 points or 0.3 %" in told
    assert "FO" not in told


@pytest.mark.parametrize(
    ("text", "entry", "problem"),
    [
        (A + WHY, "entry 1 of tolerances (['CM'], ['close']): ", "`compared: false`"),
        (A + "compared: false, ticks: 1, " + WHY, "entry 1", "say either"),
        (A + "ticks: -1, " + WHY, "ticks: ", "greater than or equal to 0"),
        (A + "ticks: .inf, " + WHY, "ticks: ", "finite"),
        (A + "ticks: two, " + WHY, "ticks: ", "valid number"),
        (A + "ticks: true, " + WHY, "ticks: ", "valid number"),
        (A + "share: 5, " + WHY, "share: ", "less than or equal to 1"),
        (A + "share: .nan, " + WHY, "share: ", "finite"),
        (A + "points: 1, " + WHY, "entry 1", "the close of CM is in ticks, not in points"),
        (A + "lots: 1, " + WHY, "entry 1", "the close of CM is in ticks, not in lots"),
        (A + "ticks: 1, of: day, " + WHY, "(['CM'], ['close'], day)", "only the volume"),
        (A + "ticks: 1, of: week, " + WHY, "of: ", "'minute', 'opening' or 'day'"),
        (A + "ticks: 1, tick: 1, " + WHY, "tick: ", "not permitted"),
        (A + "ticks: 1}", "why: ", "required"),
        (A + "ticks: 1, why: ''}", "why: ", "at least 1 character"),
        (A + "compared: 'no', " + WHY, "compared: ", "boolean"),
        ("tolerances: [{segments: [EQ], fields: [close], ticks: 1, " + WHY + "]", "segments", "CM"),
        ("tolerances: [{segments: [], fields: [close], ticks: 1, " + WHY + "]", "segments", "1"),
        ("tolerances: [{segments: [CM], fields: [vwap], ticks: 1, " + WHY + "]", "fields", "open"),
        (
            "tolerances: [{segments: [INDEX], fields: [volume], lots: 1, " + WHY + "]",
            "entry 1",
            "INDEX has no volume",
        ),
        (
            A + "ticks: 1, " + WHY + "\n- {segments: [CM, FO], fields: [close], ticks: 2, " + WHY,
            "entries 1 and 2 of tolerances",
            "both CM close of minute",
        ),
        ("tolerances: [7]", "entry 1 of tolerances: ", "dictionary"),
        ("settles_after: {seconds: 15}", "settles_after, why: ", "required"),
        ("settles_after: {seconds: -1, why: x}", "settles_after, seconds: ", "equal to 0"),
        ("settles_after: {seconds: 1.0e+9, why: x}", "seconds: ", "equal to 86400"),
        ("tolerance: []", "tolerance: ", "not permitted"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place_and_what_is_wrong(
    file: Path, text: str, entry: str, problem: str
) -> None:
    message = refusal(file, text)
    assert entry in message
    assert problem in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must hold `tolerances` or `settles_after`"),
        ("tolerances: [", "is not YAML"),
        ("tolerances: []\ntolerances: []", "'tolerances' is there twice"),
        (A + "ticks: 1, ticks: 2, " + WHY, "'ticks' is there twice"),
        ("? [a]\n: 1", "is not YAML"),
    ],
)
def test_a_file_that_holds_no_tolerances_is_refused(file: Path, text: str, problem: str) -> None:
    assert problem in refusal(file, text)


def test_a_file_that_is_not_there_is_refused_by_name(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"tolerances\.yaml: cannot be read: No such file"):
        Tolerances.load(file)
