"""Room `tests/chaos`: a run's figures as a table and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from tests.chaos.judge import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run came to."""

    title: str
    seed: int
    seconds: float
    """How long events came, and faults with them."""
    settled_after: float
    """Seconds from the last fault's end until everything was committed; negative: never was."""
    load: Mapping[str, int]
    """Activities, events, duplicates, garbage."""
    faults: Mapping[str, int]
    """By kind, those that were carried out."""
    told: Mapping[str, Any]
    """What is worth knowing and has no right number."""
    findings: Sequence[Finding]

    @property
    def wrong(self) -> dict[str, list[str]]:
        """The findings that are not 0, each with its count and its examples."""
        return {
            finding.name: [str(finding.count), *finding.examples]
            for finding in self.findings
            if finding.count
        }

    @property
    def is_well(self) -> bool:
        """Whether every finding is 0, and all was committed in time."""
        return not self.wrong and self.settled_after >= 0

    def as_json(self) -> dict[str, Any]:
        """Return all of it as `json.dumps` takes it."""
        return {
            "title": self.title,
            "seed": self.seed,
            "seconds": self.seconds,
            "settled_after": round(self.settled_after, 1),
            "load": dict(self.load),
            "faults": dict(self.faults),
            "told": dict(self.told),
            "findings": {finding.name: finding.count for finding in self.findings},
            "wrong": self.wrong,
            "well": self.is_well,
        }

    def as_table(self) -> Table:
        """Return all of it for people."""
        table = Table(title=f"{self.title}, seed {self.seed}, {self.seconds:g} s", min_width=76)
        table.add_column("")
        table.add_column("", justify="right")
        for name, count in self.load.items():
            table.add_row(name, f"{count:,}")
        table.add_section()
        for kind, count in self.faults.items():
            table.add_row(kind, str(count))
        table.add_section()
        table.add_row("all committed after the last fault, s", f"{self.settled_after:.1f}")
        for name, value in self.told.items():
            table.add_row(name, str(value))
        table.add_section()
        for finding in self.findings:
            style = "bold red" if finding.count else "green"
            table.add_row(finding.name, f"{finding.count:,}", style=style)
            for example in finding.examples:
                table.add_row(f"  {example[:300]}", "", style="dim")
        return table
