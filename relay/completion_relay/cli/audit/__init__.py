"""Room `cli`: `completion-relay audit`, each of its commands a module. Touches nothing."""

from __future__ import annotations

import typer

from completion_relay.cli.audit.export import export
from completion_relay.cli.audit.index import index
from completion_relay.cli.audit.list import list_
from completion_relay.cli.audit.report import report
from completion_relay.cli.audit.show import show
from completion_relay.cli.audit.tail import tail

app = typer.Typer(no_args_is_help=True, help="Read the audit trail: what became of every event.")
app.command("list")(list_)
app.command("show")(show)
app.command("tail")(tail)
app.command("export")(export)
app.command("index")(index)
app.command("report")(report)
