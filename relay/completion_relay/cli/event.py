"""Room `cli`: how a command is told which event is meant: by its id, or by its place. Touches nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from completion_relay.cli.token_file import InputError
from completion_relay.undecided.search import Wanted

EventArgument = Annotated[
    str,
    typer.Argument(
        metavar="EVENT",
        help="The event's id, or where it is: PARTITION/OFFSET on the events' topic.",
    ),
]


def meant(event: str) -> Wanted:
    """Return which event is meant.

    Raises:
        InputError: nothing is given.
    """
    if not event.strip():
        # What an unset variable of a shell becomes: a record without an id has that one.
        raise InputError(
            "EVENT is empty: give the event's id, or PARTITION/OFFSET, which `status` and `audit list` show"
        )
    return Wanted.parse(event)
