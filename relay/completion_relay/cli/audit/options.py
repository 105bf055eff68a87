"""Room `cli`: how every `audit` command is told which decisions are meant. Touches nothing."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from completion_relay.audit_filter import AuditFilter
from completion_relay.cli.times import parse_time
from completion_relay.cli.token_file import InputError
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
    str | None, typer.Option("--event-id", metavar="ID", help="This event.", rich_help_panel=_WHICH)
]
WorkflowOption = Annotated[
    str | None,
    typer.Option(
        "--workflow-id", metavar="ID", help="Of this waiting workflow.", rich_help_panel=_WHICH
    ),
]
ActivityOption = Annotated[
    str | None,
    typer.Option(
        "--activity-id", metavar="ID", help="Of this waiting activity.", rich_help_panel=_WHICH
    ),
]
NamespaceOption = Annotated[
    str | None,
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
    str | None,
    typer.Option(
        "--key-id", metavar="ID", help="Of events signed with this key.", rich_help_panel=_WHICH
    ),
]


def selection(
    *,
    since: str | None = None,
    until: str | None = None,
    event_id: str | None = None,
    workflow_id: str | None = None,
    activity_id: str | None = None,
    namespace: str | None = None,
    disposition: list[Disposition] | None = None,
    reason: list[DeadLetterReason] | None = None,
    key_id: str | None = None,
) -> AuditFilter:
    """Return what the options ask for.

    Raises:
        TimeError: `--from` or `--to` is no time.
        InputError: an id or a name is empty, or `--to` is not after `--from`.
    """
    for option, text in (
        ("--event-id", event_id),
        ("--workflow-id", workflow_id),
        ("--activity-id", activity_id),
        ("--namespace", namespace),
        ("--key-id", key_id),
    ):
        # What an unset variable becomes: it listed everything.
        if text is not None and not text.strip():
            what = "a name" if option == "--namespace" else "an id"
            raise InputError(f"{option} is empty: give {what}, or leave it out for all decisions")
    now = UnixNanos(time.time_ns())
    begin = None if since is None else parse_time("--from", since, now)
    end = None if until is None else parse_time("--to", until, now)
    if begin is not None and end is not None and end <= begin:
        raise InputError(
            f"--to {until} is not after --from {since}, which may be the default: give an earlier --from, or "
            "a later --to"
        )
    return AuditFilter(
        since=begin,
        until=end,
        event_id=event_id or "",
        workflow_id=workflow_id or "",
        activity_id=activity_id or "",
        namespace=namespace or "",
        key_id=key_id or "",
        dispositions=frozenset(disposition or ()),
        reasons=frozenset(reason or ()),
    )
