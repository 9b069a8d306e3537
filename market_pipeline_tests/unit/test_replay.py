"""Replaying files of real candles: trades that make exactly the candles of the file."""

from datetime import date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from market_pipeline.errors import ConfigurationError
from market_pipeline.market import Columns
from market_pipeline.sessions import EXCHANGE_TZ, Calendar
from market_pipeline.simulator.book import Prints, joined
from market_pipeline.simulator.exchange import Exchange
from market_pipeline.simulator.feed import Feed
from market_pipeline.simulator.kite_server import SimulatorOptions, build_exchange
from market_pipeline.simulator.replay import ReplayTape, read_candles, replay_listing

OPENING = int(datetime(2016, 8, 16, 9, 15, tzinfo=EXCHANGE_TZ).timestamp())
HEADER = "Code,Date,Open,High,Low,Close,Volume\n"
BUSY = "SBIN,2016-08-16 09:15:00,245.55,246.35,244.05,245.3,692491\n"
SCARCE = "SBIN,2016-08-16 09:16:00,245.0,246.1,244.15,245.05,1\n"
STILL = "SBIN,2016-08-16 09:17:00,245.05,245.05,245.05,245.05,0\n"
ODD = "SBIN,2016-08-16 09:18:00,245.0,245.1,245.0,245.1,0\n"
REAL = Path(__file__).parents[3] / "shared" / "data"


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "candles.csv"
    path.write_text(header + "".join(rows))
    return path


def replayed(path: Path, quotes: float = 0.0) -> Exchange:
    candles = read_candles(path)
    listing = replay_listing(candles)
    return Exchange(listing, ReplayTape(candles, listing), Calendar(), quotes)


def prints(exchange: Exchange, start: int = OPENING, seconds: int = 60) -> Prints:
    feed = Feed(exchange, np.arange(len(exchange.listing)))
    return joined([feed.prints(second) for second in range(start, start + seconds)])


def history(exchange: Exchange, end: int = OPENING + 3600, start: int = OPENING) -> Columns:
    return exchange.candles(int(exchange.listing.token[0]), 1, start, end, end)


def test_trades_make_exactly_the_candle(tmp_path: Path) -> None:
    found = prints(replayed(write(tmp_path, BUSY)))
    prices = found.price / 10_000
    assert (prices[0], prices.max(), prices.min(), prices[-1]) == (245.55, 246.35, 244.05, 245.3)
    assert found.quantity.sum() == found.day_volume[-1] == 692491
    assert (np.diff(found.second) > 0).all()


def test_a_candle_of_one_share_visits_all_its_prices(tmp_path: Path) -> None:
    found = prints(replayed(write(tmp_path, SCARCE)), OPENING + 60)
    prices = found.price / 10_000
    assert (prices[0], prices.max(), prices.min(), prices[-1]) == (245.0, 246.1, 244.15, 245.05)
    assert found.quantity.sum() == 1


def test_a_flat_minute_without_volume_has_no_trades(tmp_path: Path) -> None:
    exchange = replayed(write(tmp_path, BUSY, SCARCE, STILL))
    assert not prints(exchange, OPENING + 120).row.size
    assert history(exchange)["close"][2] == 245.05


def test_in_a_minute_without_trades_the_book_still_changes(tmp_path: Path) -> None:
    found = prints(replayed(write(tmp_path, BUSY, SCARCE, STILL), quotes=1.0), OPENING + 120)
    assert found.row.size > 20
    assert set(found.price.tolist()) == {2_450_500}
    assert (found.second < OPENING + 120).all()


def test_before_the_first_replayed_trade_the_book_is_that_of_the_day_before(tmp_path: Path) -> None:
    exchange = replayed(write(tmp_path, STILL, ODD), quotes=1.0)
    found = prints(exchange, OPENING + 120)
    cached = exchange.prints(np.zeros(1, int), OPENING)
    assert set(found.second.tolist()) == set(cached.second.tolist())
    assert not found.day_volume.any()


def test_prices_that_moved_without_volume_are_traded_with_quantity_zero(tmp_path: Path) -> None:
    found = prints(replayed(write(tmp_path, BUSY, SCARCE, STILL, ODD)), OPENING + 180)
    assert found.row.size >= 2
    assert not found.quantity.any()


def test_history_is_the_file_again(tmp_path: Path) -> None:
    candles = history(replayed(write(tmp_path, BUSY, SCARCE)), OPENING + 119)
    assert candles["open"].tolist() == [245.55, 245.0]
    assert candles["volume"].tolist() == [692491, 1]


def test_rows_may_come_in_any_order(tmp_path: Path) -> None:
    sorted_rows = history(replayed(write(tmp_path, BUSY, SCARCE, ODD)))
    shuffled = history(replayed(write(tmp_path, ODD, BUSY, SCARCE)))
    assert all(np.array_equal(sorted_rows[name], shuffled[name]) for name in sorted_rows)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "SBIN,2016-08-16 09:15:00,1,1,1,1\n", header=HEADER.replace(",Low", ""))
    with pytest.raises(ConfigurationError, match=r"candles\.csv: no column low"):
        read_candles(path)


def test_a_candle_that_contradicts_itself_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, BUSY, SCARCE.replace("246.1", "240"))
    with pytest.raises(ConfigurationError, match="SBIN at 2016-08-16T09:16:00 IST"):
        read_candles(path)


def test_two_candles_of_one_minute_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="more than one candle"):
        read_candles(write(tmp_path, BUSY, BUSY))


@pytest.mark.parametrize("content", ["", HEADER, HEADER + "SBIN,never,1,1,1,1,1\n"])
def test_a_file_without_candles_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigurationError, match="candles.csv"):
        read_candles(write(tmp_path, header=content))


def test_a_file_that_is_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.csv"):
        read_candles(tmp_path / "absent.csv")


def test_parquet_with_zoned_times_and_open_interest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "candles.parquet"
    row = {"tradingsymbol": "NEW", "timestamp": datetime(2016, 8, 16, 9, 15, tzinfo=EXCHANGE_TZ)}
    numbers = {"OPEN": 10, "HIGH": 11.5, "LOW": 9.25, "CLOSE": 11, "VOLUME": 40, "OI": 700}
    pl.DataFrame([row | numbers]).write_parquet(path)
    candles = history(replayed(path), OPENING + 59)
    assert candles["time"].tolist() == [OPENING]
    assert candles["open_interest"].tolist() == [700]


def test_a_known_symbol_keeps_its_token_and_others_get_one(tmp_path: Path) -> None:
    path = write(tmp_path, BUSY, BUSY.replace("SBIN", "UNHEARD"), BUSY.replace("SBIN", "NIFTY 50"))
    tokens = {s.symbol: s.token for s in replay_listing(read_candles(path)).securities}
    assert tokens["SBIN"] == 779521
    assert tokens["NIFTY 50"] == 256265
    assert tokens["UNHEARD"] & 0xFF == 1


def test_before_the_first_replayed_day_there_is_a_close_of_the_day_before(tmp_path: Path) -> None:
    exchange = replayed(write(tmp_path, BUSY))
    cached = exchange.snapshot(exchange.listing.token, OPENING - 1)
    stamp = datetime(2016, 8, 15, 15, 29, 59, tzinfo=EXCHANGE_TZ).timestamp()
    assert cached["last_price"].tolist() == [245.55]
    assert cached["last_trade_time"].tolist() == [stamp]
    assert cached["day_volume"][0] > 0


def test_the_invented_close_is_not_in_the_history(tmp_path: Path) -> None:
    exchange = replayed(write(tmp_path, BUSY))
    assert history(exchange, OPENING - 1, OPENING - 2 * 86400)["volume"].sum() == 0


def test_the_day_before_is_remembered_across_days_that_are_not_in_the_file(tmp_path: Path) -> None:
    later = BUSY.replace("08-16", "08-24")
    exchange = replayed(write(tmp_path, BUSY, SCARCE, later))
    cached = exchange.snapshot(exchange.listing.token, OPENING + 8 * 86400 - 1)
    assert cached["last_price"].tolist() == [245.05]
    assert cached["day_volume"].tolist() == [692492]


def test_a_day_that_is_not_in_the_file_is_refused(tmp_path: Path) -> None:
    options = SimulatorOptions(replay=write(tmp_path, BUSY), day=date(2016, 8, 17))
    with pytest.raises(ConfigurationError, match="has 2016-08-16"):
        build_exchange(options)


@pytest.mark.parametrize("wrong", [{"speed": 0}, {"instruments": 0}, {"instruments": 100_001}])
def test_options_without_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        build_exchange(SimulatorOptions(**wrong))  # type: ignore[arg-type]


@pytest.mark.skipif(not REAL.exists(), reason="the real candles are not on this machine")
@pytest.mark.parametrize("symbol", ["RELIANCE", "SBIN", "PAGEIND"])
def test_a_real_day_comes_back_exactly(symbol: str) -> None:
    path = REAL / f"candles_1m_{symbol}.csv"
    real = read_candles(path).filter(pl.col("minute") < OPENING // 60 + 375)
    exchange = replayed(path)
    candles = history(exchange, OPENING + 375 * 60 - 1)
    for name in ("open", "high", "low", "close", "volume"):
        assert np.array_equal(candles[name], real[name].to_numpy()), name
    found = prints(exchange, OPENING, 375 * 60)
    assert found.quantity.sum() == real["volume"].sum()
