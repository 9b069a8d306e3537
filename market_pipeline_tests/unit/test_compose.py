"""docker-compose.yml: safe as it is, complete, and in step with the settings and the commands."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from dagster_webserver.cli import dagster_webserver
from pydantic import SecretStr
from typer.main import get_command

from grafana.generator import GRAFANA
from market_pipeline.__main__ import app
from market_pipeline.api.dagster_client import LOCATION
from market_pipeline.archive.store import open_store
from market_pipeline.brokers.login import TokenStore
from market_pipeline.config import PROTOCOLS, BrokerName, Settings
from market_pipeline_tests.acceptance.demo import ROOT
from market_pipeline_tests.containers import COMPOSE, composed, grace_seconds

SERVICES: dict[str, dict[str, Any]] = composed()["services"]
OURS = {name for name, service in SERVICES.items() if "market_pipeline:" in service["image"]}
TEXT = COMPOSE.read_text("utf-8")
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?:(:[-+?])([^}]*))?\}")
SECRET = re.compile("PASSWORD|SECRET|TOKEN|API_KEYS")
# What compose decides, and a second simulated exchange, which it does not run.
NOT_PASSED = {
    *("DAGSTER_PORT", "API_HOST", "API_PORT", "MARKET_PIPELINE_HOME"),
    *("STANDBY_BROKER", "STANDBY_SIMULATOR_URL"),
}
OBJECT_STORE = set(composed()["x-object-store"])  # read by the library that reaches it
NOT_OURS = {"PGPASSWORD", "DAGSTER_DATABASE_URL"} | OBJECT_STORE  # by libpq and dagster.yaml
HOME = Path("/var/lib/market_pipeline")

each_service = pytest.mark.parametrize("name", SERVICES)


def variables(name: str) -> dict[str, str | None]:
    """Return the environment of a service; None stands for what .env says, if it says something."""
    found: dict[str, str | None] = SERVICES[name].get("environment", {})
    return found


def test_it_is_a_compose_file_by_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(COMPOSE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_variable_is_explained_in_the_example_of_the_env_file() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    explained = set(re.findall(r"^#? ?([A-Z_]+)=", example, re.MULTILINE))
    passed = {key for name in SERVICES for key, value in variables(name).items() if value is None}
    used = {match[1] for match in VARIABLE.finditer(TEXT)} | passed
    assert used - explained == set()


def test_no_secret_has_a_default_and_each_says_how_to_make_one() -> None:
    secrets = [match for match in VARIABLE.finditer(TEXT) if SECRET.search(match[1])]
    assert {match[1] for match in secrets if match[2] != ":?"} == set()
    assert all("openssl rand" in match[3] for match in secrets)


def test_no_secret_is_written_down() -> None:
    written = {
        f"{name}: {key}"
        for name in SERVICES
        for key, value in variables(name).items()
        if SECRET.search(key) and value is not None and not VARIABLE.fullmatch(str(value))
    }
    assert written == set()


def test_ports_are_published_on_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not str(port).startswith("127.0.0.1:")] == []


@each_service
def test_each_service_runs_without_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["user"].split(":")[0] not in ("", "0", "root")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@each_service
def test_each_service_has_limits(name: str) -> None:
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert grace_seconds(name) >= 10
    assert service["networks"] == ["market"]


@each_service
def test_each_service_is_watched_and_started_again_unless_it_ends_by_itself(name: str) -> None:
    service = SERVICES[name]
    if service["restart"] == "no":
        conditions = [each.get("depends_on", {}).get(name) for each in SERVICES.values()]
        assert {"condition": "service_completed_successfully"} in conditions
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"


@each_service
def test_each_service_waits_until_what_it_needs_is_healthy(name: str) -> None:
    conditions = {on: how["condition"] for on, how in SERVICES[name].get("depends_on", {}).items()}
    assert conditions == {
        on: "service_completed_successfully"
        if SERVICES[on]["restart"] == "no"
        else "service_healthy"
        for on in conditions
    }
    assert conditions or name in ("timescaledb", "simulator")


def test_images_of_others_are_pinned() -> None:
    images = {service["image"] for name, service in SERVICES.items() if name not in OURS}
    assert [image for image in images if not re.search(r":\d+\.\d+\.\d+(-pg17)?$", image)] == []


def test_grafana_is_the_version_that_its_dashboards_are_made_for() -> None:
    assert SERVICES["grafana"]["image"] == f"grafana/grafana:{GRAFANA}"


def test_our_image_is_built_once_and_never_pulled() -> None:
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["init"]
    assert {SERVICES[name]["pull_policy"] for name in OURS} == {"never"}


def test_streams_have_a_version_of_their_own() -> None:
    images = {name: SERVICES[name]["image"] for name in OURS}
    streams = images.pop("streams")
    assert streams not in images.values()
    assert {service.get("restart") for service in SERVICES.values()} <= {"no", "unless-stopped"}
    restarting = [
        name
        for name, how in SERVICES["streams"]["depends_on"].items()
        if how.get("restart", False)  # would stop streams whenever that is replaced
    ]
    assert restarting == []


def test_only_the_set_up_is_done_as_owner_and_no_address_holds_a_password() -> None:
    addresses = {name: variables(name).get("DATABASE_URL") for name in OURS}
    users = {name: urlsplit(url).username for name, url in addresses.items() if url}
    owners = [name for name, user in users.items() if user == "market_owner"]
    assert owners == ["init"]
    assert users.pop("api") == "market_api"
    assert set(users.values()) == {"market_owner", "market_writer"}
    assert not any(urlsplit(url).password for url in addresses.values() if url)


def test_every_setting_reaches_a_service() -> None:
    settings = {name.upper() for name in Settings.model_fields}
    reached = {key for name in OURS for key in variables(name)}
    assert settings - reached - NOT_PASSED == set()


def test_what_is_passed_is_a_setting() -> None:
    settings = {name.upper() for name in Settings.model_fields} | NOT_OURS
    passed = {key for name in OURS for key in variables(name)}
    assert {key for key in passed - settings if not key.startswith("MARKET_")} == set()


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_command_of_each_service_is_one_that_is_installed(name: str) -> None:
    program, *words = SERVICES[name]["command"]
    assert program in {each.name for each in entry_points(group="console_scripts")}
    if program == "market-pipeline":
        parsed(get_command(app), words)
    elif program == "dagster-webserver":
        words[words.index("-w") + 1] = str(ROOT / "docker" / "workspace.yaml")
        parsed(dagster_webserver, words)


def parsed(command: Any, words: list[str]) -> None:
    """Parse a command line without running it; what is not known raises."""
    commands = getattr(command, "commands", {})
    if commands and words and not words[0].startswith("-"):
        parsed(commands[words[0]], words[1:])
    else:
        command.make_context(command.name, list(words)).close()


@pytest.mark.parametrize("name", sorted(OURS - {"init", "demo"}))
def test_each_health_check_asks_a_port_that_its_service_answers_at(name: str) -> None:
    *program, address = SERVICES[name]["healthcheck"]["test"]
    assert program == ["CMD", "python", "-m", "market_pipeline.probe"]
    asked = urlsplit(address)
    asked_of = name if asked.hostname == "127.0.0.1" else str(asked.hostname)
    assert str(asked.port) in SERVICES[asked_of]["command"]


@pytest.mark.parametrize("broker", PROTOCOLS)
def test_the_demo_is_healthy_once_it_is_logged_in_to_the_broker_that_is_set(
    broker: BrokerName, tmp_path: Path
) -> None:
    TokenStore(tmp_path).save(broker, SecretStr("token"), datetime.now(UTC))
    *_, file = SERVICES["demo"]["healthcheck"]["test"]
    (kept,) = tmp_path.iterdir()
    assert file.replace("${BROKER:-simulator}", broker.value).endswith(f"/tokens/{kept.name}")


def test_the_simulated_exchange_is_told_what_the_pipeline_is_told_of_it() -> None:
    told = {"BROKER", "SIMULATOR_ALWAYS_OPEN", "CALENDAR_FILE"}
    for name in ("simulator", "demo", "streams"):
        assert told <= set(variables(name)), name
    assert not {"--broker", "--always-open", "--exchange-hours"} & set(
        SERVICES["simulator"]["command"]
    )


def test_dagster_finds_its_code_locations() -> None:
    workspace = yaml.safe_load((ROOT / "docker" / "workspace.yaml").read_text("utf-8"))
    servers = [each["grpc_server"] for each in workspace["load_from"]]
    attributes = {each["host"]: SERVICES[each["host"]]["command"] for each in servers}
    assert {host: words[words.index("-a") + 1] for host, words in attributes.items()} == {
        "code": "main",
        "streams": "streaming",
    }
    assert all(str(each["port"]) in attributes[each["host"]] for each in servers)
    assert {each["host"]: each["location_name"] for each in servers}["code"] == LOCATION


@pytest.mark.parametrize("url", ["", "s3://ticks"])
def test_what_archives_can_write_where_files_are_made(url: str) -> None:
    folder = open_store(url, HOME).scratch
    writable = [
        HOME.joinpath(volume.split(":")[1])
        for volume in SERVICES["code"]["volumes"]
        if isinstance(volume, str) and not volume.endswith(":ro")
    ]
    (volume,) = {folder, *folder.parents} & set(writable)
    assert f"{volume}" in (ROOT / "Dockerfile").read_text("utf-8").split()


def test_what_readme_says_of_object_stores_reaches_what_archives() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    named = set(re.findall(r"`((?:AWS|GOOGLE|AZURE)_[A-Z_]+)", readme))
    # A path of this machine is none of the container's.
    assert named - {"GOOGLE_SERVICE_ACCOUNT"} <= OBJECT_STORE <= set(variables("code"))


def volumes() -> Iterator[str]:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if isinstance(volume, str) and not volume.startswith("."):
                yield volume.split(":")[0]


def test_each_named_volume_is_declared_and_used() -> None:
    assert set(volumes()) == set(composed()["volumes"])
