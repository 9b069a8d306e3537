"""A tape of real one-minute candles, read from a CSV or Parquet file."""

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import EXCHANGE_TZ, Session, trading_dates
from market_pipeline.simulator import securities
from market_pipeline.simulator.listing import UNITS, Listing, Security, default_listing, equity
from market_pipeline.simulator.noise import Bits, Int, fraction, hashed, integer, keys_of
from market_pipeline.simulator.securities import Company
from market_pipeline.simulator.tape import Minutes

_NAMES = {
    "symbol": ("symbol", "code", "tradingsymbol"),
    "time": ("time", "date", "datetime", "timestamp"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
    "open_interest": ("oi", "open_interest"),
}
_EPOCH = date(1970, 1, 1)
_OPTIONAL = "open_interest"
_PAISA = UNITS // 100
_MOST_TRADES = 20
_SYNTHETIC_TOKENS = 500_000
_IST_MINUTES = 330
_NIGHT_MINUTES = 511  # from the last minute of a session, 15:29, to midnight
_EVERY_NAMED_INSTRUMENT = 2_500


def read_candles(path: Path) -> pl.DataFrame:
    """Read a file of candles, sorted by symbol and minute. Times without zone are IST.

    Raises:
        ConfigurationError: the file cannot be read, lacks a column, or contradicts itself.
    """
    frame = _standard_columns(_read(path), path)
    prices = [pl.col(name).cast(pl.Float64) for name in ("open", "high", "low", "close")]
    counts = [pl.col(name).cast(pl.Int64) for name in ("volume", "open_interest")]
    try:
        frame = frame.select(pl.col("symbol").cast(pl.String), _minute(frame), *prices, *counts)
    except pl.exceptions.PolarsError as error:
        raise ConfigurationError(f"{path}: a value cannot be read: {error}") from error
    _refuse_contradictions(frame, path)
    return frame.sort("symbol", "minute")


def _read(path: Path) -> pl.DataFrame:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pl.read_parquet(path)
        return pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigurationError(f"{path}: cannot be read as candles: {error}") from error


def _standard_columns(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    present = {name.strip().lower(): name for name in frame.columns}
    chosen = []
    for name, spellings in _NAMES.items():
        spelling = next((present[s] for s in spellings if s in present), None)
        if spelling is not None:
            chosen.append(pl.col(spelling).alias(name))
        elif name == _OPTIONAL:
            chosen.append(pl.lit(0).alias(name))
        else:
            raise ConfigurationError(
                f"{path}: no column {name}; add one named {' or '.join(spellings)} "
                f"(found: {', '.join(frame.columns)})"
            )
    return frame.select(chosen)


def _minute(frame: pl.DataFrame) -> pl.Expr:
    """Minutes since 1970 of column `time`."""
    kind = frame.schema["time"]
    time = pl.col("time")
    if not isinstance(kind, pl.Datetime):
        time = time.cast(pl.String).str.to_datetime(time_unit="us")
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        time = time.dt.replace_time_zone(EXCHANGE_TZ.key)
    return (time.dt.epoch("s") // 60).alias("minute")


def _refuse_contradictions(frame: pl.DataFrame, path: Path) -> None:
    if frame.is_empty():
        raise ConfigurationError(f"{path}: holds no candles")
    highest = pl.max_horizontal("open", "close", "low")
    lowest = pl.min_horizontal("open", "close", "high")
    sane = (pl.col("high") >= highest) & (pl.col("low") <= lowest) & (pl.col("low") > 0)
    sane &= pl.col("volume") >= 0
    _refuse(
        frame.filter(~sane.fill_null(False)),
        path,
        "high, low, open, close and volume contradict each other or are missing",
    )
    twice = pl.struct("symbol", "minute").is_duplicated()
    _refuse(frame.filter(twice), path, "there is more than one candle of a minute")


def _refuse(rows: pl.DataFrame, path: Path, reason: str) -> None:
    if rows.is_empty():
        return
    first = rows.row(0, named=True)
    when = np.datetime64(first["minute"] * 60 + 19_800, "s")
    raise ConfigurationError(
        f"{path}: {first['symbol']} at {when} IST: {reason} ({rows.height} rows); correct the file"
    )


def replay_listing(candles: pl.DataFrame) -> Listing:
    """List the symbols of a file: under their real token if known, else as a made-up equity."""
    first = candles.group_by("symbol", maintain_order=True).first()
    today = date.fromisoformat("2000-01-01")
    known = {s.symbol: s for s in default_listing(today, _EVERY_NAMED_INSTRUMENT).securities}
    return Listing(
        _listed(symbol, price, number, known)
        for number, (symbol, price) in enumerate(zip(first["symbol"], first["open"], strict=True))
    )


def _listed(symbol: str, price: float, number: int, known: Mapping[str, Security]) -> Security:
    company = next((c for c in securities.COMPANIES if c.symbol == symbol), None)
    if symbol in known and known[symbol].segment == "INDICES":
        return known[symbol]._replace(price=price)
    if company is None:
        company = Company(symbol, _SYNTHETIC_TOKENS + number, symbol, price)
    # Prices of past years are on the tick of their day, not on today's.
    return equity(company._replace(price=price))._replace(tick=0.05)


class ReplayTape:
    """The candles of a file, and nothing where the file has none."""

    def __init__(self, candles: pl.DataFrame, listing: Listing) -> None:
        self.keys: Bits = keys_of(0, listing.token, 0)
        self.grid: Int = np.full(len(listing), _PAISA)
        by_symbol = {
            str(key[0]): part for key, part in candles.partition_by("symbol", as_dict=True).items()
        }
        self._candles = [
            _minutes_of(by_symbol[security.symbol], self.keys[row : row + 1])
            for row, security in enumerate(listing.securities)
        ]
        self.days = sorted(set(trading_dates(candles["minute"].to_numpy() * 60).tolist()))

    def day(self, wanted: date | None, path: Path) -> int:
        """Return a day in the file, the first by default, as days since 1970.

        Raises:
            ConfigurationError: the file has no candles of that day.
        """
        day = self.days[0] if wanted is None else (wanted - _EPOCH).days
        if day not in self.days:
            known = ", ".join(str(_EPOCH + timedelta(days=d)) for d in self.days[:10])
            raise ConfigurationError(f"{path} has no candles of {wanted}; it has {known}")
        return day

    def span(self, day: int) -> tuple[int, int]:
        """Return the first minute of a day (since 1970) and the one after its last."""
        minutes = np.concatenate([candles.minute for candles in self._candles])
        of_day = minutes[trading_dates(minutes * 60) == day]
        return int(of_day.min()), int(of_day.max()) + 1

    def minutes(self, rows: Int, session: Session, first: int, count: int) -> Minutes:
        minute = np.broadcast_to(np.arange(first, first + count), (len(rows), count))
        figures = {name: np.zeros((len(rows), count), np.int64) for name in Minutes._fields[1:]}
        for position, row in enumerate(rows):
            held = self._candles[row]
            start, end = np.searchsorted(held.minute, (first, first + count))
            columns = held.minute[start:end] - first
            for name, values in figures.items():
                values[position, columns] = getattr(held, name)[start:end]
        return Minutes(minute=minute, **figures)

    def closing(self, rows: Int, session: Session) -> Minutes:
        """Return the last candle before the session's end.

        Before the first candle that is an invented one without trades: the first open, at the
        usual end of the day before.
        """
        end = int(session.closes_at.timestamp()) // 60
        found = [_last_before(self._candles[row], end) for row in rows]
        return Minutes(*(np.array(values, np.int64) for values in zip(*found, strict=True)))


def _last_before(held: Minutes, end: int) -> tuple[Any, ...]:
    traded = np.flatnonzero(held.trades[: np.searchsorted(held.minute, end)])
    if traded.size:
        return tuple(held.pick(traded[-1]))
    first = held.open[0]
    midnight = (held.minute[0] + _IST_MINUTES) // 1440 * 1440 - _IST_MINUTES
    return (midnight - _NIGHT_MINUTES, first, first, first, first, 0, held.open_interest[0], 0)


def _minutes_of(candles: pl.DataFrame, key: Bits) -> Minutes:
    """Hold one symbol's candles in the units of the exchange, with a number of trades for each."""
    prices = (
        np.rint(candles[name].to_numpy() * 100).astype(np.int64) * _PAISA
        for name in ("open", "high", "low", "close")
    )
    opened, high, low, close = prices
    held = Minutes(
        minute=candles["minute"].to_numpy(),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=candles["volume"].to_numpy(),
        open_interest=candles["open_interest"].fill_null(0).to_numpy(),
        trades=np.zeros(candles.height, np.int64),
    )
    return held._replace(trades=_trades(held, key))


def _trades(held: Minutes, key: Bits) -> Int:
    """Choose how many trades made each candle: as many as its prices need, more if it was busy."""
    above = held.high > np.maximum(held.open, held.close)
    below = held.low < np.minimum(held.open, held.close)
    needed = np.where(held.open != held.close, 2, 1)
    needed = np.where(above | below, 3, needed)
    needed = np.where(above & below, 4, needed)
    bits = hashed(key, held.minute)
    busy = np.minimum(held.volume, 6 + integer(bits, 0) % (_MOST_TRADES - 5))
    trades = np.maximum(needed, (busy * (0.5 + fraction(bits, 12) / 2)).astype(np.int64))
    before = np.concatenate(([held.open[0]], held.close[:-1]))
    flat = (needed == 1) & (held.open == before)
    return np.where((held.volume == 0) & flat, 0, trades)
