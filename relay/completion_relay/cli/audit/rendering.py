"""Room `cli`: how a decision is shown to a person. Touches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from completion_relay.cli.output import is_terminal, plural, print_table, printable, stacked
from completion_relay.cli.times import show_duration, show_time
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition

_STYLES: Final = {
    Disposition.APPLIED: "green",
    Disposition.DUPLICATE: "cyan",
    Disposition.COALESCED: "cyan",
    Disposition.SKIPPED: "yellow",
    Disposition.DEAD_LETTERED: "bold red",
}
_OTHER_STYLE: Final = "yellow"


def print_list(records: Sequence[AuditRecord]) -> None:
    """Print decisions as a table: whole ids, a line each, where it is no terminal."""
    if is_terminal():
        print_table(
            ("decided", "event", "outcome", "took"),
            [
                (
                    stacked(*show_time(record.decided_at).split(" ")),
                    stacked(record.event_id or place(record), activity(record)),
                    stacked(record.type or "-", disposition(record)),
                    stacked(latency(record), tries(record)),
                )
                for record in records
            ],
        )
        return
    print_table(
        (
            "decided",
            "event_id",
            "type",
            "disposition",
            "reason",
            "workflow_id",
            "activity_id",
            "tries",
            "took",
            "record",
        ),
        [
            (
                show_time(record.decided_at).replace(" ", "T"),
                record.event_id,
                record.type,
                str(record.disposition),
                str(record.reason or ""),
                record.workflow_id,
                record.activity_id,
                str(record.tries),
                latency(record).replace(" ", ""),
                place(record),
            )
            for record in records
        ],
    )


def line(record: AuditRecord) -> Text:
    """Return a decision as one line, for who watches them come."""
    # What is empty would make the columns of two lines unlike.
    names = [record.type or "-", record.event_id or place(record), activity(record) or "-"]
    return Text.assemble(
        (show_time(record.decided_at), "dim"),
        "  ",
        disposition(record),
        f"  {printable('  '.join(names))}  {latency(record)}, {tries(record)}",
    )


def place(record: AuditRecord) -> str:
    """Return where the event's own record is: by that one is named that has no id."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def activity(record: AuditRecord) -> str:
    """Return the waiting activity's ids."""
    return (
        f"{record.workflow_id} / {record.activity_id}" if record.workflow_id else record.activity_id
    )


def disposition(record: AuditRecord) -> Text:
    """Return what became of the event, and why where that is one word."""
    reason = f" ({record.reason})" if record.reason else ""
    return Text(f"{record.disposition}{reason}", _STYLES.get(record.disposition, _OTHER_STYLE))


def latency(record: AuditRecord) -> str:
    """Return how long it was from the outcome to the decision, `-` where that is not known."""
    return show_duration(record.decided_at - record.occurred_at) if record.occurred_at else "-"


def tries(record: AuditRecord) -> str:
    """Return how many tries it took."""
    return plural(record.tries, "try", "tries")
