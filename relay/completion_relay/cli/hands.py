"""Room `cli`: `completion-relay skip` and `park`. Touches `undecided`, the audit trail, `instruct`, the terminal."""

from __future__ import annotations

import asyncio
import getpass
import sys
import time
from typing import Annotated

import typer

from completion_relay.cli.audit.decisions import decisions_on, tell_how_far
from completion_relay.cli.boundary import NO
from completion_relay.cli.event import EventArgument, meant
from completion_relay.cli.hands_said import show, tell, tell_why_not
from completion_relay.cli.hands_until import For, Until
from completion_relay.cli.instruct import instruct
from completion_relay.cli.options import (
    ConfigOption,
    DatabaseOption,
    JsonOption,
    KafkaOption,
    settings_from,
)
from completion_relay.cli.output import print_note, printable
from completion_relay.cli.progress import scanning
from completion_relay.cli.reach import REQUEST_TIMEOUT_MS, reaching_kafka
from completion_relay.cli.token_file import InputError
from completion_relay.connections import kafka_options
from completion_relay.instruction import MAX_TEXT, Instruction
from completion_relay.settings import Settings
from completion_relay.undecided.search import Found, Wanted, decided_by, find
from completion_schemas.times import UnixNanos

ByOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Who says so; goes into the audit record. Default: the user of this machine.",
        show_default=False,
    ),
]
WhyOption = Annotated[str, typer.Option(metavar="TEXT", help="Why; goes into the audit record.")]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")
]
WaitOption = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="Wait so long for a relay to do it, and say what became of it.",
    ),
]


def skip(
    event: EventArgument,
    *,
    why: WhyOption,
    by: ByOption = "",
    yes: YesOption = False,
    wait: WaitOption = 30.0,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have one event not applied: it is audited as `skipped`, with who and why.

    Wherever it is: waiting for its next try, parked, or in the backlog. The next event of its
    activity goes on. A call to Temporal that is under way is heard out, and counts if it decides.

    Exits 1 if the event is not there, is decided already, or was not skipped in time.

    For example:

        completion-relay skip order-42-approved --why "ticket 7: sent by mistake"

        completion-relay skip 3/1017 --by ann --why "ticket 7" --yes
    """
    settings = settings_from(config, kafka=kafka, database=database)
    _act(
        settings,
        meant(event),
        by=_by(by),
        why=_text("--why", why),
        ends=None,
        yes=yes,
        wait=wait,
        as_json=as_json,
    )


def park(
    event: EventArgument,
    *,
    why: WhyOption,
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="TIME",
            help="So long: 90s, 15m, 1h, 7d at most; 1h if nothing is said.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until then: 2026-01-31T12:00:00Z.")
    ] = None,
    by: ByOption = "",
    yes: YesOption = False,
    wait: WaitOption = 30.0,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take one event out of the way: it is parked, and not tried before its time.

    Later events of its activity wait behind it; no other does. It is taken up again by itself,
    and its audit record says who had it parked, and why.

    Exits 1 if the event is not there, is decided already, or was not parked in time.

    For example:

        completion-relay park order-42-approved --for 2h --why "ticket 7: the worker is being mended"
    """
    settings = settings_from(config, kafka=kafka, database=database)
    if for_ is not None and until is not None:
        raise InputError("--for and --until say the same: give one of them")
    now = UnixNanos(time.time_ns())
    ends = For(for_ or "1h") if until is None else Until(until, now)
    ends.at(now)
    _act(
        settings,
        meant(event),
        by=_by(by),
        why=_text("--why", why),
        ends=ends,
        yes=yes,
        wait=wait,
        as_json=as_json,
    )


def _by(given: str) -> str:
    if given:
        return _text("--by", given)
    try:
        return _text("--by", getpass.getuser())
    except (KeyError, OSError):
        raise InputError(
            "--by is missing: this user has no name here, so say who you are"
        ) from None


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _confirmed(question: str) -> bool:
    # On standard error, also its last blank: typer's own writes that to what a program reads.
    sys.stderr.write(f"{printable(question)} [y/N]: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _text(option: str, text: str) -> str:
    if not text.strip():
        raise InputError(f"{option} is empty: it goes into the audit record, so say it")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Bytes of the command line that this locale cannot read; no header and no audit record takes them.
        raise InputError(
            f"{option} cannot be read as {sys.getfilesystemencoding()}, the encoding of this locale: it goes "
            "into the audit record, so write it in that"
        ) from None
    if len(text) > MAX_TEXT:
        raise InputError(
            f"{option} has {len(text)} characters, more than the audit record takes: give {MAX_TEXT} "
            "at most"
        )
    return text


async def _found(settings: Settings, wanted: Wanted) -> Found:
    """Return what is known of the event: undecided, or else what was decided."""
    options = {**kafka_options(settings.kafka), "request_timeout_ms": REQUEST_TIMEOUT_MS}
    with scanning("looking through what is undecided") as progress:
        found = await find(settings, options, wanted, progress)
    if not found.undecided:
        asked = decided_by(wanted, found, settings.topics.completions)
        decisions = await decisions_on(settings, asked)
        found.decided = tuple(decisions.records)
        tell_how_far(decisions.index_until)
    return found


def _act(
    settings: Settings,
    wanted: Wanted,
    *,
    by: str,
    why: str,
    ends: For | Until | None,
    yes: bool,
    wait: float,
    as_json: bool,
) -> None:
    if not yes and not _can_ask():
        raise InputError("--yes is missing: there is no terminal here on which you could be asked")
    with reaching_kafka(settings.kafka):
        found = asyncio.run(_found(settings, wanted))
    if len(found.undecided) != 1:
        tell_why_not(settings, wanted, found, as_json=as_json)
        raise typer.Exit(NO)
    (event,) = found.undecided.values()
    if not as_json:
        show(settings, event, found.told.get(event.place))
    if not yes:
        what = "Skip it" if ends is None else f"Park it {ends}"
        if not _confirmed(f"{what}, by {by}: {why}?"):
            print_note("Nothing was changed.")
            raise typer.Exit(NO)
    # Only now: to find it took its time, and so did the answer.
    now = UnixNanos(time.time_ns())
    instruction = Instruction(
        topic=settings.topics.completions,
        partition=event.first_partition,
        offset=event.first_offset,
        event_id=event.event_id if event.is_readable else "",
        by=by,
        why=why,
        at=now,
        until=None if ends is None else ends.at(now),
    )
    with reaching_kafka(settings.kafka):
        outcome = asyncio.run(instruct(settings, instruction, wait=wait))
        if outcome is None and wait:
            # It may have been decided while a person was asked, before its decision was waited for.
            found = asyncio.run(_found(settings, wanted))
    if outcome is None and found.decided:
        tell_why_not(settings, wanted, found, as_json=as_json)
        raise typer.Exit(NO)
    is_done = tell(instruction, event, outcome, wait=wait, as_json=as_json)
    if not is_done:
        raise typer.Exit(NO)
