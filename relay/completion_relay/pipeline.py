"""Room `pipeline`: the order of the steps. Nothing else has it.

    record -> decode -> route -> decide (complete, triage) -> dead letter -> audit

`entry` says what a decided record leaves behind; the partition's journal makes
that durable, together with the offset (invariant 1).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial

from completion_relay.audit import audit_record, to_kafka
from completion_relay.clock import Clock
from completion_relay.dead_letter import dead_letter
from completion_relay.decide import decide
from completion_relay.decision import Decision, Delivery, Former, Park
from completion_relay.entry import Entry
from completion_relay.instruction import Hold
from completion_relay.lanes import Lane
from completion_relay.means import Means
from completion_relay.observe import Observer
from completion_relay.parking import parked_record
from completion_relay.place import Place
from completion_relay.route import Destination, Routes, redirected
from completion_relay.settings import TopicSettings
from completion_relay.signals import signal_record
from completion_relay.verdict import DeadLetter
from completion_schemas.audit import AuditRecord
from completion_schemas.cloudevents import Claim, claim, decode_record, trace_context
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.errors import DecodeError
from completion_schemas.events import CompletionEvent, Heartbeat, UnixNanos
from completion_schemas.record import KafkaRecord

_FRESH = Former()
_NOWHERE = Place()
_NO_CLAIM = Claim("", "")
_ENDED_ACTIVITIES = 10_000
_ENDS = frozenset(
    {
        Disposition.APPLIED,
        Disposition.DUPLICATE,
        Disposition.CONFLICT,
        Disposition.SUPERSEDED,
        Disposition.EXPIRED,
        Disposition.CLOSED,
    }
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A record that was read: what is in it, where it goes, or why it goes nowhere."""

    delivery: Delivery
    event: CompletionEvent | None
    namespace: str
    decision: Decision | None
    """Set where nothing needs to be asked of Temporal."""
    lane: Hashable
    """Records of one lane are handled in order."""
    key: str | None = None
    """The activity's; None where the record says nothing of one, or is decided as it is."""
    cluster: str = ""
    """Where the namespace is; empty for the default one, and for one that is not served."""


class Pipeline:
    """Takes one record to its final outcome."""

    def __init__(
        self,
        *,
        routes: Routes,
        means: Mapping[str, Means],
        topics: TopicSettings,
        group: str,
        relay_id: str,
        observer: Observer,
        clock: Clock,
    ) -> None:
        """Connect the rooms.

        Args:
            routes: Which clusters and namespaces are served.
            means: What an event's way to Temporal works with, by cluster; the default one's name
                is empty.
            topics: Where audit records, dead letters and signals go.
            group: The consumer group, for the records that go out.
            relay_id: This replica's name, for the same.
            observer: Told of each decision.
            clock: Time.
        """
        self._routes = routes
        self._means = means
        self._topics = topics
        self._group = group
        self._relay_id = relay_id
        self._observer = observer
        self._clock = clock
        self._ended: OrderedDict[Hashable, None] = OrderedDict()
        """Lanes of activities that are decided: a late heartbeat is not worth a call."""
        self._deciding = 0
        # Asked for when somebody looks: moving a gauge twice costs an event a microsecond.
        observer.metrics.inflight.set_function(lambda: self._deciding)

    def plan(self, delivery: Delivery) -> Plan:
        """Decode and route a record; never raises for what is in it."""
        record = delivery.record
        try:
            event = redirected(decode_record(record.headers, record.value), record.headers)
        except DecodeError as error:
            return self.refused(delivery, str(error))
        alone = (delivery.topic, delivery.partition, delivery.offset)
        to = self._routes.destination_of(event)
        if isinstance(to, DeadLetter):
            decision = Decision.dead_letter(to, stage="route")
            return Plan(delivery, event, event.activity.namespace, decision, alone)
        # Two clusters may have activities of the same ids.
        key = f"{to.cluster}:{event.activity_key}" if to.cluster else event.activity_key
        return Plan(delivery, event, to.namespace, None, (delivery.partition, key), key, to.cluster)

    def refused(self, delivery: Delivery, problem: str) -> Plan:
        """Return the plan for a record that is none, whatever it holds."""
        verdict = DeadLetter(DeadLetterReason.UNDECODABLE, problem)
        return Plan(
            delivery,
            None,
            "",
            Decision.dead_letter(verdict, stage="decode"),
            (delivery.topic, delivery.partition, delivery.offset),
        )

    async def decide(
        self,
        plan: Plan,
        lane: Lane | None = None,
        *,
        place: Place = _NOWHERE,
        former: Former = _FRESH,
    ) -> Decision | Park:
        """Return a planned record's final outcome, however long that takes, or that it is to wait elsewhere.

        Args:
            plan: What to do.
            lane: The later events of the same activity: of heartbeats only the last is sent.
            place: Where it waits, if it must.
            former: What a parked record brings along.
        """
        self._deciding += 1
        try:
            return plan.decision or self._late(plan) or await self._ask(plan, place, former, lane)
        finally:
            self._deciding -= 1

    def _late(self, plan: Plan) -> Decision | None:
        if not _is_heartbeat(plan.event) or plan.lane not in self._ended:
            return None
        return Decision(disposition=Disposition.COALESCED, detail="the activity is decided")

    async def _ask(
        self, plan: Plan, place: Place, former: Former, lane: Lane | None
    ) -> Decision | Park:
        assert plan.event is not None  # noqa: S101 - a plan without an event has a decision
        mark = plan.delivery.mark(plan.event.event_id)
        means = self._means[plan.cluster]
        decision = await decide(
            means,
            plan.event,
            plan.namespace,
            mark,
            place=place,
            former=former,
            lane=lane if _is_heartbeat(plan.event) else None,
        )
        if isinstance(decision, Park):
            return decision
        if plan.event.activity.task_token and _ends(plan.event, decision):
            # By token only: the ids stay those of the next attempt.
            self._ended[plan.lane] = None
            if len(self._ended) > _ENDED_ACTIVITIES:
                self._ended.popitem(last=False)
        return decision

    def entry(self, plan: Plan, decision: Decision, *, offset: int) -> Entry:
        """Return what is to be written about a decided record, all of it in one transaction.

        Args:
            plan: The record's.
            decision: What became of it.
            offset: Of the record where it was read, which a parked record's origin is not.
        """
        delivery = plan.delivery
        records: list[tuple[str, KafkaRecord]] = []
        if decision.disposition is Disposition.DEAD_LETTERED:
            letter = dead_letter(
                delivery,
                decision,
                group=self._group,
                relay_id=self._relay_id,
                now=self._clock.now(),
            )
            records.append((self._topics.dead_letter, letter))
        trace = [
            (name, text.encode()) for name, text in trace_context(delivery.record.headers).items()
        ]
        if decision.signal is not None and plan.event is not None:
            signal = signal_record(
                plan.event, decision.signal, now=self._clock.now(), headers=trace
            )
            records.append((self._topics.signals, signal))
        audit = self._audit(plan, decision)
        records.append((self._topics.audit, to_kafka(audit, trace)))
        return Entry(offset, tuple(records), partial(self._observer.decided, audit))

    def parked(
        self,
        plan: Plan,
        park: Park,
        *,
        offset: int,
        times: int,
        after: float,
        again: Callable[[], None],
        hold: Hold | None,
    ) -> Entry:
        """Return what is to be written so that a record waits on the parked topic.

        Args:
            plan: The record's.
            park: Why it waits.
            offset: As above.
            times: How often it has been parked, this time included.
            after: Seconds after which to take it up again.
            again: Has the record tried again here, while the topic does not take it.
            hold: That an operator had it parked, now or before.
        """
        assert plan.key is not None  # noqa: S101 - only an event waits
        record = parked_record(
            plan.delivery,
            park,
            key=plan.key,
            times=times,
            not_before=UnixNanos(self._clock.now() + round(after * 1e9)),
            relay_id=self._relay_id,
            hold=hold,
        )
        told = partial(self._observer.parked, plan.delivery.position, park, times)
        return Entry(offset, ((self._topics.parked, record),), told, again)

    def _audit(self, plan: Plan, decision: Decision) -> AuditRecord:
        record = plan.delivery.record
        return audit_record(
            plan.delivery,
            decision,
            event=plan.event,
            claim=claim(record.headers, record.value) if plan.event is None else _NO_CLAIM,
            namespace=str(Destination(plan.cluster, plan.namespace)),
            group=self._group,
            relay_id=self._relay_id,
            decided_at=self._clock.now(),
        )


def _ends(event: CompletionEvent, decision: Decision) -> bool:
    is_alive = _is_heartbeat(event) and decision.disposition is Disposition.APPLIED
    return decision.disposition in _ENDS and not is_alive


def _is_heartbeat(event: CompletionEvent | None) -> bool:
    return event is not None and isinstance(event.outcome, Heartbeat)
