"""The table of faults, and what became of every packet in each."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from market_pipeline.proof import Verdict
from market_pipeline_tests.faults.world import World

HEADER = (
    "fault | packets sent | rows stored | not received | spoilt | lost | duplicated | altered"
    " | out of order | gap rows | seconds to recover | limit | peak RSS MB"
).split(" | ")


@dataclass(frozen=True)
class Row:
    """One fault.

    Not received are packets at the end of a connection, and spoilt are those that the disk damaged
    in the journal: both are in gap rows, and the bytes of the latter in table `rejected`.
    """

    fault: str
    sent: int
    stored: int
    not_received: int
    spoilt: int
    lost: int
    duplicated: int
    altered: int
    out_of_order: int
    gaps: int
    recovered_in: float
    limit: float
    peak_rss: float

    @classmethod
    def of(cls, fault: str, world: World, verdict: Verdict, limit: float) -> "Row":
        return cls(
            fault=fault,
            sent=verdict.sent,
            stored=verdict.stored,
            not_received=verdict.not_received,
            spoilt=verdict.spoilt,
            lost=verdict.lost,
            duplicated=verdict.duplicated,
            altered=verdict.altered,
            out_of_order=verdict.out_of_order,
            gaps=world.gaps,
            recovered_in=world.recovered_in,
            limit=limit,
            peak_rss=world.peak_rss,
        )

    @property
    def is_proven(self) -> bool:
        wrong = self.lost + self.duplicated + self.altered + self.out_of_order
        return wrong == 0 and self.sent == self.stored + self.not_received + self.spoilt

    def cells(self) -> list[str]:
        seconds = f"{self.recovered_in:.1f}" + (" (over)" if self.recovered_in > self.limit else "")
        numbers = (
            *(self.sent, self.stored, self.not_received, self.spoilt, self.lost),
            *(self.duplicated, self.altered, self.out_of_order, self.gaps),
        )
        counted = [f"{number:,}" for number in numbers]
        return [self.fault, *counted, seconds, f"{self.limit:.0f}", f"{self.peak_rss:.0f}"]


def markdown(rows: Iterable[Row]) -> str:
    """Write the table as Markdown."""
    lines = [HEADER, ["---"] + ["---:"] * (len(HEADER) - 1), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def write(rows: Iterable[Row], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(markdown(rows), "utf-8")
