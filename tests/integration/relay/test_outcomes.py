"""What each outcome does to the waiting activity, and what Temporal's own view says of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from temporalio.api.failure.v1 import ActivityFailureInfo, Failure
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError
from tests.integration.relay.process import get
from tests.integration.relay.waiting import (
    Scene,
    canceled,
    completed,
    event,
    failed,
    failure,
    heartbeat,
    relay,
)
from tests.support import consume_all, eventually, produce

from completion_relay.identity import RecordMark
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import Disposition
from completion_schemas.events import ActivityReference, Failed, Outcome
from completion_schemas.signals import decode_signal

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def by_ids(reference: ActivityReference) -> ActivityReference:
    return dataclasses.replace(reference, task_token="", token_fingerprint="")


def by_token(reference: ActivityReference) -> ActivityReference:
    return ActivityReference(task_token=reference.task_token)


async def application_error(handle: object) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()  # type: ignore[attr-defined]
    assert isinstance(raised.value.cause, ActivityError)
    cause = raised.value.cause.cause
    assert isinstance(cause, ApplicationError)
    return cause


@pytest.mark.parametrize("name", [by_token, by_ids, lambda reference: reference])
async def test_a_completed_event_ends_the_activity_with_its_result(
    scene: Scene, name: object
) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        at = await scene.emit(event(name(reference), completed(b'{"answer":42}')))  # type: ignore[operator]
        assert await handle.result() == {"answer": 42}
        audit = await scene.decided(at)
    assert (audit.disposition, audit.tries, audit.rpc_status) == (Disposition.APPLIED, 1, "OK")
    assert (audit.workflow_id, audit.activity_id) == (handle.id, reference.activity_id)


@pytest.mark.parametrize("content_type", ["application/json", "avro/binary"])
async def test_every_encoding_is_applied(scene: Scene, content_type: str) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        await scene.emit(event(reference, completed(b"[1,2]")), content_type=content_type)
        assert await handle.result() == [1, 2]


async def test_temporals_history_names_the_record_that_completed_the_activity(
    scene: Scene,
) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        sent = event(reference, completed())
        at = await scene.emit(sent)
        await handle.result()
    identities = [
        entry.activity_task_completed_event_attributes.identity
        async for entry in handle.fetch_history_events()
        if entry.HasField("activity_task_completed_event_attributes")
    ]
    assert identities == [str(RecordMark(sent.event_id, at.topic, at.partition, at.offset))]


@pytest.mark.parametrize("name", [by_token, by_ids])
async def test_a_failed_event_fails_the_activity_as_it_would_itself(
    scene: Scene, name: object
) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        await scene.emit(event(name(reference), failed("no such order")))  # type: ignore[operator]
        error = await application_error(handle)
    assert (error.message, error.type, error.non_retryable) == ("no such order", "SomeError", True)


async def test_a_failure_that_temporal_would_refuse_is_wrapped(scene: Scene) -> None:
    """A callee that ends in an ActivityError; "Failure must have ApplicationFailureInfo."."""
    inner = failure("the disk is full", type_name="DiskError", non_retryable=True)
    outer = Failure(
        message="Activity task failed",
        activity_failure_info=ActivityFailureInfo(activity_id="1"),
        cause=inner,
    )
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        await scene.emit(event(reference, Failed(outer)))
        error = await application_error(handle)
    assert (error.type, error.message) == ("ActivityError", "Activity task failed")
    chain = error.cause
    assert isinstance(chain, ActivityError)
    assert isinstance(chain.cause, ApplicationError)
    assert (chain.cause.type, chain.cause.message) == ("DiskError", "the disk is full")


async def test_a_retryable_failure_starts_the_next_attempt_and_is_marked(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting(attempts=2)
        sent = event(reference, failed(non_retryable=False))
        at = await scene.emit(sent)
        second = await scene.hand_offs.of(handle, attempt=2)
        description = await handle.describe()
        (pending,) = description.raw_description.pending_activities
        await scene.emit(event(second, completed(b'"second"')))
        assert await handle.result() == "second"
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
    mark = RecordMark(sent.event_id, at.topic, at.partition, at.offset)
    assert pending.last_failure.source == str(mark)


async def test_a_canceled_event_cancels_the_activity_that_was_asked_to(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting(cancel_on_signal=True)
        await handle.signal("cancel_activity")

        async def asked() -> bool:
            described = (await handle.describe()).raw_description
            return any(entry.state == 3 for entry in described.pending_activities)

        await eventually(asked, what="the cancel request")
        at = await scene.emit(event(reference, canceled()))
        assert await handle.result() == "CancelledError"
        assert (await scene.decided(at)).disposition is Disposition.APPLIED


async def test_a_canceled_event_that_nobody_asked_for_is_reported_as_a_failure(
    scene: Scene,
) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        at = await scene.emit(event(reference, canceled()))
        error = await application_error(handle)
        audit = await scene.decided(at)
    assert (error.type, error.non_retryable) == ("CalleeCanceled", True)
    assert (audit.disposition, audit.tries) == (Disposition.APPLIED, 2)
    assert "CalleeCanceled" in audit.detail


@pytest.mark.parametrize("name", [by_token, by_ids])
async def test_a_heartbeat_reaches_the_pending_activity_and_decides_nothing(
    scene: Scene, name: object
) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        at = await scene.emit(event(name(reference), heartbeat()))  # type: ignore[operator]
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
        (pending,) = (await handle.describe()).raw_description.pending_activities
        assert [entry.data for entry in pending.heartbeat_details.payloads] == [b"1"]
        await scene.emit(event(reference, completed(b'"after"')))
        assert await handle.result() == "after"


async def test_a_cancel_request_seen_in_a_heartbeats_answer_becomes_a_signal(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting(cancel_on_signal=True)
        await handle.signal("cancel_activity")

        async def signalled() -> bool:
            record = encode_record(event(reference, heartbeat()), headers=[("traceparent", TRACE)])
            at = await produce(
                scene.kafka,
                scene.topics.completions,
                record.value,
                key=record.key,
                headers=[(name, value or b"") for name, value in record.headers],
            )
            await scene.decided(at)
            return bool(await consume_all(scene.kafka, scene.topics.signals))

        await eventually(signalled, what="a signal")
        await scene.emit(event(reference, canceled()))
        await handle.result()
    record = (await consume_all(scene.kafka, scene.topics.signals))[0]
    signal = decode_signal(record.headers, record.value)
    assert (signal.cancel_requested, signal.paused, signal.reset) == (True, False, False)
    assert signal.activity == reference
    assert dict(record.headers)["traceparent"] == TRACE


async def decided_in_order(scene: Scene, outcomes: list[Outcome]) -> tuple[Any, list[Disposition]]:
    """Return an activity's result and what became of its events, which were all there before it."""
    later = dataclasses.replace(scene, task_queue=f"{scene.task_queue}-later")
    handle = await later.start(activity_id="approval")
    reference = ActivityReference(
        workflow_id=handle.id, run_id=handle.result_run_id or "", activity_id="approval"
    )
    positions = [await scene.emit(event(reference, outcome)) for outcome in outcomes]
    received = (
        f'completion_relay_uncommitted{{partition="{positions[0].partition}",'
        f'topic="{scene.topics.completions}"}} {len(positions)}.0'
    )
    async with relay(scene.settings(relay={"early_timeout": 600.0})) as http:

        async def all_wait() -> bool:
            return received in (await get(f"http://{http}/metrics"))[1]

        await eventually(all_wait, what="events that wait")
        async with later.worker():
            result = await handle.result()
            audit = [await scene.decided(at) for at in positions]
    decided_at = [record.decided_at for record in audit]
    assert decided_at == sorted(decided_at)
    return result, [record.disposition for record in audit]


async def test_one_activitys_events_are_applied_in_their_order(scene: Scene) -> None:
    """All wait for an activity that nobody schedules before they do; then the first goes first."""
    outcomes: list[Outcome] = [completed(b"%d" % number) for number in range(5)]
    assert await decided_in_order(scene, outcomes) == (
        0,
        [Disposition.APPLIED, *[Disposition.CONFLICT] * 4],
    )


async def test_of_an_activitys_heartbeats_that_wait_none_holds_up_its_completion(
    scene: Scene,
) -> None:
    """The first may be under way when the others come; none of those says anything new."""
    later = dataclasses.replace(scene, task_queue=f"{scene.task_queue}-later")
    handle = await later.start(activity_id="approval")
    reference = ActivityReference(
        workflow_id=handle.id, run_id=handle.result_run_id or "", activity_id="approval"
    )
    beats = [await scene.emit(event(reference, heartbeat())) for _ in range(4)]
    last = await scene.emit(event(reference, completed(b'"done"')))
    async with relay(scene.settings(relay={"early_timeout": 600.0})):
        for beat in beats[1:]:
            assert (await scene.decided(beat)).disposition is Disposition.COALESCED
        async with later.worker():
            assert await handle.result() == "done"
            assert (await scene.decided(last)).disposition is Disposition.APPLIED
            first = await scene.decided(beats[0])
    assert first.disposition in (Disposition.APPLIED, Disposition.COALESCED)
