"""Room `cli`: `completion-relay audit`, each of its commands a module. Touches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import typer

from completion_relay.cli.lazy import LazyGroup


class Commands(LazyGroup):
    """All of them, in the order of the help."""

    places: ClassVar[Mapping[str, str]] = {
        "list": "completion_relay.cli.audit.list:list_",
        "show": "completion_relay.cli.audit.show:show",
        "tail": "completion_relay.cli.audit.tail:tail",
        "export": "completion_relay.cli.audit.export:export",
        "index": "completion_relay.cli.audit.index:index",
        "report": "completion_relay.cli.audit.report:report",
    }


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Read the audit trail: what became of every event.",
)


@app.callback()
def main() -> None:
    """Read the audit trail: what became of every event."""
