"""The command that serves the API, and the one that makes keys for it."""

from datetime import datetime
from typing import Annotated

import typer
from pydantic import SecretStr

from market_pipeline import services
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.commands.replay_serving import of_replay
from market_pipeline.config import Settings
from market_pipeline.storage import scratch
from market_pipeline.storage.database import Database

_STOP_SECONDS = 2  # the stack ends what takes longer than three
_MOST_MESSAGE_BYTES = 1_000_000

# The API is imported where it is needed: that takes half a second, which other commands go without.

api_app = typer.Typer(help="Serve the REST API until Ctrl-C or SIGTERM.")


@api_app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Where to answer; API_HOST otherwise.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="And at which port; API_PORT otherwise.")
    ] = None,
    day: Annotated[
        datetime | None,
        typer.Option("--replay", formats=["%Y-%m-%d"], help="Serve what a replay of it has left."),
    ] = None,
) -> None:
    """Serve the REST API until Ctrl-C or SIGTERM. `up` and `demo` do so as well.

    Without API_KEYS it answers this machine alone. What can be asked is at /docs.
    """
    if context.invoked_subcommand:
        return
    import uvicorn

    from market_pipeline.api import logs
    from market_pipeline.api.app import create_app

    settings = configured()
    update = {"api_host": host or settings.api_host, "api_port": port or settings.api_port}
    settings = settings.model_copy(update=update)
    services.require_free(
        settings.api_port, "the API", "choose another with --port", settings.api_host
    )
    with market_database(settings) as database:
        app = create_app(_of(settings, database, day))
        logs.configure(settings)
        url = services.api_url(settings)
        typer.echo(f"API at {url}/docs, live page at {url}/", err=True)
        uvicorn.run(
            app,
            host=settings.api_host,
            port=settings.api_port,
            log_config=None,  # as logs.configure has it
            access_log=False,  # each request is logged by the application, with its number
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
            ws_per_message_deflate=False,  # live ticks: it takes more time than it saves
            ws_max_size=_MOST_MESSAGE_BYTES,
        )


def _of(settings: Settings, database: Database, day: datetime | None) -> Settings:
    if day is not None:
        return of_replay(settings, scratch.kept(database, day.date()))
    return settings.model_copy(update={"database_url": SecretStr(database.url)})


@api_app.command("new-key")
def new_key() -> None:
    """Print a new API key; put it into API_KEYS as name:read:KEY or name:control:KEY."""
    from market_pipeline.api import auth

    typer.echo(auth.new_key())
