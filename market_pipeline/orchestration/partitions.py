"""Trading days as Dagster partitions. Schedules ask the calendar, never the newest partition."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

import dagster as dg

from market_pipeline import config
from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import EXCHANGE_TZ, Calendar

TIMEZONE = EXCHANGE_TZ.key
_FIRST = date(2026, 1, 1)
_LAST = date(2036, 12, 31)  # of the days looked at; later ones would all count as trading days


def days_off(calendar: Calendar, first: date = _FIRST, last: date = _LAST) -> Iterator[date]:
    """Yield the days without trading, as far as the calendar knows them."""
    day = first
    while day <= last:
        try:
            is_trading_day = calendar.is_trading_day(day)
        except ConfigurationError:  # next year's holidays are announced in December
            return
        if not is_trading_day:
            yield day
        day += timedelta(days=1)


def trading_days_of(calendar: Calendar) -> dg.DailyPartitionsDefinition:
    """Return one partition for each trading day, today's included."""
    return dg.DailyPartitionsDefinition(
        start_date=_FIRST.isoformat(),
        timezone=TIMEZONE,
        end_offset=1,  # today's session is a partition while it lasts
        exclusions=[datetime.combine(day, time(0)) for day in days_off(calendar)] or None,
    )


trading_days = trading_days_of(config.settings().calendar)
