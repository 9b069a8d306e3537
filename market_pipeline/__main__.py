"""The `market-pipeline` command: wiring only. What a command does is in commands/."""

import logging
import sys

import typer

from market_pipeline.commands import market, running
from market_pipeline.commands.api import api_app
from market_pipeline.commands.archive import archive_app
from market_pipeline.commands.backfill import backfill
from market_pipeline.commands.database import database_app
from market_pipeline.commands.doctor import doctor
from market_pipeline.commands.feeds import feeds
from market_pipeline.commands.instruments import instruments_app
from market_pipeline.commands.quote import quote
from market_pipeline.commands.rebuild import replay
from market_pipeline.commands.reconcile import fill_gaps, reconcile
from market_pipeline.commands.replay import replay_check
from market_pipeline.commands.replay_day import replay_day
from market_pipeline.commands.simulator import simulator
from market_pipeline.commands.verify import verify_ticks
from market_pipeline.errors import ConfigurationError, MarketPipelineError

log = logging.getLogger(__name__)

app = typer.Typer(
    name="market-pipeline",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Trustworthy ticks and candles from Indian brokers. Start with: market-pipeline demo",
)
app.command()(running.demo)
app.command()(running.up)
app.command()(running.env)
app.command()(running.prepare_demo)
app.command()(doctor)
app.command()(simulator)
app.command()(replay)
app.command()(replay_check)
app.command()(replay_day)
app.command()(verify_ticks)
app.command()(backfill)
app.command()(reconcile)
app.command()(fill_gaps)
app.command()(feeds)
app.command()(market.subscribe)
app.command()(market.unsubscribe)
app.command()(market.stream)
app.command()(quote)
app.add_typer(instruments_app, name="instruments")
app.add_typer(market.login_app, name="login")
app.add_typer(database_app, name="db")
app.add_typer(archive_app, name="archive")
app.add_typer(api_app, name="api")


def main() -> None:
    """Run a command; a mistake of the user's or of a service is one line and an exit code."""
    try:
        app()
    except MarketPipelineError as error:
        typer.echo(f"error: {error}", err=True)
        log.debug("where it happened", exc_info=True)  # with LOG_LEVEL=DEBUG
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
