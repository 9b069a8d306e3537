"""The SQL of panels, variables and annotations, as Grafana's PostgreSQL data source wants it."""

from pathlib import Path
from typing import Literal

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef

#: Provisioned under this uid, so dashboards need not ask which data source to use.
DATA_SOURCE = DataSourceRef(type_val="grafana-postgresql-datasource", uid="market_pipeline")

PANELS = Path(__file__).parents[2] / "sql" / "panels"

Format = Literal["table", "time_series"]


def sql(name: str) -> str:
    """Return the SQL of the file `name`, which is <dashboard>/<panel>, without the suffix.

    Raises:
        FileNotFoundError: there is no such file in sql/panels/.
    """
    return (PANELS / f"{name}.sql").read_text("utf-8").strip()


class PanelQuery(Dataquery):
    """A query of the PostgreSQL data source, for which the SDK has no type of its own."""

    def __init__(self, name: str, form: Format, letter: str) -> None:
        self.sql = sql(name)
        self.form = form
        self.letter = letter

    def to_json(self) -> dict[str, object]:
        """Return the fields of Grafana's SQLQuery."""
        return {
            "datasource": DATA_SOURCE,
            "editorMode": "code",
            "format": self.form,
            "rawQuery": True,
            "rawSql": self.sql,
            "refId": self.letter,
        }


class Query(Builder[Dataquery]):
    """Builds the query of the file sql/panels/`name`.sql.

    `form` is table, which hands the rows over as they are, or time_series: rows in the order
    of their `time`, every column of numbers is a series, with one for each value of a text column.
    """

    def __init__(self, name: str, form: Format = "table", letter: str = "A") -> None:
        self._query = PanelQuery(name, form, letter)

    def build(self) -> PanelQuery:
        """Return the query."""
        return self._query
