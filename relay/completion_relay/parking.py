"""Room `parking`: a record that waits elsewhere, and which events must not overtake it. Core: touches nothing.

What cannot be decided now and holds up others goes to the parked topic, into the
partition of the same number, with the bytes and headers that it came with; where
it came from and when to try again stand in headers of its own. The same member
of the group has both partitions and takes it up again from there. Its identity
at Temporal and in the audit trail stays that of its first position (promise 3).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from completion_relay.copies import Copies
from completion_relay.decision import Delivery, Former, Park
from completion_relay.instruction import Hold
from completion_relay.own_headers import HeaderError, OwnHeaders
from completion_schemas.errors import CompletionError
from completion_schemas.events import UnixNanos
from completion_schemas.record import Headers, KafkaRecord

PREFIX = "completion-park-"
_REASON_BYTES = 4_096
_OFFSET = 2**63 - 1
_NANOSECONDS = 2**63 - 1
_MILLISECONDS = 10**12
_PARTITION = 2**31 - 1
_YES = "yes"
_COUNT = 10**9
"""Of tries. The audit record's is a 32-bit number, and there may be more of them."""


class ParkedRecordError(CompletionError, ValueError):
    """A record on the parked topic that no relay has written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a parked record says of itself."""

    topic: str
    """Where it was first: topic, partition and offset are its identity."""
    partition: int
    offset: int
    timestamp_ms: int
    """The record's own time there, milliseconds since the epoch."""
    key: str
    """The activity's (contract section 2): the record's Kafka key is whatever its producer gave."""
    received_at: UnixNanos
    """When a relay first had it."""
    not_before: UnixNanos
    """When to try again, where it was not its namespace alone that kept it."""
    times: int
    """How often it has been parked."""
    former: Former
    """What came of the tries so far."""
    hold: Hold | None = None
    """That an operator had it parked; None: nobody has."""


def parked_record(
    delivery: Delivery,
    park: Park,
    *,
    key: str,
    times: int,
    not_before: UnixNanos,
    relay_id: str,
    hold: Hold | None = None,
) -> KafkaRecord:
    """Return the record for the parked topic.

    Args:
        delivery: What is parked, as it was first delivered.
        park: Why, and what came of the tries.
        key: The activity's.
        times: How often it has been parked, this time included.
        not_before: When to try again.
        relay_id: Who parks it.
        hold: That an operator had it parked, now or before.
    """
    former = park.former
    said = {
        "topic": delivery.topic,
        "partition": str(delivery.partition),
        "offset": str(delivery.offset),
        "timestamp": str(delivery.timestamp_ms),
        "key": key,
        "received-at": str(delivery.received_at),
        "not-before": str(not_before),
        "times": str(times),
        "tries": str(former.tries),
        "first-failed-at": "" if former.first_failed_at is None else str(former.first_failed_at),
        "may-land": _YES if former.may_land else "",
        "failed-itself": _YES if former.failed_itself else "",
        "early-for": str(round(former.early_for * 1e3)),
        "behind": "" if former.behind is None else str(former.behind),
        "reason": park.reason.encode()[:_REASON_BYTES].decode("utf-8", "ignore"),
        "relay-id": relay_id,
    }
    if hold is not None:
        said |= {"by": hold.by, "why": hold.why, "until": str(hold.until)}
    record = delivery.record
    own = ((PREFIX + name, text.encode()) for name, text in said.items())
    return KafkaRecord(record.key, record.value, (*without_ticket(record.headers), *own))


def without_ticket(headers: Headers) -> tuple[tuple[str, bytes | None], ...]:
    """Return the headers that a record came with before it was parked."""
    return tuple((name, value) for name, value in headers if not name.startswith(PREFIX))


def read_ticket(headers: Headers, *, of: str) -> Ticket:
    """Return what a record of the parked topic says of itself.

    Args:
        headers: The record's.
        of: The topic that records are parked of.

    Raises:
        ParkedRecordError: it does not say all of it, or not clearly, or is of another topic.
    """
    try:
        said = OwnHeaders(headers, PREFIX)
        topic, key = said.text("topic"), said.text("key")
        if topic != of:
            raise ParkedRecordError(f"header {PREFIX}topic must be {of}")
        return Ticket(
            topic=topic,
            partition=said.number("partition", most=_PARTITION),
            offset=said.number("offset", most=_OFFSET),
            # A record without a time has -1 as its timestamp (Kafka's NO_TIMESTAMP).
            timestamp_ms=said.number("timestamp", least=-1, most=_NANOSECONDS),
            key=key,
            received_at=UnixNanos(said.number("received-at", most=_NANOSECONDS)),
            not_before=UnixNanos(said.number("not-before", most=_NANOSECONDS)),
            times=said.number("times", least=1, most=_COUNT),
            former=_former(said),
            hold=Hold(
                by=said.text("by"),
                why=said.text("why"),
                until=UnixNanos(said.number("until", most=_NANOSECONDS)),
            )
            if "until" in said
            else None,
        )
    except HeaderError as error:
        raise ParkedRecordError(str(error)) from None


def _former(said: OwnHeaders) -> Former:
    tries, first_failed_at = said.number("tries", most=_COUNT), None
    if said.text("first-failed-at"):
        first_failed_at = UnixNanos(said.number("first-failed-at", most=_NANOSECONDS))
    # A relay of a former version says neither: it took any call for one that may land, and waited
    # where there was a refusal.
    return Former(
        tries=tries,
        first_failed_at=first_failed_at,
        may_land=bool(said.text("may-land")) if "may-land" in said else tries > 0,
        failed_itself=bool(said.text("failed-itself"))
        if "failed-itself" in said
        else first_failed_at is not None,
        early_for=said.number("early-for", most=_MILLISECONDS) / 1e3
        if "early-for" in said
        else 0.0,
        behind=said.number("behind", most=_OFFSET)
        if "behind" in said and said.text("behind")
        else None,
    )


class Order:
    """Which events of a partition are parked, so that no later one of the same activity overtakes them.

    A million may be, after a night without their namespace: an activity is a number here, not a
    string and a set. Where two share one, the later event of the one waits for the other's.
    """

    def __init__(self) -> None:
        self._parked: dict[int, int | set[int]] = {}
        """By the hash of the activity's key: the first offset of its one event, or those of its events."""
        self._count = 0
        self.copies = Copies()
        """Which of them are there more than once."""
        self._asked: dict[int, bool] = {}
        """By offset, whether the event is parked, where that was asked: an instruction asks each second."""

    def __len__(self) -> int:
        """How many events are parked."""
        return self._count

    def park(self, key: str, offset: int) -> bool:
        """Take note of an event by its activity and first offset; False if it was known."""
        self._asked.pop(offset, None)
        activity = hash(key)
        there = self._parked.get(activity)
        if there is None:
            self._parked[activity] = offset
        elif isinstance(there, set):
            if offset in there:
                return False
            there.add(offset)
        elif there == offset:
            return False
        else:
            self._parked[activity] = {there, offset}
        self._count += 1
        return True

    def decided(self, key: str, offset: int) -> None:
        """Take note that an event, parked or not, has its final outcome."""
        activity = hash(key)
        if offset not in self._offsets(activity):
            return
        self._asked.pop(offset, None)
        self._count -= 1
        there = self._parked[activity]
        if isinstance(there, set) and len(there) > 1:
            there.remove(offset)
        else:
            del self._parked[activity]

    def has(self, offset: int) -> bool:
        """Whether the event of that first offset is parked; the first time it looks at all that are."""
        if offset not in self._asked:
            self._asked[offset] = any(
                offset == parked if isinstance(parked, int) else offset in parked
                for parked in self._parked.values()
            )
        return self._asked[offset]

    def before(self, key: str, offset: int) -> int | None:
        """Return the latest earlier event of the activity that is parked and not decided; None: none is."""
        if not self._parked:
            return None
        earlier = (parked for parked in self._offsets(hash(key)) if parked < offset)
        return max(earlier, default=None)

    def _offsets(self, activity: int) -> Collection[int]:
        parked = self._parked.get(activity, ())
        return (parked,) if isinstance(parked, int) else parked
