"""The files of SQL: where they are, and the migrations among them."""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from market_pipeline.errors import DatabaseError

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)(\.timescaledb)?\.sql")
_AROUND = {"0007_timescaledb.timescaledb.sql": ("set_late_ticks_aside", "return_late_ticks")}
"""What a migration that was released already needs before and after it, of sql/timescaledb."""


class Migration(NamedTuple):
    number: int
    name: str
    sql: str
    sha256: str
    needs_timescaledb: bool = False

    @property
    def file(self) -> str:
        return f"{self.number:04}_{self.name}{'.timescaledb' * self.needs_timescaledb}.sql"


def sql_folder() -> Path:
    """Return the folder `sql`: inside an installed package, at the top of the repository.

    Raises:
        DatabaseError: it is in neither place.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "sql", package.parent / "sql"):
        if (folder / "migrations").is_dir():
            return folder
    raise DatabaseError(f"The folder sql/migrations is missing in and beside {package}")


def load(folder: Path) -> list[Migration]:
    """Read all migrations of a folder, in order.

    Raises:
        DatabaseError: a file is not named NNNN_name.sql, or the numbers are not 1, 2, 3, ...
    """
    if not folder.is_dir():
        raise DatabaseError(f"The folder of migrations {folder} does not exist")
    migrations = [_read(path) for path in sorted(folder.glob("*.sql"))]
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            raise DatabaseError(
                f"{folder / migration.file}: number {expected:04} was expected here; each number "
                "is used once, without gaps"
            )
    return migrations


def scripts(migration: Migration) -> list[str]:
    """Return what is to be executed for a migration, in one transaction."""
    folder = sql_folder() / "timescaledb"
    around = [
        (folder / f"{name}.sql").read_text("utf-8") for name in _AROUND.get(migration.file, ())
    ]
    return [*around[:1], migration.sql, *around[1:]]


def _read(path: Path) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise DatabaseError(f"{path} is not named like a migration: 0001_lower_case_words.sql")
    text = path.read_text("utf-8")
    # Of the text, whose line ends are alike whatever git made of the file.
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return Migration(int(match[1]), match[2], text, checksum, match[3] is not None)
