"""Under which account the embedded PostgreSQL runs: PostgreSQL refuses to run as root."""

import os
import pwd
import subprocess
from pathlib import Path
from typing import NamedTuple

from market_pipeline.errors import EmbeddedServerError

ACCOUNTS_FOR_ROOT = ("market_pipeline", "postgres", "nobody")
"""Which existing account root hands the server to; the first that exists."""

ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""All that PostgreSQL's programs get to see: no PG* variable of the user's may reach them."""


class Account(NamedTuple):
    name: str
    uid: int
    gid: int
    groups: list[int] | None
    """Supplementary groups; None keeps ours, which is all an ordinary user may do."""

    def run(self, *command: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program under this account with `text` on its standard input."""
        return subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            cwd="/",
            env=ENVIRONMENT,
            user=self.uid,
            group=self.gid,
            extra_groups=self.groups,
            check=False,
        )

    def can_open(self, path: Path) -> bool:
        """Tell whether this account may enter a folder or execute a program."""
        return self.run("test", "-x", path).returncode == 0

    def first_closed(self, path: Path) -> Path | None:
        """Return the outermost of a path and its parents that this account cannot enter."""
        if self.can_open(path):
            return None
        return next(step for step in [*reversed(path.parents), path] if not self.can_open(step))

    def give(self, path: Path) -> None:
        """Make this account the owner of a file or folder that we created."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


def choose(data: Path) -> Account:
    """Choose the account for a data folder: its owner, or ourselves, or root's substitute.

    Raises:
        EmbeddedServerError: the folder is somebody else's, or root has no substitute.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() == 0:
        return _substitute_for_root(owner)
    if owner not in (None, os.geteuid()):
        raise EmbeddedServerError(
            f"{data} belongs to user id {owner}: run as that user or as root, or set "
            "MARKET_PIPELINE_HOME to a folder of your own"
        )
    return Account(_name(os.geteuid()), os.geteuid(), os.getegid(), None)


def _substitute_for_root(owner: int | None) -> Account:
    for entry in pwd.getpwall():
        if owner == entry.pw_uid != 0:
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, [])
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in ACCOUNTS_FOR_ROOT:
        if name in known:
            return Account(name, known[name].pw_uid, known[name].pw_gid, [])
    raise EmbeddedServerError(
        "PostgreSQL does not run as root, and none of the accounts "
        f"{', '.join(ACCOUNTS_FOR_ROOT)} exists: create one or run as an ordinary user"
    )


def _name(uid: int) -> str:
    return next((e.pw_name for e in pwd.getpwall() if e.pw_uid == uid), f"user id {uid}")
