"""Roles of the database, so that each program has the rights it needs and no more.

The owner runs migrations; market_writer is for streams and Dagster, market_api for the API,
market_reader for whoever only reads, market_grafana for dashboards. What each may do is in
sql/functions/access_differences.sql. A server on which the roles cannot be made works without.
"""

import logging
from collections.abc import Mapping

from pydantic import SecretStr

from market_pipeline.config import Settings
from market_pipeline.storage.database import Connection, Database, run

log = logging.getLogger(__name__)


def passwords(settings: Settings) -> dict[str, SecretStr]:
    """Return the passwords that are set, by role."""
    chosen = {
        "market_writer": settings.market_writer_password,
        "market_reader": settings.market_reader_password,
        "market_api": settings.market_api_password,
        "market_grafana": settings.market_grafana_password,
    }
    return {role: password for role, password in chosen.items() if password is not None}


def owner_instead(connection: Connection) -> str | None:
    """Return who owns our tables if this user may not do what that one may, None otherwise."""
    row = run(connection, "schema_owner").fetchone()
    return None if row is None or row[1] else str(row[0])


def set_logins(connection: Connection, chosen: Mapping[str, SecretStr]) -> None:
    """Let roles log in with passwords, which do not leave this process: see RFC 5803."""
    for role, password in chosen.items():
        encrypted = connection.pgconn.encrypt_password(
            password.get_secret_value().encode(), role.encode(), b"scram-sha-256"
        )
        run(connection, "set_role_login", role=role, verifier=encrypted.decode())


def grant_access(connection: Connection) -> None:
    """Give and take rights so that each role has its own; warn of what this user may not give."""
    for (problem,) in run(connection, "grant_access").fetchall():
        log.warning("the roles of the database are not as they must be: %s", problem)


def states(database: Database) -> dict[str, str]:
    """Say of each role whether there is one and whether it may log in."""
    return {
        row["role"]: "can log in"
        if row["can_log_in"]
        else ("cannot log in: it has no password" if row["exists"] else "missing")
        for row in database.query("roles").to_dicts()
    }


def problems(database: Database) -> list[str]:
    """Say which rights are missing or too many; a role that does not exist is none."""
    return [
        f"{row['role']} {'lacks' if row['is_missing'] else 'has'} {row['privileges']} on "
        f"{row['first']}"
        + (f" and {row['targets'] - 1} more" if row["targets"] > 1 else "")
        + ": run `market-pipeline db init` as the owner"
        for row in database.query("access_differences").to_dicts()
    ]
