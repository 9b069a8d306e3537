"""Everything that Dagster shows and runs. Loads without environment, database or broker."""

import dagster as dg

from market_pipeline.orchestration import (
    backfills,
    candle_checks,
    candles,
    feeds,
    history,
    instruments,
    reconciled,
    streams,
    ticks,
    upkeep,
)
from market_pipeline.orchestration.resources import MarketBroker, MarketDatabase

defs = dg.Definitions(
    assets=[
        instruments.instruments,
        ticks.ticks,
        *candles.CANDLES,
        history.broker_candles,
        history.expiring_contracts,
        reconciled.reconciled_candles,
    ],
    asset_checks=[
        instruments.instrument_checks,
        instruments.brokers_agree_on_instruments,
        ticks.ticks_are_fresh,
        ticks.no_instrument_is_silent,
        ticks.tick_retention,
        ticks.server_policies,
        ticks.candles_are_fresh,
        feeds.feeds_agree,
        candle_checks.rows_arrive,
        candle_checks.ohlc_checks,
        candle_checks.aggregate_checks,
        candle_checks.candles_are_complete,
        candle_checks.candles_agree_with_ticks,
        candle_checks.volume_of_the_day_adds_up,
        candle_checks.anomalies_are_few,
        history.all_were_fetched,
        history.expired_contracts_are_saved,
        reconciled.candles_agree_with_broker,
        reconciled.gaps_are_filled,
    ],
    jobs=[
        instruments.instrument_sync,
        ticks.tick_stream,
        ticks.tick_checks,
        candles.candle_job,
        history.expiry_job,
        backfills.history_backfill,
        reconciled.daily_job,
        reconciled.gap_repair,
        upkeep.partition_upkeep,
    ],
    schedules=[
        instruments.sync_instruments,
        ticks.check_ticks,
        history.save_expiring_contracts,
        reconciled.reconcile_candles,
        upkeep.partition_upkeep_schedule,
    ],
    sensors=[
        instruments.missed_sync_sensor,
        streams.tick_stream_sensor,
        candles.candles_sensor,
        reconciled.gap_sensor,
    ],
    resources={"database": MarketDatabase(), "broker": MarketBroker()},
    executor=dg.in_process_executor,  # the work is in the database, not worth a process a step
)
