"""Everything that Dagster shows and runs. Loads without environment, database or broker.

`defs` is all of it, in one code location, as `up` and `demo` run it. Where code is deployed while
streams run, two code servers share it, one of `main` and one of `streaming`: a code server takes
the runs that it has started with it when its container goes. They are named as in
`dagster api grpc -m market_pipeline.definitions -a streaming`.
"""

import dagster as dg

from market_pipeline.orchestration import (
    archive,
    backfills,
    candle_checks,
    candles,
    feeds,
    history,
    instruments,
    reconciled,
    retention,
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
        archive.tick_archive,
    ],
    asset_checks=[
        instruments.instrument_checks,
        instruments.brokers_agree_on_instruments,
        ticks.ticks_are_fresh,
        ticks.no_instrument_is_silent,
        ticks.server_policies,
        ticks.candles_are_fresh,
        feeds.feeds_agree,
        retention.tick_retention,
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
        archive.archive_is_whole,
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
        archive.archive_job,
        retention.retention_verification,
        upkeep.partition_upkeep,
    ],
    schedules=[
        instruments.sync_instruments,
        ticks.check_ticks,
        history.save_expiring_contracts,
        reconciled.reconcile_candles,
        archive.archive_days,
        retention.verify_retention,
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


def streaming() -> dg.Definitions:
    """Return what keeps streams alive.

    Their asset `ticks` and its checks are in `main`: a run reports to an asset by its key.
    """
    return dg.Definitions(
        jobs=[ticks.tick_stream],
        sensors=[streams.tick_stream_sensor],
        resources=defs.resources,
        executor=defs.executor,
    )


def main() -> dg.Definitions:
    """Return everything but the streams: all assets, and all work that ends by itself."""
    elsewhere = streaming()
    return dg.Definitions(
        assets=defs.assets,
        asset_checks=defs.asset_checks,
        jobs=[job for job in defs.jobs or [] if job not in (elsewhere.jobs or [])],
        schedules=defs.schedules,
        sensors=[each for each in defs.sensors or [] if each not in (elsewhere.sensors or [])],
        resources=defs.resources,
        executor=defs.executor,
    )
