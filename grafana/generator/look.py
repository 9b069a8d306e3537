"""Units, colours and thresholds: the same thing looks the same on every dashboard."""

from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

# Grafana's names of units.
COUNT = "short"  # 1.2 K, 3.4 Mil
WHOLE = "none"  # every digit
PRICE = "locale"  # every digit, in groups
PERCENT = "percent"  # 12.5 is 12.5 %
RATIO = "none"
SECONDS = "s"
MILLISECONDS = "ms"
BYTES = "bytes"
PER_SECOND = "cps"
TEXT = "string"
WHEN = "dateTimeAsIso"

UP = "green"
DOWN = "red"
FLAT = "#8e8e8e"
GOOD = "green"
WARNING = "orange"
BAD = "red"
NEUTRAL = "blue"
QUIET = "#8e8e8e"
CALLS = "#5794f2"
PUTS = "#ff9830"
BID = "#73bf69"
ASK = "#f2495c"
INTEREST = "#b877d9"
VOLUME = "#8ab8ff"


def thresholds(base: str, *steps: tuple[float, str]) -> ThresholdsConfig:
    """Return `base` as the colour up to the first of `steps`: (value, colour from there on)."""
    colours = [Threshold(None, base), *(Threshold(value, colour) for value, colour in steps)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(colours)


def fixed(colour: str) -> FieldColor:
    """Return the setting by which everything of a panel has one colour."""
    return FieldColor().mode(FieldColorModeId.FIXED).fixed_color(colour)


def by_thresholds() -> FieldColor:
    """Return the setting by which values have the colours of their thresholds."""
    return FieldColor().mode(FieldColorModeId.THRESHOLDS)


def words(meanings: dict[str, tuple[str, str]]) -> list[ValueMapping]:
    """Return mappings that show a value as (text, colour)."""
    results = {
        value: ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(meanings.items())
    }
    return [ValueMap(results)]


def option(name: str, value: object) -> DynamicConfigValue:
    """Return one setting of a column or series in place of the panel's, by Grafana's name of it."""
    return DynamicConfigValue(name, value)


def colour(value: str) -> DynamicConfigValue:
    """Return the setting that gives a column or series its colour."""
    return option("color", {"mode": "fixed", "fixedColor": value})


def column(
    name: str, unit: str | None = None, decimals: int | None = None, *others: DynamicConfigValue
) -> list[DynamicConfigValue]:
    """Return the settings of one column or series: its name for readers, its unit, and others."""
    units = [] if unit is None else [option("unit", unit)]
    digits = [] if decimals is None else [option("decimals", decimals)]
    return [option("displayName", name), *units, *digits, *others]


def changed() -> list[DynamicConfigValue]:
    """Return the settings of a column of changes: red below zero, green above."""
    built = thresholds(DOWN, (-0.000_001, FLAT), (0.000_001, UP)).build()
    return [option("thresholds", built), option("color", {"mode": "thresholds"})]


def in_words(meanings: dict[str, tuple[str, str]]) -> list[DynamicConfigValue]:
    """Return the settings of a table's column of values that are shown as (text, colour)."""
    return [option("mappings", words(meanings)), _coloured()]


def from_on(*steps: tuple[float, str]) -> list[DynamicConfigValue]:
    """Return the settings of a number that from a value on, and the next, has a colour."""
    return [option("thresholds", thresholds("text", *steps).build()), _coloured()]


def _coloured() -> DynamicConfigValue:
    return option("custom.cellOptions", {"type": "color-text"})


def hidden(name: str) -> list[DynamicConfigValue]:
    """Return the settings of a column that links need and readers do not."""
    nowhere = {"viz": True, "legend": True, "tooltip": True}
    return [
        option("displayName", name),
        option("custom.hidden", True),  # before Grafana 12.2
        option("custom.hideFrom", nowhere),
    ]
