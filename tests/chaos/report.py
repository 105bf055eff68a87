"""Room `tests/chaos`: a run's figures as a table and as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from tests.chaos.found import Finding, Found, by_its_position, what
from tests.chaos.judge import Script
from tests.chaos.script import Event, Item, Kind, waiting_for

from completion_schemas.record import KafkaRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run came to."""

    title: str
    seed: int
    seconds: float
    """How long events came, and faults with them."""
    settled_after: float
    """Seconds from the last fault's and event's end until all was committed; negative: never was."""
    load: Mapping[str, int]
    """Activities, records, duplicates."""
    events: Mapping[str, Mapping[str, int]]
    """What became of the records, by kind; each counted once."""
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
            "events": {kind: dict(became) for kind, became in self.events.items()},
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
        for kind, became in self.events.items():
            told = ", ".join(f"{count:,} {disposition}" for disposition, count in became.items())
            table.add_row(kind, told or "0")
        table.add_section()
        for kind, count in self.faults.items():
            table.add_row(kind, str(count))
        table.add_section()
        table.add_row(
            "all committed after the last fault and event, s", f"{self.settled_after:.1f}"
        )
        for name, value in self.told.items():
            table.add_row(name, str(value))
        table.add_section()
        for finding in self.findings:
            style = "bold red" if finding.count else "green"
            table.add_row(finding.name, f"{finding.count:,}", style=style)
            for example in finding.examples:
                table.add_row(f"  {example[:300]}", "", style="dim")
        return table


def events_by_kind(seed: int, items: Sequence[Item], found: Found) -> dict[str, dict[str, int]]:
    """Return what became of the records that are there, by kind."""
    kinds = Script.of(seed, items).kinds
    became: dict[str, Counter[str]] = {str(kind): Counter() for kind in Kind}
    for position, (record, *_) in by_its_position(found.audit).items():
        kind = kinds.get(what(found.main[position])) if position in found.main else None
        if kind is not None:
            became[str(kind)][str(record.disposition)] += 1
    return {kind: dict(sorted(count.items())) for kind, count in became.items()}


def load_figures(items: Sequence[Item], records: Iterable[KafkaRecord]) -> dict[str, int]:
    """Return what a run's load was, by what is there; who is named by ids, by what was emitted."""
    there = Counter(what(record) for record in records)
    return {
        "activities": len(waiting_for(items)),
        "records on the main topic": there.total(),
        "of them duplicates": there.total() - len(there),
        "of them by ids": sum(isinstance(item, Event) and item.by_ids for item in items),
        "of them with an odd header name": sum(
            isinstance(item, Event) and item.odd for item in items
        ),
    }
