"""Room `pipeline`: one delivered record, from its lane to its partition's journal. Touches asyncio."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Hashable
from dataclasses import replace
from functools import partial

from completion_relay.assigned import Assigned
from completion_relay.clock import Clock
from completion_relay.decision import Decision, Delivery, Former, Park
from completion_relay.entry import Entry
from completion_relay.heeding import Ends, Heeding
from completion_relay.identity import RecordMark
from completion_relay.in_order import events_of, in_order, without_what_is_gone
from completion_relay.instruction import Hold, held_back, who_and_why
from completion_relay.lanes import Lane, OvertakenError
from completion_relay.observe import Observer
from completion_relay.parking import Ticket
from completion_relay.pipeline import Pipeline, Plan
from completion_relay.place import ToldError
from completion_relay.reading import Reader
from completion_relay.settings import RelaySettings, TopicSettings
from completion_relay.steady import into_the_journal
from completion_relay.told import Told
from completion_relay.verdict import backoff
from completion_schemas.events import Heartbeat

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
        *,
        ends: Ends,
    ) -> None:
        """Do nothing yet.

        Args:
            pipeline: What a record goes through.
            topics: Where records come from.
            relay: Waits between tries.
            observer: Told of defects.
            clock: Time.
            ends: Asks where a partition of the events ends.
        """
        self.pipeline = pipeline
        self.relay = relay
        self.observer = observer
        self.clock = clock
        self.rng = random.Random()  # noqa: S311 - jitter, not a secret
        self.reader = Reader(pipeline, topics)
        self.ends = ends

    def work_for(self, delivery: Delivery, held: Assigned) -> Work | Heeding:
        """Return the work that a record is, with its lane."""
        instruction = self.reader.instruction(delivery)
        if instruction is not None:
            return Heeding(
                instruction,
                delivery,
                held,
                ends=self.ends,
                again_after=self.relay.park_maximum,
                wait_after=self.wait_after_defects,
                observer=self.observer,
                clock=self.clock,
            )
        try:
            plan, ticket = self.reader.plan(delivery)
        except Exception as error:  # noqa: BLE001 - a defect of ours holds up this record alone
            self.observer.crashed(error, delivery.position)
            return Work(self, delivery, held, None)
        if ticket is not None:
            # Known already, unless another member parked it: one of a version that does not
            # take parked records up shares out the partitions of a number (a rolling upgrade).
            held.order.park(ticket.key, ticket.offset)
        return Work(self, delivery, held, plan, ticket)

    def wait_after_defects(self, tries: int) -> float:
        """Return the seconds to wait after so many defects of ours in one record's work."""
        relay = self.relay
        return self.wait_after(tries, initial=relay.retry_initial, maximum=relay.retry_maximum)

    def wait_after(self, tries: int, *, initial: float, maximum: float) -> float:
        """Return the seconds to wait."""
        return backoff(tries, initial=initial, maximum=maximum, rng=self.rng)


class Work:
    """What is to be done for one record; called with its lane."""

    __slots__ = (
        "_claimed",
        "_delivery",
        "_former",
        "_held",
        "_hold",
        "_plan",
        "_ticket",
        "_workshop",
    )

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
        self._hold: Hold | None = None
        """That an operator has just had it parked."""
        self._claimed: Told | None = None
        """The instruction that ends with what it leaves behind."""

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
        workshop = self._workshop
        await into_the_journal(
            partial(self._entry, lane),
            self._held,
            self._delivery.position,
            wait_after=workshop.wait_after_defects,
            observer=workshop.observer,
            clock=workshop.clock,
        )

    async def _entry(self, lane: Lane) -> Entry:
        """Return what the record leaves behind."""
        if self._plan is None:
            self._plan, self._ticket = self._workshop.reader.plan(self._delivery)
        plan = self._plan
        if self._has_later_copy(plan):
            return Entry(self._delivery.offset, (), _nothing)
        try:
            outcome = await self._outcome(plan, lane)
        except ToldError as error:
            outcome = error.outcome
            if isinstance(outcome, Park) and plan.decision is not None:
                outcome = plan.decision  # there is nothing that it could wait for
        told = self._told(plan)
        if isinstance(outcome, Park):
            if told is not None and told.instruction.hold is None:
                told = None  # the copy will be skipped
            elif told is not None:
                self._hold = told.instruction.hold
            entry = self._park(plan, outcome, lane)
        else:
            entry = self._final(plan, outcome)
        if told is not None and self._claimed not in {None, told}:
            self._claimed.end("a later instruction counts")
        # What the topic did not take was not the end of it.
        self._claimed = told or self._claimed
        return entry if self._claimed is None else self._claimed.claim(entry, outcome)

    async def _outcome(self, plan: Plan, lane: Lane) -> Decision | Park:
        workshop, held, ticket = self._workshop, self._held, self._ticket
        former = self._former or (_FRESH if ticket is None else ticket.former)
        if ticket is not None:
            former = await without_what_is_gone(held, ticket, plan, former, workshop.ends)
        if ticket is not None and self._awaits_first(plan):
            with contextlib.suppress(OvertakenError):
                await self._until_its_time(ticket, plan, former, lane)
            if self._awaits_first(plan):
                return _held_up("its first record is read again, and comes before it", former)
        former = in_order(held, ticket, plan, former)
        self._heed(plan, former)
        is_free = former.behind is None and not former.failed_itself
        if ticket is not None and is_free and not ticket.hold:
            # Nothing but its namespace kept it: it queues there, and goes when that is well. In a
            # crowd it keeps its place for long, or a window a second would be written anew.
            former = replace(former, keeps_place=workshop.relay.park_maximum)
        elif ticket is not None:
            with contextlib.suppress(OvertakenError):  # which is its outcome, further down
                await self._until_its_time(ticket, plan, former, lane)
            former = in_order(held, ticket, plan, former)
            self._heed(plan, former)
        hold = self._held_back_now
        if hold is not None and plan.key is not None:
            return held_back(hold, former)
        if former.behind is not None:
            return _held_up("an earlier event of the activity is parked", former)
        return await workshop.pipeline.decide(plan, lane, place=held.place, former=former)

    def _has_later_copy(self, plan: Plan) -> bool:
        first, at = plan.delivery, None if self._ticket is None else self._delivery.offset
        # What has no key is not parked; a copy that has none any more would not wait for its first record.
        return plan.key is not None and self._held.order.copies.has_later(
            first.offset, first.record, at=at
        )

    def _awaits_first(self, plan: Plan) -> bool:
        events = None if plan.key is None else events_of(self._held, self._ticket, plan)
        return events is not None and self._held.order.copies.awaits(plan.delivery.offset, events)

    def _told(self, plan: Plan) -> Told | None:
        instructions = self._held.place.instructions
        is_heeded = instructions and not self._awaits_first(plan)
        return instructions.of(_mark(plan)) if is_heeded else None

    def _heed(self, plan: Plan, former: Former) -> None:
        # Not while its first record is to come: what is there may be meant.
        if self._held.place.instructions and not self._awaits_first(plan):
            self._held.place.heed(_mark(plan), former)

    @property
    def _held_back(self) -> Hold | None:
        """That an operator had it parked."""
        return self._hold or (None if self._ticket is None else self._ticket.hold)

    @property
    def _held_back_now(self) -> Hold | None:
        """The same, while it still counts."""
        hold = self._held_back
        return hold if hold is not None and hold.until > self._workshop.clock.now() else None

    def _final(self, plan: Plan, decision: Decision) -> Entry:
        hold, order, first = self._held_back, self._held.order, plan.delivery.offset
        if hold is not None:
            said = f"parked {who_and_why(hold)}"
            detail = "; ".join(part for part in (decision.detail, said) if part)
            decision = replace(decision, detail=detail)
        entry = self._workshop.pipeline.entry(plan, decision, offset=self._delivery.offset)
        if plan.key is not None:
            order.decided(plan.key, first)
        if self._ticket is not None:
            # By the key of then, too: settings that have changed since give it another one, or none.
            order.decided(self._ticket.key, first)
        return entry

    def _park(self, plan: Plan, park: Park, lane: Lane) -> Entry:
        key = plan.key
        assert key is not None  # noqa: S101 - only an event waits
        times = 1 if self._ticket is None else self._ticket.times + 1
        entry = self._workshop.pipeline.parked(
            plan,
            park,
            offset=self._delivery.offset,
            times=times,
            after=self._away_for(times),
            again=partial(self._again, lane),
            hold=self._held_back,
        )
        self._former = park.former
        self._held.order.park(key, plan.delivery.offset)
        if self._ticket is not None and self._ticket.key != key:
            self._held.order.decided(self._ticket.key, plan.delivery.offset)
        return entry

    def _away_for(self, times: int) -> float:
        """Return the seconds for which it is left alone; one that an operator parked comes by meanwhile.

        For hours it would stay undecided at the head of its partition, and what was parked
        behind it would fill the window.
        """
        workshop, relay, hold = self._workshop, self._workshop.relay, self._held_back_now
        if hold is not None:
            return min((hold.until - workshop.clock.now()) / 1e9, relay.park_maximum)
        return workshop.wait_after(times, initial=relay.park_initial, maximum=relay.park_maximum)

    def _again(self, lane: Lane) -> None:
        if not self._held.place.closing.is_set():  # else it is left to whoever is next
            lane.again(self)

    async def _until_its_time(self, ticket: Ticket, plan: Plan, former: Former, lane: Lane) -> None:
        """Leave it alone until then.

        Raises:
            OvertakenError: it is a heartbeat, and what comes behind it need not wait for it.
        """

        def heed() -> None:
            self._heed(plan, former)
            if not is_heartbeat or self._held_back_now:
                return
            # What is behind it in its lane may be an earlier event that was parked anew.
            if in_order(self._held, ticket, plan, former).behind is None:
                lane.only_the_last()

        is_heartbeat = plan.event is not None and isinstance(plan.event.outcome, Heartbeat)
        clock, longest = self._workshop.clock, self._workshop.relay.park_maximum
        # No relay writes a later time than that; somebody else's would hold the partition up. And the
        # wall clock is asked once: one that is set back meanwhile would, too.
        left = min((ticket.not_before - clock.now()) / 1e9, longest)
        if left > 0:
            bells = (lane.longer,) if is_heartbeat else ()
            await self._held.place.pause(clock, left, heed, *bells)


def _nothing() -> None:
    """Another copy of it counts."""


def _mark(plan: Plan) -> RecordMark:
    return plan.delivery.mark("" if plan.event is None else plan.event.event_id)


def _held_up(reason: str, former: Former) -> Park:
    return Park(
        reason=reason,
        former=replace(former, failed_itself=False),
        status=None,
    )
