"""Room `tests`: records on their way through a workshop, in the two partitions of one number."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from typing import cast

from aiokafka.structs import TopicPartition
from tests.unit.relay.fakes import NOW, ManualClock, Script

from completion_relay.assigned import Assigned
from completion_relay.decision import Delivery, Former, Park
from completion_relay.entry import Entry
from completion_relay.evidence import Finding
from completion_relay.health import Health
from completion_relay.heeding import Heeding
from completion_relay.instruction import Hold
from completion_relay.journal import Journal
from completion_relay.lanes import Lanes
from completion_relay.ledger import PartitionLedger
from completion_relay.observe import Observer
from completion_relay.parking import Order, parked_record
from completion_relay.pipeline import Pipeline
from completion_relay.place import Place
from completion_relay.route import Routes
from completion_relay.settings import RelaySettings, TopicSettings
from completion_relay.told import Instructions
from completion_relay.verdict import Answer, Status
from completion_relay.work import Work, Workshop
from completion_schemas.audit import AuditRecord, decode_audit
from completion_schemas.cloudevents import encode_record
from completion_schemas.events import ActivityReference, Completed, CompletionEvent, UnixNanos

PLENTY = 60.0
"""Seconds that no test needs."""
TOPICS = TopicSettings()
RELAY = RelaySettings(park_initial=4.0, park_maximum=60.0)
PARTITION = 3
UNAVAILABLE = Answer(Status.UNAVAILABLE, "shard unavailable, please backoff and retry")
HALTED = Park(reason="halted", former=Former(tries=2), status=None)
"""Nothing but its namespace keeps the event."""
FAILED = Park(
    reason="no answer",
    former=Former(tries=2, first_failed_at=UnixNanos(NOW - 10**9), failed_itself=True),
    status=None,
)


class Journals:
    """Takes entries in, as a journal does; what is durable is another test's."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._news = asyncio.Event()

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._news.set()

    async def until(self, count: int) -> None:
        """Wait until so many entries were taken in."""
        async with asyncio.timeout(PLENTY):
            while len(self.entries) < count:
                self._news.clear()
                await self._news.wait()


class Bench:
    """A workshop with the two partitions of one number."""

    def __init__(
        self, answers: Iterable[Answer] = (), *, findings: Iterable[Finding | Answer] = ()
    ) -> None:
        self.clock = ManualClock()
        self.script = Script(answers, findings=findings, clock=self.clock)
        self.observer = Observer(namespaces=("orders", "billing"), health=Health())
        self.pipeline = Pipeline(
            routes=Routes(namespaces=("orders", "billing")),
            means={"": self.script.means},
            topics=TOPICS,
            group="g",
            relay_id="relay-1",
            observer=self.observer,
            clock=self.clock,
        )
        self.workshop = Workshop(
            self.pipeline, TOPICS, RELAY, self.observer, self.clock, ends=self._ends
        )
        self.journals = Journals()
        self.order = Order()
        self.instructions = Instructions()
        self.ledgers: dict[str, PartitionLedger] = {}
        self.end: int | None = 1_000
        """Where the events' partition ends."""
        self.lanes = Lanes()
        self.places: list[Place] = []

    @property
    def entries(self) -> list[Entry]:
        return self.journals.entries

    async def _ends(self, number: int) -> int | None:
        assert number == PARTITION
        return self.end

    def ledger(self, topic: str) -> PartitionLedger:
        """Return the partition's, which knows nothing of what a test does not tell it."""
        ledger = self.ledgers.get(topic)
        if ledger is None:
            ledger = self.ledgers[topic] = PartitionLedger(
                epoch=1, window=10, window_bytes=10**9, begin=0
            )
            if topic == TOPICS.completions:
                self.instructions.events = ledger
        return ledger

    def held(self, topic: str) -> Assigned:
        held = Assigned(
            TopicPartition(topic, PARTITION),
            self.ledger(topic),
            cast("Journal", self.journals),
            self.order,
            place=Place(self.instructions),
        )
        self.places.append(held.place)
        return held

    def receive(self, delivery: Delivery) -> Work | Heeding:
        work = self.workshop.work_for(delivery, self.held(delivery.topic))
        self.lanes.submit(work.lane, work)
        return work

    async def done(self) -> None:
        assert await self.lanes.drain(PLENTY)

    async def given_up(self) -> bool:
        """Give the partitions up; True if nothing of what was begun is left undecided.

        Raises:
            TimeoutError: something is waited for, which a drain would cancel in the end.
        """
        for place in self.places:
            place.closing.set()
        async with asyncio.timeout(PLENTY / 2):
            return await self.lanes.drain(PLENTY)

    def key(self, event: CompletionEvent) -> str:
        key = self.pipeline.plan(fresh(event, 0)).key
        assert key is not None
        return key


def event(event_id: str = "e-1", *, token: bytes = b"a task token") -> CompletionEvent:
    return CompletionEvent(
        event_id=event_id,
        occurred_at=UnixNanos(NOW - 10**9),
        activity=ActivityReference(task_token=base64.b64encode(token).decode()),
        outcome=Completed(),
    )


def fresh(one: CompletionEvent, offset: int) -> Delivery:
    record = encode_record(one)
    return Delivery(TOPICS.completions, PARTITION, offset, NOW // 10**6, record, NOW)


def parked(
    bench: Bench,
    one: CompletionEvent,
    *,
    first: int,
    at: int,
    seconds: float = 5.0,
    after: Park = HALTED,
    times: int = 1,
    key: str | None = None,
    hold: Hold | None = None,
) -> Delivery:
    """Return an event as it is read from the parked topic at offset `at`, `first` being its own."""
    record = parked_record(
        fresh(one, first),
        after,
        key=bench.key(one) if key is None else key,
        times=times,
        not_before=UnixNanos(bench.clock.now() + round(seconds * 1e9)),
        relay_id="relay-0",
        hold=hold,
    )
    return Delivery(TOPICS.parked, PARTITION, at, 0, record, UnixNanos(NOW + 1))


def audit_of(entry: Entry) -> AuditRecord:
    (value,) = [record.value for topic, record in entry.records if topic == TOPICS.audit]
    assert value is not None
    return decode_audit(value)


def topics_of(entry: Entry) -> list[str]:
    return [topic for topic, _ in entry.records]
