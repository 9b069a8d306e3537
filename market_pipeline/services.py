"""Which programs make up the stack: their command lines, addresses and how to tell they serve."""

import json
import random
import shutil
import socket
import sys
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from market_pipeline.config import Settings
from market_pipeline.errors import ConfigurationError, PortInUse
from market_pipeline.processes import Service
from market_pipeline.storage import embedded
from market_pipeline.storage.database import Database, in_schema

HOST = "127.0.0.1"
SIMULATOR = "simulator"
STANDBY_SIMULATOR = "simulator-standby"
CODE_SERVER = "dagster-code"
DAEMON = "dagster-daemon"
WEBSERVER = "dagster-webserver"
API = "api"

_LOCATION = "market_pipeline"
_DEFINITIONS = "market_pipeline.definitions"
_PROBE_SECONDS = 2.0
# Below the ports that systems hand out for outgoing connections; see embedded_connection.
_OTHER_PORTS = range(20_000, 32_768)


def simulators(settings: Settings) -> dict[str, Settings]:
    """Return the simulated brokers by the names of their services, the preferred one first."""
    named = zip((SIMULATOR, STANDBY_SIMULATOR), settings.each_broker, strict=False)
    return dict(named) if settings.is_simulated else {}


def simulator(
    url: str, always_open: bool = True, protocol: str = "kite", name: str = SIMULATOR
) -> Service:
    """Describe the simulated exchange at an address of this machine, which speaks a broker's.

    What is traded follows from the seed, which is the same for all: two of them, one for each
    protocol, are one exchange seen through two brokers.
    """
    address = urlsplit(url)
    hours = "--always-open" if always_open else "--exchange-hours"
    command = (
        *(sys.executable, "-m", "market_pipeline", "simulator", hours, "--broker", protocol),
        *("--host", address.hostname or HOST, "--port", str(port_of(url))),
    )
    return Service(name, command, lambda: _answers(f"{url}/simulator/status"))


def dagster(home: Path, ui_port: int, code_port: int) -> list[Service]:
    """Describe Dagster: the code server, the daemon and the web server with the UI."""
    workspace = home / "run" / "workspace.yaml"
    server = {"host": HOST, "port": code_port, "location_name": _LOCATION}
    # JSON is YAML.
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}), "utf-8")
    where = ("-h", HOST, "-p")
    code = (executable("dagster"), "api", "grpc", "-m", _DEFINITIONS, *where, str(code_port))
    daemon = (executable("dagster-daemon"), "run", "-w", str(workspace))
    ui = (executable("dagster-webserver"), "-w", str(workspace), *where, str(ui_port))
    return [
        Service(CODE_SERVER, code, lambda: _listens(HOST, code_port)),
        Service(DAEMON, daemon, lambda: True),
        Service(WEBSERVER, ui, lambda: _answers(f"http://{HOST}:{ui_port}/server_info")),
    ]


def api(settings: Settings) -> Service:
    """Describe the REST API where settings say that it answers."""
    where = ("--host", settings.api_host, "--port", str(settings.api_port))
    command = (sys.executable, "-m", "market_pipeline", "api", *where)
    return Service(API, command, lambda: _answers(f"{api_url(settings)}/health"))


def api_url(settings: Settings) -> str:
    """Return the address at which this machine reaches the API."""
    host = {"0.0.0.0": HOST, "::": "::1"}.get(settings.api_host, settings.api_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}"


def executable(name: str) -> str:
    """Return a program of the environment that we run in, activated or not.

    Raises:
        ConfigurationError: it is not installed.
    """
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise ConfigurationError(
            f"The program {name} is not installed beside {sys.executable}: install market-pipeline "
            "again"
        )
    return found


def dagster_home(home: Path) -> Path:
    return home / "dagster"


def prepare_dagster_home(home: Path) -> None:
    """Write the instance configuration of this version into DAGSTER_HOME.

    Raises:
        ConfigurationError: it is neither in the package nor beside it.
    """
    package = Path(__file__).parent
    for shipped in (package / "dagster.yaml", package.parent / "dagster.yaml"):
        if shipped.is_file():
            dagster_home(home).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shipped, dagster_home(home) / "dagster.yaml")
            return
    raise ConfigurationError(f"dagster.yaml is missing in and beside {package}")


def dagster_url(settings: Settings, chosen: str | None) -> str:
    """Return where Dagster keeps its runs and events, password included.

    That is the address the user has chosen, or the database `dagster` of the embedded server, or
    the schema `dagster` of the configured database.
    """
    if chosen:
        return _for_psycopg2(chosen)
    if settings.database_url is None:
        return _for_psycopg2(embedded.url(settings.market_pipeline_home, "dagster"))
    url = settings.database_url.get_secret_value()
    Database(url).execute("create_dagster_schema")
    return _for_psycopg2(in_schema(url, "dagster"))


def _for_psycopg2(url: str) -> str:
    # To SQLAlchemy 2.1 a plain postgresql:// means psycopg 3, with which dagster-postgres does
    # not recognise that another process has just created a table.
    scheme, rest = url.split("://", 1)
    return f"postgresql+psycopg2://{rest}" if scheme in ("postgresql", "postgres") else url


def port_of(url: str) -> int:
    """Return the port of an http or https address."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def is_taken(port: int, host: str = HOST) -> bool:
    """Tell whether another program listens on a port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError:
            return True
    return False


def free_port(wanted: int | None = None, promised: Collection[int] = ()) -> int:
    """Return the wanted port if it is free and promised to nobody, else another that is.

    Raises:
        PortInUse: none was found.
    """
    others = random.sample(_OTHER_PORTS, 100)
    for port in [*([wanted] if wanted else []), *others]:
        if port not in promised and not is_taken(port):
            return port
    raise PortInUse("No free port was found between 20000 and 32767")


def require_free(port: int, purpose: str, remedy: str, host: str = HOST) -> None:
    """Check a port that may not be replaced by another.

    Raises:
        PortInUse: names the port, what it is for and what to do.
    """
    if is_taken(port, host):
        raise PortInUse(f"Port {port} of {purpose} is taken by another program: {remedy}")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=_PROBE_SECONDS, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def lineage_url(dagster_url: str) -> str:
    """Return the address of the page that shows the whole graph, from instruments to candles."""
    return f"{dagster_url}/assets/instruments?view=lineage&lineageScope=downstream&lineageDepth=5"
