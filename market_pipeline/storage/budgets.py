"""The state of request budgets in the database, where all processes share it."""

from collections.abc import Callable

from market_pipeline.storage.database import Connection, Database, run


class DatabaseBudgets:
    """Keeps the states in table broker_budgets, and time by the clock of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def update(
        self, key: tuple[str, str, str], change: Callable[[str, float], tuple[str, float]]
    ) -> float:
        """Replace a state, and return the number that `change` returns beside the new one.

        `change` is given the state, "{}" before the first, and the time in seconds since 1970.
        Nobody else reads or replaces that state meanwhile: it must be quick.

        Raises:
            DatabaseError: nothing was changed.
        """
        row = dict(zip(("broker", "account", "budget"), key, strict=True))
        with self._database.transaction() as connection:
            run(connection, "hurry_budget")
            state, now = _lock(connection, row)
            state, result = change(state, now)
            run(connection, "set_budget", state=state, **row)
        return result


def _lock(connection: Connection, row: dict[str, str]) -> tuple[str, float]:
    while (found := run(connection, "lock_budget", **row).fetchone()) is None:
        run(connection, "add_budget", **row)
    return str(found[0]), float(found[1])
