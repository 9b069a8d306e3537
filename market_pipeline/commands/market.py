"""Commands about brokers and what comes from them: log in, subscribe, stream."""

import signal
import threading
import uuid
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import typer

from market_pipeline import brokers
from market_pipeline.brokers.fyers import Fyers
from market_pipeline.brokers.kite import Kite
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.config import BrokerName
from market_pipeline.errors import ConfigurationError
from market_pipeline.market import Mode
from market_pipeline.sessions import to_ist
from market_pipeline.storage import instruments
from market_pipeline.streaming import supervisor

login_app = typer.Typer(no_args_is_help=True, help="Get an access token from a broker.")

Names = Annotated[
    list[str], typer.Argument(help="EXCHANGE:SYMBOL, a symbol, or the broker's token.")
]


@login_app.command("kite")
def login_kite(
    answer: Annotated[
        str | None,
        typer.Argument(help="The request token, or the whole address you were redirected to."),
    ] = None,
) -> None:
    """Log in to Kite for today and keep the access token, readable by you only.

    Kite's tokens end at 06:00 the next morning. A pipeline that is running picks the new one up
    by itself.
    """
    settings = configured()
    api_key, secret = settings.kite_credentials()
    kite = Kite(api_key, lambda: None)
    if answer is None:
        typer.echo(
            f"Open this address, log in, and copy where you end up:\n\n  {kite.login_url()}\n"
        )
        answer = typer.prompt("request token or address", hide_input=True)
    token = kite.exchange_request_token(request_token(answer), secret)
    brokers.token_store(settings).save(BrokerName.KITE, token, datetime.now(UTC))
    typer.echo("Logged in to Kite until 06:00 IST.")


@login_app.command("fyers")
def login_fyers(
    answer: Annotated[
        str | None,
        typer.Argument(help="The auth code, or the whole address you were redirected to."),
    ] = None,
) -> None:
    """Log in to Fyers for today and keep the access token, readable by you only.

    A pipeline that is running picks the new token up by itself.
    """
    settings = configured()
    app_id, secret = settings.fyers_credentials()
    fyers = Fyers(app_id, lambda: None)
    if answer is None:
        page = fyers.login_url(settings.fyers_redirect_uri)
        typer.echo(f"Open this address, log in, and copy where you end up:\n\n  {page}\n")
        answer = typer.prompt("auth code or address", hide_input=True)
    token = fyers.exchange_auth_code(_pasted(answer, "auth_code"), secret)
    until = brokers.keep_fyers_token(settings, token)
    typer.echo(f"Logged in to Fyers until {to_ist(until):%H:%M IST on %d %B}.")


def request_token(answer: str) -> str:
    """Find Kite's request token in what the user has pasted.

    Raises:
        ConfigurationError: it is an address without one.
    """
    return _pasted(answer, "request_token")


def _pasted(answer: str, name: str) -> str:
    answer = answer.strip()
    if "://" not in answer and f"{name}=" not in answer:
        return answer
    found = parse_qs(urlsplit(answer).query).get(name)
    if not found:
        raise ConfigurationError(f"That address has no {name}: log in again and copy it whole")
    return found[0]


def subscribe(
    names: Names,
    mode: Annotated[Mode, typer.Option(help="How much each packet carries.")] = Mode.FULL,
) -> None:
    """Subscribe instruments: a running pipeline streams them within seconds."""
    settings = configured()
    with market_database(settings) as database:
        broker, standby = settings.broker.value, settings.standby_broker
        for symbol in instruments.subscribe(database, broker, names, mode, standby):
            typer.echo(f"{symbol} {mode.value}")


def unsubscribe(names: Names) -> None:
    """Unsubscribe instruments; what was stored of them stays."""
    settings = configured()
    with market_database(settings) as database:
        broker, standby = settings.broker.value, settings.standby_broker
        for symbol in instruments.unsubscribe(database, broker, names, standby):
            typer.echo(symbol)


def stream(
    name: Annotated[str, typer.Argument(metavar="STREAM", help="As in simulator-0 or kite-0.")],
) -> None:
    """Run one stream in the foreground, without Dagster, until Ctrl-C or SIGTERM."""
    settings = configured()
    stop = threading.Event()

    def ask_to_stop() -> None:
        # In a thread, because a handler that sets an event can meet it half-way through a wait.
        threading.Thread(target=stop.set).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ask_to_stop())
    with market_database(settings) as database:
        reason = supervisor.run_stream(
            name,
            f"cli-{uuid.uuid4().hex[:12]}",
            [brokers.open_broker(each) for each in settings.each_broker],
            database,
            settings,
            stop,
            lambda report: typer.echo(f"ticks={report.ticks} lag_ms={report.lag_ms}"),
            lambda: False,
        )
    typer.echo(f"{name}: {reason}")
