"""Schemas in place of databases, for the one database there is in WebAssembly.

To make one takes a second, and the server slows down with each; so they are emptied and used again.
"""

import uuid
from pathlib import Path

import psycopg
from psycopg import sql

from market_pipeline.storage import schema

_FUNCTIONS = Path(__file__).with_suffix(".sql")


class Schemas:
    """The schemas of a server in WebAssembly, with all that the pipeline has in one, or without."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._free: list[str] = []
        self._fingerprints: dict[str, str | None] = {}
        with self._connect() as connection:
            connection.execute(_FUNCTIONS.read_bytes())

    def take(self, is_prepared: bool) -> str:
        """Return the name of a schema that nobody else uses."""
        if is_prepared and self._free:
            return self._free.pop()
        name = f"test_{uuid.uuid4().hex[:8]}"
        with self._connect() as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
            if is_prepared:
                schema.prepare(self.url(name))
                connection.execute("SELECT reuse.note(%s)", [name])
                self._fingerprints[name] = self._fingerprint(connection, name)
        return name

    def url(self, name: str) -> str:
        """Return where a schema is reached."""
        return f"{self._url}?options=-csearch_path%3D{name}%2Cpublic"

    def give_back(self, name: str) -> None:
        """Empty a schema for the next one who takes it, or drop it where it was altered."""
        with self._connect() as connection:
            made = self._fingerprints.get(name)
            if made and made == self._fingerprint(connection, name):
                connection.execute("SELECT reuse.empty(%s)", [name])
                self._free.append(name)
                return
            for each in (name, f"{name}_made"):
                text = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(each))
                connection.execute(text)

    def _fingerprint(self, connection: psycopg.Connection[tuple[str]], name: str) -> str | None:
        row = connection.execute("SELECT reuse.fingerprint(%s)", [name]).fetchone()
        return row[0] if row else None

    def _connect(self) -> psycopg.Connection[tuple[str]]:
        return psycopg.connect(self._url, autocommit=True)
