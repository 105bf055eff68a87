"""Room `cli`: how every `audit` command is told which decisions are meant. Touches nothing."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from completion_relay.audit_filter import AuditFilter
from completion_relay.cli.times import parse_time
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos

_WHICH = "Which decisions"

SinceOption = Annotated[
    str,
    typer.Option(
        "--from", metavar="TIME", help="Decided at this time or later.", rich_help_panel=_WHICH
    ),
]
SinceEverOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="Decided at this time or later.",
        rich_help_panel=_WHICH,
        show_default="whatever the topic holds",
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="TIME",
        help="Decided before this time.",
        rich_help_panel=_WHICH,
        show_default="now",
    ),
]
EventOption = Annotated[
    str, typer.Option("--event-id", metavar="ID", help="This event.", rich_help_panel=_WHICH)
]
WorkflowOption = Annotated[
    str,
    typer.Option(
        "--workflow-id", metavar="ID", help="Of this waiting workflow.", rich_help_panel=_WHICH
    ),
]
ActivityOption = Annotated[
    str,
    typer.Option(
        "--activity-id", metavar="ID", help="Of this waiting activity.", rich_help_panel=_WHICH
    ),
]
NamespaceOption = Annotated[
    str,
    typer.Option(
        "--namespace",
        metavar="NAME",
        help="Of this namespace; CLUSTER/NAME is that of a further cluster.",
        rich_help_panel=_WHICH,
    ),
]
DispositionOption = Annotated[
    list[Disposition] | None,
    typer.Option(
        "--disposition",
        metavar="NAME",
        help=f"With this disposition; repeatable. One of: {', '.join(Disposition)}.",
        rich_help_panel=_WHICH,
    ),
]
ReasonOption = Annotated[
    list[DeadLetterReason] | None,
    typer.Option(
        "--reason",
        metavar="NAME",
        help=f"Dead-lettered for this reason; repeatable. One of: {', '.join(DeadLetterReason)}.",
        rich_help_panel=_WHICH,
    ),
]
KeyOption = Annotated[
    str,
    typer.Option(
        "--key-id", metavar="ID", help="Of events signed with this key.", rich_help_panel=_WHICH
    ),
]


def selection(
    *,
    since: str | None = None,
    until: str | None = None,
    event_id: str = "",
    workflow_id: str = "",
    activity_id: str = "",
    namespace: str = "",
    disposition: list[Disposition] | None = None,
    reason: list[DeadLetterReason] | None = None,
    key_id: str = "",
) -> AuditFilter:
    """Return what the options ask for.

    Raises:
        TimeError: `--from` or `--to` is no time.
    """
    now = UnixNanos(time.time_ns())
    return AuditFilter(
        since=parse_time("--from", since, now) if since else None,
        until=parse_time("--to", until, now) if until else None,
        event_id=event_id,
        workflow_id=workflow_id,
        activity_id=activity_id,
        namespace=namespace,
        key_id=key_id,
        dispositions=frozenset(disposition or ()),
        reasons=frozenset(reason or ()),
    )
