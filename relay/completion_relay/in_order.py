"""Room `pipeline`: which earlier event of its activity a record has to wait for.

`Order` knows what is parked. One that was too large for the parked topic is known there to one life of a
relay alone, so a copy of a later one says which it is behind. Touches nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from completion_relay.assigned import Assigned
from completion_relay.decision import Former
from completion_relay.ledger import PartitionLedger
from completion_relay.parking import Ticket
from completion_relay.pipeline import Plan


def in_order(held: Assigned, ticket: Ticket | None, plan: Plan, former: Former) -> Former:
    """Return what came of an event with the earlier one that it is behind now.

    Args:
        held: The partition where it was read.
        ticket: What a parked record says of itself; None: it is not one.
        plan: What is to be done for it.
        former: What came of it so far.
    """
    if plan.key is None:
        return former
    first, said, events = plan.delivery.offset, former.behind, events_of(held, ticket, plan)
    behind = held.order.before(plan.key, first)
    # One that was too large for the parked topic is not known to be parked after a restart: it is
    # read again, or will be, and undecided till then.
    if events is not None and said is not None and said < first and not events.is_settled(said):
        behind = said if behind is None else max(said, behind)
    return former if behind == said else replace(former, behind=behind)


async def without_what_is_gone(
    held: Assigned,
    ticket: Ticket,
    plan: Plan,
    former: Former,
    ends: Callable[[int], Awaitable[int | None]],
) -> Former:
    """Return it without an earlier event that will never come.

    The topic was made anew, or has lost its end: it would be waited for for ever.

    Args:
        held: As `in_order` has it.
        ticket: The same.
        plan: The same.
        former: The same.
        ends: Asks Kafka where a partition of the events ends, by its number; None: it does not say.
    """
    events, said = events_of(held, ticket, plan), former.behind
    if events is None or said is None or said < events.next_offset or events.is_settled(said):
        return former
    end = await ends(plan.delivery.partition)
    return former if end is None or said < end else replace(former, behind=None)


def events_of(held: Assigned, ticket: Ticket | None, plan: Plan) -> PartitionLedger | None:
    """Return that of the partition that a parked one was in first; None: this member does not have it."""
    if ticket is None or plan.delivery.partition != held.partition.partition:
        return None
    return held.place.instructions.events
