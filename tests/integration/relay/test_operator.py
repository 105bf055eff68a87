"""What an operator says of an event, on a real broker: heeded once, by whoever has it, and settled after it."""

from __future__ import annotations

import signal
import time
import uuid
from typing import Any

import pytest
from aiokafka.structs import OffsetAndMetadata, RecordMetadata
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from tests.integration.relay.process import run, topic_settings
from tests.integration.relay.test_beyond_the_end import commit
from tests.integration.relay.test_parking import Missing
from tests.integration.relay.waiting import Scene, completed, event, relay, unready_relay
from tests.support import committed_offsets, consume_all, eventually, produce

from completion_relay.cli.instruct import instruct
from completion_relay.demo.broker import end_session
from completion_relay.instruction import Instruction
from completion_relay.parking import Ticket
from completion_relay.settings import Settings, TemporalSettings
from completion_schemas.audit import AuditRecord
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import Disposition
from completion_schemas.events import ActivityReference, CompletionEvent, UnixNanos

AN_HOUR = 3_600 * 10**9
"""Nanoseconds."""
BY_ANN = "by ann: ticket 7"


async def early(scene: Scene, name: str, value: bytes = b'"done"') -> CompletionEvent:
    """Return an event that waits for an activity which its workflow does not come to."""
    handle = await scene.start(start_delay=3_600.0)
    reference = ActivityReference(
        namespace="default",
        workflow_id=handle.id,
        run_id=handle.first_execution_run_id or "",
        activity_id="approval",
    )
    # By ids, an event counts only for an activity that was scheduled before it occurred.
    occurred_at = UnixNanos(time.time_ns() + AN_HOUR)
    return event(reference, completed(value), event_id=name, occurred_at=occurred_at)


async def emit(scene: Scene, sent: CompletionEvent) -> RecordMetadata:
    """Publish an event; all of a test's are in one partition, and so in one window."""
    record = encode_record(sent)
    return await produce(
        scene.kafka,
        scene.topics.completions,
        record.value,
        key=record.key,
        headers=[(name, value or b"") for name, value in record.headers],
        partition=0,
    )


def said(at: RecordMetadata, event_id: str = "", *, seconds: float | None = None) -> Instruction:
    now = time.time_ns()
    return Instruction(
        topic=at.topic,
        partition=at.partition,
        offset=at.offset,
        event_id=event_id,
        by="ann",
        why="ticket 7",
        at=UnixNanos(now),
        until=None if seconds is None else UnixNanos(now + round(seconds * 1e9)),
    )


async def nothing_left(scene: Scene, group: str) -> None:
    """Return once the group has committed beyond every record of both topics."""

    async def left() -> bool:
        for topic in (scene.topics.completions, scene.topics.parked):
            committed = await committed_offsets(scene.kafka, group, topic)
            for record in await consume_all(scene.kafka, topic):
                assert record.offset < committed.get(record.partition, 0), record
        return True

    await eventually(left, timeout=30, what="commits beyond every record")


def patient(scene: Scene, **settings: Any) -> Settings:
    return scene.settings(relay={"early_timeout": 600.0, "drain_timeout": 0.5, **settings})


async def test_an_event_that_waits_is_skipped_with_who_and_why_and_both_are_settled(
    scene: Scene,
) -> None:
    settings = patient(scene)
    async with relay(settings):
        at = await emit(scene, await early(scene, "e-1"))
        outcome = await instruct(settings, said(at, "e-1"), wait=30)
        assert isinstance(outcome, AuditRecord)
        assert (outcome.disposition, outcome.detail) == (Disposition.SKIPPED, BY_ANN)
        await nothing_left(scene, settings.kafka.group_id)
    assert len(await scene.audit()) == 1


@pytest.mark.usefixtures("nobody_gives_way")
async def test_an_event_behind_a_full_window_is_skipped_when_it_is_reached(scene: Scene) -> None:
    settings = patient(scene, window=2)
    async with relay(settings):
        first, _, third = [await emit(scene, await early(scene, f"e-{n}")) for n in (1, 2, 3)]
        assert await instruct(settings, said(third, "e-3"), wait=0) is None
        await instruct(settings, said(first, "e-1"), wait=30)
        audit = await scene.decided(third)
        assert (audit.disposition, audit.detail, audit.tries) == (Disposition.SKIPPED, BY_ANN, 0)


async def test_an_event_that_is_parked_is_out_of_the_way_and_applied_after_its_time(
    scene: Scene,
) -> None:
    """It is parked before it was tried, comes by several times meanwhile, and tells who and why."""
    settings = patient(scene, park_initial=0.2, park_maximum=0.5)
    handle, reference = await scene.waiting()
    at = await emit(scene, event(reference, completed(), event_id="e-1"))
    told = said(at, "e-1", seconds=3.0)
    await instruct(settings, told, wait=0)
    async with relay(settings):
        await handle.result()
        audit = await scene.decided(at)
        await nothing_left(scene, settings.kafka.group_id)
    assert (audit.disposition, audit.detail) == (Disposition.APPLIED, f"parked {BY_ANN}")
    assert audit.tries == 1
    assert told.until is not None
    assert audit.decided_at >= told.until
    assert len(await scene.audit()) == 1


async def test_an_event_that_was_parked_and_skipped_stays_so_when_the_group_is_lost(
    scene: Scene,
) -> None:
    """It was skipped where it was first, and applied by the copy that it had left."""
    settings = patient(scene, park_initial=0.2, park_maximum=0.5)
    handle, at = await parked_and_skipped(scene, settings, copies=1)
    lost = settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"group_id": f"{at.topic}.anew"})}
    )
    async with relay(lost):
        await nothing_left(scene, lost.kafka.group_id)
    audit = [record for record in await scene.audit() if record.group == lost.kafka.group_id]
    assert [(one.offset, one.disposition) for one in audit] == [(at.offset, Disposition.SKIPPED)]
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING


async def test_an_event_that_was_parked_stays_so_when_the_events_offsets_are_set_back(
    scene: Scene,
) -> None:
    """It was applied at once where it was first, and then by its copy, too."""
    settings = patient(scene, park_initial=0.2, park_maximum=0.5)
    group, topic = settings.kafka.group_id, scene.topics.completions
    _, reference = await scene.waiting()
    at = await emit(scene, event(reference, completed(), event_id="e-1"))
    await instruct(settings, said(at, "e-1", seconds=600.0), wait=0)
    async with relay(settings):
        await is_parked(scene)
    await commit(scene, at.partition, OffsetAndMetadata(at.offset, ""))
    async with relay(settings):

        async def done_with() -> bool:
            committed = await committed_offsets(scene.kafka, group, topic)
            return bool(committed[at.partition] > at.offset)

        await eventually(done_with, timeout=30, what="the first record, settled")
        assert await scene.audit() == []  # it would be durable with the offset
        await instruct(settings, said(at, "e-1", seconds=0.2), wait=0)
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
        await nothing_left(scene, group)
    assert len(await scene.audit()) == 1


async def test_an_event_that_was_parked_twice_and_skipped_stays_so_when_the_parked_topics_are_set_back(
    scene: Scene,
) -> None:
    settings = patient(scene, park_initial=0.2, park_maximum=0.5)
    handle, at = await parked_and_skipped(scene, settings, copies=2)
    await commit(scene, at.partition, OffsetAndMetadata(0, ""), topic=scene.topics.parked)
    async with relay(settings):
        await nothing_left(scene, settings.kafka.group_id)
    assert [one.disposition for one in await scene.audit()] == [Disposition.SKIPPED] * 2
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING


async def parked_and_skipped(
    scene: Scene, settings: Settings, *, copies: int
) -> tuple[WorkflowHandle[Any, Any], RecordMetadata]:
    """Have an event parked, with so many copies at least, and then skipped; return who waits, and its place."""
    handle, reference = await scene.waiting()
    at = await emit(scene, event(reference, completed(), event_id="e-1"))
    await instruct(settings, said(at, "e-1", seconds=600.0), wait=0)
    async with relay(settings):
        await is_parked(scene, times=copies)
        skipped = await instruct(settings, said(at, "e-1"), wait=30)
        assert isinstance(skipped, AuditRecord)
        await nothing_left(scene, settings.kafka.group_id)
    return handle, at


async def is_parked(scene: Scene, *, times: int = 1) -> None:
    async def parked() -> bool:
        records = await consume_all(scene.kafka, scene.topics.parked)
        return sum(record.value is not None for record in records) >= times

    await eventually(parked, timeout=30, what="a parked copy")


async def test_an_operator_hears_that_an_event_is_parked(scene: Scene) -> None:
    settings = patient(scene)
    async with relay(settings):
        at = await emit(scene, await early(scene, "e-1"))
        outcome = await instruct(settings, said(at, "e-1", seconds=600.0), wait=30)
        assert isinstance(outcome, Ticket)
        assert (outcome.offset, outcome.former.tries) == (at.offset, 0)
        # And it can be skipped where it is now.
        outcome = await instruct(settings, said(at, "e-1"), wait=30)
        assert isinstance(outcome, AuditRecord)
        assert outcome.disposition is Disposition.SKIPPED
        assert outcome.detail == f"{BY_ANN}; parked {BY_ANN}"
        await nothing_left(scene, settings.kafka.group_id)


async def test_an_instruction_outlives_the_relay_that_should_have_heeded_it(scene: Scene) -> None:
    """The relay is frozen before the instruction comes, and killed with it unheeded."""
    variables = topic_settings(scene.topics) | {
        "COMPLETION_RELAY_RELAY__EARLY_TIMEOUT": "600",
    }
    group = variables["COMPLETION_RELAY_KAFKA__GROUP_ID"]
    settings = scene.settings(kafka={"group_id": group})
    servers = ("--kafka", scene.kafka, "--temporal", scene.temporal, "--http", "127.0.0.1:0")
    async with run(*servers, "--namespace", "default", environment=variables) as first:
        await first.ready()
        at = await emit(scene, await early(scene, "e-1"))
        first.process.send_signal(signal.SIGSTOP)
        await instruct(settings, said(at, "e-1"), wait=0)
        first.process.kill()
        await first.ended()
    await end_session(settings, settings.kafka.client_id)  # instead of waiting for its end
    async with run(*servers, "--namespace", "default", environment=variables) as second:
        audit = await scene.decided(at)
        line = await second.logged("operator heard", outcome="skipped", by="ann")
        assert line["why"] == "ticket 7"
        await nothing_left(scene, group)
    assert (audit.disposition, audit.detail) == (Disposition.SKIPPED, BY_ANN)
    assert len(await scene.audit()) == 1


async def test_an_instruction_that_comes_too_late_or_for_nothing_is_settled_and_changes_nothing(
    scene: Scene,
) -> None:
    settings = patient(scene)
    handle, reference = await scene.waiting()
    async with relay(settings):
        at = await emit(scene, event(reference, completed(), event_id="e-1"))
        await handle.result()
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
        await instruct(settings, said(at, "e-1"), wait=0)
        beyond = at._replace(offset=at.offset + 1_000)
        await instruct(settings, said(beyond, "e-2"), wait=0)
        await nothing_left(scene, settings.kafka.group_id)
    assert len(await scene.audit()) == 1


async def test_where_the_only_namespace_is_halted_an_operator_is_heard(scene: Scene) -> None:
    """No record is begun there beyond the one that tries, and the parked topic's neither."""
    missing = Missing(scene, f"missing-{uuid.uuid4().hex[:8]}")
    settings = missing.settings(park_after=600.0, drain_timeout=0.5)
    alone = settings.temporal.model_copy(update={"namespaces": (missing.name,)})
    settings = settings.model_copy(update={"temporal": alone})
    async with unready_relay(settings):
        ids = [f"w-{number}" for number in range(3)]
        events = [missing.event(one, one) for one in ids]
        places = [await missing.emit(one) for one in events]
        for at, sent in list(zip(places, events, strict=True))[:2]:
            outcome = await instruct(settings, said(at, sent.event_id), wait=30)
            assert isinstance(outcome, AuditRecord)
            assert outcome.disposition is Disposition.SKIPPED
        assert len(await scene.audit()) == 2
        await missing.appear()
        audit = await missing.all_decided(3)
        await nothing_left(scene, settings.kafka.group_id)
    # Its workflow never was: what counts is that the namespace answered.
    dispositions = {record.offset: record.disposition for record in audit}
    assert [dispositions[at.offset] for at in places] == [
        Disposition.SKIPPED,
        Disposition.SKIPPED,
        Disposition.UNKNOWN,
    ]


async def test_while_temporal_is_away_an_operator_is_heard(scene: Scene) -> None:
    """Nothing is begun then: what was said is settled when Temporal is back."""
    settings = patient(scene).model_copy(
        update={"temporal": TemporalSettings(address="127.0.0.1:1", namespaces=("default",))}
    )
    async with unready_relay(settings):
        # Three that fail are an outage, and more would not be begun.
        places = [await emit(scene, await early(scene, f"e-{n}")) for n in range(3)]
        for n, at in enumerate(places):
            outcome = await instruct(settings, said(at, f"e-{n}"), wait=30)
            assert isinstance(outcome, AuditRecord)
            assert (outcome.disposition, outcome.detail) == (Disposition.SKIPPED, BY_ANN)
    async with relay(patient(scene)):
        await nothing_left(scene, settings.kafka.group_id)
    assert len(await scene.audit()) == len(places)
