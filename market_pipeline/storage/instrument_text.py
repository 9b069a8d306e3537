"""What the words of a trader mean: an underlying, a strike, a month, a kind. Pure."""

import re
from dataclasses import dataclass, replace
from datetime import date

from market_pipeline.market import Exchange, Kind

_OPTIONS = (Kind.CE.value, Kind.PE.value)
_KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("CE", "CALL", "CALLS"), (Kind.CE.value,)),
    **dict.fromkeys(("PE", "PUT", "PUTS"), (Kind.PE.value,)),
    **dict.fromkeys(("FUT", "FUTURE", "FUTURES"), (Kind.FUT.value,)),
    **dict.fromkeys(("OPT", "OPTION", "OPTIONS"), _OPTIONS),
    "EQ": (Kind.EQ.value,),
    "INDEX": (Kind.INDEX.value,),
}
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_MONTH = (
    "(?:JAN(?:UARY)?|FEB(?:RUARY)?|MAR(?:CH)?|APR(?:IL)?|MAY|JUNE?|JULY?|AUG(?:UST)?"
    "|SEP(?:T(?:EMBER)?)?|OCT(?:OBER)?|NOV(?:EMBER)?|DEC(?:EMBER)?)"
)
_EXPIRY = re.compile(rf"(\d{{1,2}})?({_MONTH})(20\d\d|\d\d?)?")
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_STRIKE_AND_KIND = re.compile(r"(\d+(?:\.\d+)?)(CE|PE)")
_CENTURY = 2000


@dataclass(frozen=True)
class Reading:
    """One thing a text may mean. Empty or None: anything.

    `day` and `year` are alternatives where one number stands before a month: 26DEC is the 26th of
    December to some and December 2026 to the exchange.
    """

    words: tuple[str, ...] = ()
    exchange: str | None = None
    kinds: tuple[str, ...] = ()
    strike: float | None = None
    month: int | None = None
    day: int | None = None
    year: int | None = None
    expiry: date | None = None


def readings(text: str) -> list[Reading]:
    """Return what a text may mean, the likeliest first; the next counts if it finds nothing.

    The first word is never a kind, a month or an exchange, for companies are called BSE and MCX.
    A number that is not glued to CE or PE may be a strike or belong to a name, as in NIFTY 50.
    """
    exchange, words = _split(text)
    reading = Reading(exchange=exchange)
    for place, word in enumerate(words):
        understood = _understood(reading, word) if place else None
        reading = understood or _with_word(reading, word)
    return _alternatives(reading)


def _split(text: str) -> tuple[str | None, list[str]]:
    """Separate EXCHANGE: from the rest; join the days and years of months to them."""
    text = re.sub(r"(?<=\d),(?=\d)", "", text.upper())
    text = re.sub(r"[,\0]", " ", text)  # PostgreSQL has no NUL in texts
    before, colon, after = text.partition(":")
    exchange = before.strip() if colon and before.strip() in list(Exchange) else None
    text = " ".join((after if exchange else text).split())
    text = re.sub(rf"\b(\d{{1,2}}) ({_MONTH})\b", r"\1\2", text)
    # After a month a number is the strike if it is the only one that an option has.
    is_no_strike = r"(?= .*\d|(?!.*\b(?:CE|PE|CALL|PUT)\b))"
    text = re.sub(rf"({_MONTH}) (20[2-4]\d|\d\d?)\b{is_no_strike}", r"\1\2", text)
    return exchange, text.split()


def _understood(reading: Reading, word: str) -> Reading | None:
    """Add what a word says, None if it is a word like any other."""
    if word in _KINDS:
        return replace(reading, kinds=_KINDS[word])
    if word in list(Exchange):
        return replace(reading, exchange=word)
    if match := _EXPIRY.fullmatch(word):
        return _with_expiry(reading, match)
    if _ISO_DAY.fullmatch(word):
        return _with_day(reading, *map(int, word.split("-")))
    return None


def _with_word(reading: Reading, word: str) -> Reading:
    if match := _STRIKE_AND_KIND.fullmatch(word):
        return replace(reading, strike=float(match[1]), kinds=(match[2],))
    return replace(reading, words=(*reading.words, word))


def _with_expiry(reading: Reading, match: re.Match[str]) -> Reading | None:
    before, name, after = match.groups()
    month = _MONTHS.index(name[:3]) + 1
    year = int(after) % _CENTURY + _CENTURY if after else None
    if before and year:
        return _with_day(reading, year, month, int(before))
    if before:
        return replace(reading, month=month, day=int(before), year=int(before) + _CENTURY)
    day = int(after) if after and len(after) <= 2 else None
    return replace(reading, month=month, day=day, year=year)


def _with_day(reading: Reading, year: int, month: int, day: int) -> Reading | None:
    try:
        return replace(reading, expiry=date(year, month, day))
    except ValueError:  # there is no such day
        return None


def _alternatives(reading: Reading) -> list[Reading]:
    places = [i for i, word in enumerate(reading.words) if _NUMBER.fullmatch(word)]
    is_option = bool(reading.kinds) and set(reading.kinds) <= set(_OPTIONS)
    if not places or reading.strike is not None or (reading.kinds and not is_option):
        return [reading]
    words = reading.words
    with_strike = replace(
        reading,
        words=words[: places[-1]] + words[places[-1] + 1 :],
        strike=float(words[places[-1]]),
        kinds=reading.kinds or _OPTIONS,
    )
    return [with_strike, reading] if is_option else [reading, with_strike]
