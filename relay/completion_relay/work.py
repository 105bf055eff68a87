"""Room `pipeline`: one delivered record, from its lane to its partition's journal. Touches asyncio."""

from __future__ import annotations

import itertools
import random
from collections.abc import Hashable
from functools import partial

from completion_relay.assigned import Assigned
from completion_relay.clock import Clock
from completion_relay.decision import Delivery, Former, Park
from completion_relay.entry import Entry
from completion_relay.lanes import Lane
from completion_relay.observe import Observer
from completion_relay.parking import ParkedRecordError, Ticket, read_ticket, without_ticket
from completion_relay.pipeline import Pipeline, Plan
from completion_relay.place import LetGoError
from completion_relay.settings import RelaySettings, TopicSettings
from completion_relay.verdict import backoff
from completion_schemas.record import KafkaRecord

_FRESH = Former()


class Workshop:
    """Makes work of records."""

    def __init__(
        self,
        pipeline: Pipeline,
        topics: TopicSettings,
        relay: RelaySettings,
        observer: Observer,
        clock: Clock,
    ) -> None:
        """Do nothing yet.

        Args:
            pipeline: What a record goes through.
            topics: Where records come from.
            relay: Waits between tries.
            observer: Told of defects.
            clock: Time.
        """
        self.pipeline = pipeline
        self.relay = relay
        self.observer = observer
        self.clock = clock
        self.rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._topics = topics

    def work_for(self, delivery: Delivery, held: Assigned) -> Work:
        """Return the work that a record is, with its lane."""
        try:
            plan, ticket = self.plan(delivery)
        except Exception as error:  # noqa: BLE001 - a defect of ours holds up this record alone
            self.observer.crashed(error, delivery.position)
            return Work(self, delivery, held, None)
        if ticket is not None:
            # Known already, unless another member parked it: one of a version that does not
            # take parked records up shares out the partitions of a number (a rolling upgrade).
            held.order.park(ticket.key, ticket.offset)
        return Work(self, delivery, held, plan, ticket)

    def plan(self, delivery: Delivery) -> tuple[Plan, Ticket | None]:
        """Return what to do with a record, and what it says of itself if it was parked."""
        if delivery.topic != self._topics.parked:
            return self.pipeline.plan(delivery), None
        try:
            ticket = read_ticket(delivery.record.headers, of=self._topics.completions)
        except ParkedRecordError as error:
            return self.pipeline.refused(delivery, f"no relay has parked this: {error}"), None
        record = delivery.record
        first = Delivery(
            topic=ticket.topic,
            partition=ticket.partition,
            offset=ticket.offset,
            timestamp_ms=ticket.timestamp_ms,
            record=KafkaRecord(record.key, record.value, without_ticket(record.headers)),
            received_at=ticket.received_at,
        )
        return self.pipeline.plan(first), ticket

    def wait_after(self, tries: int, *, initial: float, maximum: float) -> float:
        """Return the seconds to wait."""
        return backoff(tries, initial=initial, maximum=maximum, rng=self.rng)


class Work:
    """What is to be done for one record; called with its lane."""

    __slots__ = ("_delivery", "_former", "_held", "_plan", "_ticket", "_workshop")

    def __init__(
        self,
        workshop: Workshop,
        delivery: Delivery,
        held: Assigned,
        plan: Plan | None,
        ticket: Ticket | None = None,
    ) -> None:
        """Begin nothing.

        Args:
            workshop: What to work with.
            delivery: The record, where it was read.
            held: That partition.
            plan: What to do; None: a defect kept it from being made.
            ticket: What a parked record says of itself.
        """
        self._workshop = workshop
        self._delivery = delivery
        self._held = held
        self._plan = plan
        self._ticket = ticket
        self._former: Former | None = None
        """What came of it when it was to be parked and the topic did not take it."""

    @property
    def lane(self) -> Hashable:
        """Records of one lane are handled in order."""
        if self._plan is None:
            return self._delivery.position
        # A lane of its own: what is parked waits in its lane for its time, and a later event
        # of the activity must not wait behind it in the window of the events, but follow it to
        # the parked topic (`Order` keeps the two in order).
        return self._plan.lane if self._ticket is None else ("parked", self._plan.lane)

    async def __call__(self, lane: Lane) -> None:
        """Bring the record to its final outcome, or to the parked topic, and that into the journal.

        Raises:
            LetGoError: the partition was given up while the record waited.
        """
        for tries in itertools.count(1):
            try:
                entry = await self._entry(lane)
            except LetGoError:
                raise
            except Exception as error:  # noqa: BLE001 - as above; nothing is lost by waiting
                await self._wait_after(error, tries)
            else:
                self._held.journal.add(entry)
                return

    async def _entry(self, lane: Lane) -> Entry:
        """Return what the record leaves behind."""
        pipeline, offset = self._workshop.pipeline, self._delivery.offset
        if self._plan is None:
            self._plan, self._ticket = self._workshop.plan(self._delivery)
        plan, ticket = self._plan, self._ticket
        key = plan.key
        if ticket is not None:
            await self._until_its_time(ticket)
        order, first = self._held.order, plan.delivery.offset
        former = self._former or (_FRESH if ticket is None else ticket.former)
        if key is not None and order.is_behind(key, first):
            return self._park(plan, key, _behind(former), lane)
        decision = await pipeline.decide(plan, lane, place=self._held.place, former=former)
        if isinstance(decision, Park):
            assert key is not None  # noqa: S101 - only an event waits
            return self._park(plan, key, decision, lane)
        entry = pipeline.entry(plan, decision, offset=offset)
        if key is not None:
            order.decided(key, first)
        if ticket is not None:
            # By the key of then, too: settings that have changed since give it another one, or none.
            order.decided(ticket.key, first)
        return entry

    def _park(self, plan: Plan, key: str, park: Park, lane: Lane) -> Entry:
        workshop = self._workshop
        times = 1 if self._ticket is None else self._ticket.times + 1
        after = workshop.wait_after(
            times, initial=workshop.relay.park_initial, maximum=workshop.relay.park_maximum
        )
        entry = workshop.pipeline.parked(
            plan,
            park,
            offset=self._delivery.offset,
            times=times,
            after=after,
            again=partial(self._again, lane),
        )
        self._former = Former(tries=park.tries, first_failed_at=park.first_failed_at)
        self._held.order.park(key, plan.delivery.offset)
        if self._ticket is not None and self._ticket.key != key:
            self._held.order.decided(self._ticket.key, plan.delivery.offset)
        return entry

    def _again(self, lane: Lane) -> None:
        if not self._held.place.closing.is_set():  # else it is left to whoever is next
            lane.again(self)

    async def _until_its_time(self, ticket: Ticket) -> None:
        clock = self._workshop.clock
        # No relay writes a later time than that; somebody else's would hold the partition up.
        latest = clock.now() + round(self._workshop.relay.park_maximum * 1e9)
        not_before = min(ticket.not_before, latest)
        while (left := (not_before - clock.now()) / 1e9) > 0:
            await self._held.place.pause(clock, left)

    async def _wait_after(self, error: Exception, tries: int) -> None:
        workshop, relay = self._workshop, self._workshop.relay
        workshop.observer.crashed(error, self._delivery.position)
        await self._held.place.pause(
            workshop.clock,
            workshop.wait_after(tries, initial=relay.retry_initial, maximum=relay.retry_maximum),
        )


def _behind(former: Former) -> Park:
    return Park(
        reason="an earlier event of the activity is parked",
        tries=former.tries,
        first_failed_at=former.first_failed_at,
        status=None,
    )
