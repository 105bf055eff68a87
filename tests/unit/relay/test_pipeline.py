"""The order of the steps: what is planned for a record, and what is durable when it is handled."""

from __future__ import annotations

import asyncio
import base64

import pytest
from tests.unit.relay.fakes import NOW, OK, Script

from completion_relay.decision import Decision, Delivery, Park
from completion_relay.entry import Entry
from completion_relay.evidence import Pending
from completion_relay.health import Health
from completion_relay.lanes import Lane, Lanes
from completion_relay.observe import Observer
from completion_relay.pipeline import Pipeline, Plan
from completion_relay.route import Routes
from completion_relay.settings import TopicSettings
from completion_relay.verdict import Answer, Status
from completion_schemas.audit import AuditRecord, decode_audit
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import (
    ActivityReference,
    Completed,
    CompletionEvent,
    Heartbeat,
    Outcome,
    UnixNanos,
)
from completion_schemas.record import KafkaRecord
from completion_schemas.signals import decode_signal

TOPICS = TopicSettings()
GARBAGE = KafkaRecord(b"k", b"\x00garbage", (("content-type", b"application/json"),))
TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
PLENTY = 60.0
"""Seconds that no test needs."""


def observing() -> Observer:
    return Observer(namespaces=("orders", "billing"), health=Health())


def pipeline(
    script: Script | None = None,
    *,
    west: Script | None = None,
    observer: Observer | None = None,
) -> Pipeline:
    script = script or Script()
    return Pipeline(
        routes=Routes(namespaces=("orders", "billing"), others={"west": ("orders",)}),
        means={"": script.means, "west": (west or Script()).means},
        topics=TOPICS,
        group="g",
        relay_id="relay-1",
        observer=observer or observing(),
        clock=script.clock,
    )


def event(
    event_id: str = "e-1",
    *,
    token: bytes = b"a task token",
    cluster: str = "",
    namespace: str = "",
    outcome: Outcome | None = None,
) -> CompletionEvent:
    return CompletionEvent(
        event_id=event_id,
        occurred_at=UnixNanos(NOW - 10**9),
        activity=ActivityReference(
            task_token=base64.b64encode(token).decode(),
            cluster=cluster,
            namespace=namespace,
            workflow_id="w",
            run_id="r",
            activity_id="a",
        ),
        outcome=Completed() if outcome is None else outcome,
    )


def delivery(
    record: KafkaRecord | CompletionEvent, *, partition: int = 0, offset: int = 0
) -> Delivery:
    if isinstance(record, CompletionEvent):
        record = encode_record(record, headers=[TRACE])
    return Delivery("completions", partition, offset, NOW // 10**6, record, NOW)


def test_what_cannot_be_decoded_is_planned_as_a_dead_letter() -> None:
    plan = pipeline().plan(delivery(GARBAGE))
    assert plan.event is None
    assert plan.decision is not None
    assert plan.decision.disposition is Disposition.DEAD_LETTERED
    assert plan.decision.reason is DeadLetterReason.UNDECODABLE
    assert plan.decision.stage == "decode"
    assert plan.decision.detail


def test_what_cannot_be_decoded_has_a_lane_of_its_own() -> None:
    """It has no activity that could be told, and must hold up nobody."""
    pipe = pipeline()
    places = [(0, 0), (0, 1), (1, 0)]
    lanes = {
        pipe.plan(delivery(GARBAGE, partition=partition, offset=offset)).lane
        for partition, offset in places
    }
    assert len(lanes) == len(places)


def test_a_namespace_that_is_not_served_is_forbidden() -> None:
    plan = pipeline().plan(delivery(event(namespace="hr")))
    assert plan.decision is not None
    assert plan.decision.reason is DeadLetterReason.FORBIDDEN
    assert plan.decision.stage == "route"
    assert plan.namespace == "hr"


@pytest.mark.parametrize(("named", "namespace"), [("", "orders"), ("billing", "billing")])
def test_a_good_event_is_planned_for_its_namespace(named: str, namespace: str) -> None:
    the_event = event(namespace=named)
    plan = pipeline().plan(delivery(the_event))
    assert (plan.event, plan.namespace, plan.decision) == (the_event, namespace, None)


def test_a_good_events_lane_is_its_activity() -> None:
    pipe = pipeline()
    first = pipe.plan(delivery(event("e-1", outcome=Heartbeat()), offset=0))
    second = pipe.plan(delivery(event("e-2"), offset=1))
    other = pipe.plan(delivery(event("e-3", token=b"another task token"), offset=2))
    assert first.lane == second.lane
    assert first.lane != other.lane


def test_an_activity_of_another_cluster_has_a_lane_of_its_own() -> None:
    """By ids the key is the same."""
    pipe = pipeline()
    lanes = {pipe.plan(delivery(event(cluster=cluster))).lane for cluster in ("", "west")}
    assert len(lanes) == 2


async def handle(pipe: Pipeline, plan: Plan, *, waiting: int = 0) -> Entry:
    """Return what the record leaves behind, with so many events of the activity behind it."""

    async def work(lane: Lane) -> None:
        if not decided.done():
            decided.set_result(await pipe.decide(plan, lane))

    decided: asyncio.Future[Decision | Park] = asyncio.get_running_loop().create_future()
    lanes = Lanes()
    for _ in range(1 + waiting):
        lanes.submit(plan.lane, work)
    async with asyncio.timeout(PLENTY):
        decision = await decided
        await lanes.drain(PLENTY)
    assert isinstance(decision, Decision)
    return pipe.entry(plan, decision, offset=plan.delivery.offset)


def topics(entry: Entry) -> list[str]:
    return [topic for topic, _ in entry.records]


def audit_in(entry: Entry) -> AuditRecord:
    """Return the one audit record."""
    (value,) = [record.value for topic, record in entry.records if topic == TOPICS.audit]
    assert value is not None
    return decode_audit(value)


async def test_a_good_event_is_sent_and_audited() -> None:
    script = Script([OK])
    pipe = pipeline(script)
    entry = await handle(pipe, pipe.plan(delivery(event(), partition=3, offset=7)))
    (call,) = script.sends.calls
    assert (call.namespace, call.identity) == (
        "orders",
        "completion-relay/e-1@completions/3/7",
    )
    assert entry.offset == 7
    assert topics(entry) == [TOPICS.audit]
    audit = audit_in(entry)
    assert (audit.disposition, audit.event_id, audit.tries) == (Disposition.APPLIED, "e-1", 1)
    assert (audit.topic, audit.partition, audit.offset) == ("completions", 3, 7)
    assert TRACE in entry.records[0][1].headers


async def test_an_event_is_sent_to_its_cluster_and_audited_under_its_name() -> None:
    default, west = Script(), Script([OK])
    pipe = pipeline(default, west=west)
    entry = await handle(pipe, pipe.plan(delivery(event(cluster="west"))))
    assert [call.namespace for call in west.sends.calls] == ["orders"]
    assert default.sends.calls == []
    assert audit_in(entry).namespace == "west/orders"


async def test_a_dead_letter_goes_with_the_audit_record_that_speaks_of_it() -> None:
    pipe = pipeline()
    entry = await handle(pipe, pipe.plan(delivery(GARBAGE)))
    assert topics(entry) == [TOPICS.dead_letter, TOPICS.audit]
    assert entry.records[0][1].value == GARBAGE.value


async def test_a_decision_is_counted_when_it_is_durable_and_not_before() -> None:
    observer = observing()
    pipe = pipeline(Script([OK]), observer=observer)
    entry = await handle(pipe, pipe.plan(delivery(event())))
    labels = {"type": "completed", "disposition": "applied", "reason": "", "namespace": "orders"}
    registry = observer.metrics.registry
    assert registry.get_sample_value("completion_relay_events_total", labels) is None
    entry.on_durable()
    assert registry.get_sample_value("completion_relay_events_total", labels) == 1


async def test_what_a_heartbeats_answer_asks_for_is_signalled() -> None:
    pipe = pipeline(Script([Answer(Status.OK, cancel_requested=True)]))
    heartbeat = event(outcome=Heartbeat())
    entry = await handle(pipe, pipe.plan(delivery(heartbeat)))
    assert topics(entry) == [TOPICS.signals, TOPICS.audit]
    record = entry.records[0][1]
    signal = decode_signal(record.headers, record.value)
    assert (signal.cancel_requested, signal.paused, signal.reset) == (True, False, False)
    assert signal.activity.activity_id == "a"
    assert record.key == heartbeat.activity_key.encode()
    assert TRACE in record.headers


async def test_a_heartbeat_with_a_later_event_behind_it_is_not_sent() -> None:
    """Only the latest says something, and a decision makes it worthless."""
    script = Script()
    pipe = pipeline(script)
    entry = await handle(pipe, pipe.plan(delivery(event(outcome=Heartbeat()))), waiting=1)
    assert audit_in(entry).disposition is Disposition.COALESCED
    assert script.sends.calls == []


async def test_a_decision_with_a_later_event_behind_it_is_sent() -> None:
    script = Script([OK])
    pipe = pipeline(script)
    entry = await handle(pipe, pipe.plan(delivery(event())), waiting=1)
    assert audit_in(entry).disposition is Disposition.APPLIED


async def test_a_heartbeat_after_the_decision_is_not_sent() -> None:
    script = Script([OK])
    pipe = pipeline(script)
    await handle(pipe, pipe.plan(delivery(event("e-1"))))
    entry = await handle(pipe, pipe.plan(delivery(event("e-2", outcome=Heartbeat()), offset=1)))
    assert audit_in(entry).disposition is Disposition.COALESCED
    assert len(script.sends.calls) == 1


async def test_a_heartbeat_after_a_heartbeat_is_sent() -> None:
    script = Script([OK, OK])
    pipe = pipeline(script)
    for offset in range(2):
        late = event(f"e-{offset}", outcome=Heartbeat())
        entry = await handle(pipe, pipe.plan(delivery(late, offset=offset)))
        assert audit_in(entry).disposition is Disposition.APPLIED
    assert len(script.sends.calls) == 2


async def test_a_heartbeat_by_ids_after_a_decision_is_sent() -> None:
    """The ids stay those of the activity's next attempt, unlike the token."""
    script = Script([OK, OK], findings=[Pending(1, is_started=True)] * 2)
    pipe = pipeline(script)
    failed, beat = event("e-1", token=b""), event("e-2", token=b"", outcome=Heartbeat())
    await handle(pipe, pipe.plan(delivery(failed)))
    entry = await handle(pipe, pipe.plan(delivery(beat, offset=1)))
    assert audit_in(entry).disposition is Disposition.APPLIED
