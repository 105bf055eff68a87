"""Room `pipeline`: what a record leaves behind, found out however often it takes. Touches the clock.

A defect of ours holds up the lane that it is in, and nobody else: it is logged and
tried again, since the record may be neither lost nor dead-lettered for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

from completion_relay.assigned import Assigned
from completion_relay.clock import Clock
from completion_relay.entry import Entry
from completion_relay.observe import Observer
from completion_relay.place import LetGoError


async def into_the_journal(
    entry: Callable[[], Awaitable[Entry]],
    held: Assigned,
    position: str,
    *,
    wait_after: Callable[[int], float],
    observer: Observer,
    clock: Clock,
) -> None:
    """Have the record's entry made, and put it into its partition's journal.

    Args:
        entry: Makes it.
        held: The partition.
        position: The record's, for the log.
        wait_after: Returns the seconds to wait after so many defects.
        observer: Told of them.
        clock: Time.

    Raises:
        LetGoError: the partition was given up while the record waited.
    """
    for tries in itertools.count(1):
        try:
            made = await entry()
        except LetGoError:
            raise
        except Exception as error:  # noqa: BLE001 - a defect; nothing is lost by waiting
            observer.crashed(error, position)
            await held.place.pause(clock, wait_after(tries))
        else:
            held.journal.add(made)
            return
