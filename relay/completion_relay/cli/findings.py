"""Room `cli`: what one check found, and how it is told. Touches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from rich.text import Text

from completion_relay.cli.output import printable


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """It works, and may lose something on a bad day."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not looked at, because what it needs failed before."""


_SYMBOLS: Final[Mapping[Status, tuple[str, str]]] = {
    Status.OK: ("✓", "green"),
    Status.WARNING: ("!", "yellow"),
    Status.FAILED: ("✗", "bold red"),
    Status.SKIPPED: ("-", "dim"),
}
_NAME_WIDTH: Final = 31


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    status: Status
    detail: str
    fix: str = ""

    def line(self) -> Text:
        """Return the one line for a person."""
        symbol, style = _SYMBOLS[self.status]
        fix = f": {printable(self.fix)}" if self.fix else ""
        return Text.assemble(
            (symbol, style),
            f" {printable(self.check).ljust(_NAME_WIDTH)} ",
            printable(self.detail),
            (fix, "bold" if self.status is Status.FAILED else ""),
        )

    def as_json(self) -> dict[str, str]:
        """Return the one object for a program."""
        return {name: str(value) for name, value in asdict(self).items()}
