"""Every disposition that is not `applied`, and every dead-letter reason, on a real server."""

from __future__ import annotations

import base64
import dataclasses
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from temporalio import exceptions
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError
from tests.integration.relay.waiting import (
    Scene,
    completed,
    event,
    failed,
    heartbeat,
    payloads,
    relay,
)
from tests.support import committed_offsets, consume_all, eventually, produce

from completion_schemas.audit import AuditRecord
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import ActivityReference, Canceled, Completed, Outcome, unix_nanos

OVER_WHAT_IS_KEPT = 5 * 1024
"""Characters; over `limit.mutableStateActivityFailureSize.error`, what Temporal keeps of a failure
that it retries."""
OVER_THE_LIMIT = 5 * 1024 * 1024 // 2
"""Characters; over the blob limit, and less than gRPC's limit for a message."""


def because(audit: AuditRecord) -> tuple[Disposition, DeadLetterReason | None]:
    return audit.disposition, audit.reason


async def test_an_event_sent_twice_is_a_duplicate(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        sent = event(reference, completed())
        first, second = await scene.emit(sent), await scene.emit(sent)
        await handle.result()
        assert (await scene.decided(first)).disposition is Disposition.APPLIED
        assert (await scene.decided(second)).disposition is Disposition.DUPLICATE


async def test_a_record_delivered_again_is_applied_as_it_was(scene: Scene) -> None:
    """What a relay that died before its audit record leaves: history has this record's mark."""
    handle, reference = await scene.waiting()
    async with relay(scene.settings()):
        at = await scene.emit(event(reference, completed()))
        await handle.result()
        await scene.decided(at)
    async with relay(scene.settings(kafka={"group_id": f"{scene.topics.completions}.again"})):

        async def both() -> list[AuditRecord] | None:
            records = await scene.audit()
            return records if len(records) == 2 else None

        again = (await eventually(both))[1]
    assert (again.disposition, again.rpc_status) == (Disposition.APPLIED, "NOT_FOUND")
    assert again.redelivery


@pytest.mark.parametrize("size", [9, OVER_WHAT_IS_KEPT], ids=["small", "shortened"])
async def test_a_failure_that_temporal_retries_is_applied_when_delivered_again(
    scene: Scene, size: int
) -> None:
    """It leaves no history, so `Failure.source` of the pending activity has to tell."""
    handle, reference = await scene.waiting(attempts=2)
    sent = event(reference, failed("x" * size, non_retryable=False))
    async with relay(scene.settings()):
        await scene.emit(sent)
        second = await scene.hand_offs.of(handle, attempt=2)
        copy = await scene.emit(sent)
        assert (await scene.decided(copy)).disposition is Disposition.DUPLICATE
    async with relay(scene.settings(kafka={"group_id": f"{scene.topics.completions}.again"})):

        async def all_four() -> list[AuditRecord] | None:
            records = await scene.audit()
            return records if len(records) == 4 else None

        records = await eventually(all_four)
        await scene.emit(event(second, completed()))
        await handle.result()
    assert sorted(record.disposition for record in records) == [
        Disposition.APPLIED,
        Disposition.APPLIED,
        Disposition.DUPLICATE,
        Disposition.DUPLICATE,
    ]


@pytest.mark.parametrize("size", [9, OVER_WHAT_IS_KEPT], ids=["small", "shortened"])
async def test_a_retried_failure_is_still_known_once_a_later_attempt_has_ended(
    scene: Scene, size: int
) -> None:
    """Then the last failure in the newer attempt's Started event is the only trace."""
    handle, reference = await scene.waiting(attempts=2)
    async with relay(scene.settings()):
        sent = event(reference, failed("x" * size, non_retryable=False))
        await scene.emit(sent)
        await scene.emit(event(await scene.hand_offs.of(handle, attempt=2), completed()))
        await handle.result()
        copy = await scene.emit(sent)
        assert (await scene.decided(copy)).disposition is Disposition.DUPLICATE


async def test_a_failure_over_the_blob_limit_is_taken_shortened_and_the_trail_says_so(
    scene: Scene,
) -> None:
    """Temporal answers OK, keeps a short form of it, and makes no further attempt."""
    async with relay(scene.settings()):
        handle, reference = await scene.waiting(attempts=2)
        at = await scene.emit(event(reference, failed("x" * OVER_THE_LIMIT, non_retryable=False)))
        audit = await scene.decided(at)
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert audit.disposition is Disposition.APPLIED
    assert audit.detail == "Temporal changed what it took: Failure exceeds size limit."


async def test_an_activity_that_somebody_else_completed_is_a_conflict(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        token = base64.b64decode(reference.task_token)
        await scene.client.get_async_activity_handle(task_token=token).complete("direct")
        await handle.result()
        at = await scene.emit(event(reference, completed()))
        audit = await scene.decided(at)
    assert audit.disposition is Disposition.CONFLICT
    assert "ACTIVITY_TASK_COMPLETED by " in audit.detail


@pytest.mark.parametrize(("first", "second"), [(completed, failed), (failed, completed)])
async def test_the_same_event_id_with_another_outcome_is_a_conflict(
    scene: Scene, first: Callable[[], Outcome], second: Callable[[], Outcome]
) -> None:
    async with relay(scene.settings()):
        _, reference = await scene.waiting()
        await scene.decided(await scene.emit(event(reference, first(), event_id="one")))
        at = await scene.emit(event(reference, second(), event_id="one"))
        assert (await scene.decided(at)).disposition is Disposition.CONFLICT


async def test_a_token_of_a_namespace_that_is_no_more_is_unknown_and_halts_nobody(
    scene: Scene,
) -> None:
    """Temporal answers as if the request's own namespace were missing."""
    async with relay(scene.settings()) as http:
        handle, reference = await scene.waiting()
        token = reference.token_bytes()
        mine = token[2:38]  # field 1, the namespace's id: a UUID of 36 characters
        other = str(uuid.uuid4()).encode()
        lost = ActivityReference(
            task_token=base64.b64encode(token.replace(mine, other, 1)).decode()
        )
        audit = await scene.decided(await scene.emit(event(lost, completed())))
        await scene.emit(event(reference, completed()))
        await handle.result()
        async with aiohttp.ClientSession() as session, session.get(f"http://{http}/readyz") as page:
            assert page.status == 200
    assert uuid.UUID(mine.decode())
    assert (audit.disposition, audit.tries) == (Disposition.UNKNOWN, 1)


async def test_a_cancellation_over_the_limit_is_too_large_as_a_result_is(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        details = payloads(b'"' + b"x" * 3_000_000)
        at = await scene.emit(event(reference, Canceled(details)))
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        audit = await scene.decided(at)
    assert because(audit) == (Disposition.DEAD_LETTERED, DeadLetterReason.TOO_LARGE)


async def test_an_event_that_its_producer_compressed_below_the_topics_limit_is_dead_lettered(
    scene: Scene,
) -> None:
    """The topic's limit counts the compressed batch; 6 MB of one letter are a few kB."""
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        record = encode_record(event(reference, Completed(payloads(b'"' + b"x" * 6_000_000))))
        async with AIOKafkaProducer(
            bootstrap_servers=scene.kafka, compression_type="gzip", max_request_size=2**24
        ) as producer:
            at = await producer.send_and_wait(
                scene.topics.completions,
                record.value,
                headers=[(name, value or b"") for name, value in record.headers],
            )
        audit = await scene.decided(at)
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert because(audit) == (Disposition.DEAD_LETTERED, DeadLetterReason.TOO_LARGE)


async def test_ids_of_any_length_fit_into_an_audit_record(scene: Scene) -> None:
    reference = ActivityReference(workflow_id="w" * 1_200_000, run_id="r", activity_id="1")
    async with relay(scene.settings()):
        audit = await scene.decided(await scene.emit(event(reference, completed())))
    assert audit.workflow_id == "w" * 1_000


async def test_ids_that_contradict_the_token_do_not_name_the_activity(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        wrong = dataclasses.replace(reference, workflow_id="somebody-elses")
        audit = await scene.decided(await scene.emit(event(wrong, completed())))
        await handle.result()
    assert (audit.disposition, audit.workflow_id) == (Disposition.APPLIED, handle.id)


async def test_a_token_of_an_older_attempt_is_superseded(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, first = await scene.waiting(attempts=2)
        token = base64.b64decode(first.task_token)
        await scene.client.get_async_activity_handle(task_token=token).fail(ValueError("direct"))
        second = await scene.hand_offs.of(handle, attempt=2)
        at = await scene.emit(event(first, completed()))
        audit = await scene.decided(at)
        await scene.emit(event(second, completed(b'"second"')))
        assert await handle.result() == "second"
    assert audit.disposition is Disposition.SUPERSEDED


async def test_an_activity_that_timed_out_is_expired(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting(timeout=1)
        with pytest.raises(WorkflowFailureError) as raised:
            await handle.result()
        assert isinstance(raised.value.cause, ActivityError)
        assert isinstance(raised.value.cause.cause, exceptions.TimeoutError)
        at = await scene.emit(event(reference, completed()))
        assert (await scene.decided(at)).disposition is Disposition.EXPIRED


async def test_a_deadline_that_has_passed_does_not_keep_an_event_from_its_first_call(
    scene: Scene,
) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        past = unix_nanos(datetime(2020, 1, 1, tzinfo=UTC))
        at = await scene.emit(event(reference, completed(b'"in time"'), deadline=past))
        assert await handle.result() == "in time"
        assert (await scene.decided(at)).disposition is Disposition.APPLIED


async def test_an_activity_of_a_terminated_workflow_is_closed(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        await handle.terminate()
        at = await scene.emit(event(reference, completed()))
        assert (await scene.decided(at)).disposition is Disposition.CLOSED


async def test_a_workflow_that_temporal_does_not_know_is_unknown(scene: Scene) -> None:
    reference = ActivityReference(
        workflow_id="never", run_id="5f3c5a44-1f0e-4c56-9d8e-000000000000", activity_id="1"
    )
    async with relay(scene.settings()):
        at = await scene.emit(event(reference, completed()))
        audit = await scene.decided(at)
    assert (audit.disposition, audit.tries) == (Disposition.UNKNOWN, 0)


async def test_a_heartbeat_for_an_activity_that_is_decided_is_coalesced(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        await scene.emit(event(reference, completed()))
        await handle.result()
        at = await scene.emit(event(reference, heartbeat()))
        assert (await scene.decided(at)).disposition is Disposition.COALESCED


async def test_garbage_is_dead_lettered_untouched_and_holds_up_nobody(scene: Scene) -> None:
    headers = [("content-type", b"application/protobuf"), ("x", b"\xff"), ("x", b"")]
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        at = await produce(
            scene.kafka, scene.topics.completions, b"\xff\x00garbage", key=b"\xfe", headers=headers
        )
        await scene.emit(event(reference, completed()))
        await handle.result()
        audit = await scene.decided(at)
    assert because(audit) == (Disposition.DEAD_LETTERED, DeadLetterReason.UNDECODABLE)
    (letter,) = await consume_all(scene.kafka, scene.topics.dead_letter)
    assert (letter.key, letter.value) == (b"\xfe", b"\xff\x00garbage")
    assert list(letter.headers)[:3] == headers
    assert dict(letter.headers)["completion-dlq-reason"] == b"undecodable"


@pytest.mark.parametrize(("namespace", "cluster"), [("hr", ""), ("default", "elsewhere")])
async def test_what_the_relay_does_not_serve_is_forbidden(
    scene: Scene, namespace: str, cluster: str
) -> None:
    async with relay(scene.settings()):
        handle, named = await scene.waiting()
        at = await scene.emit(
            event(dataclasses.replace(named, namespace=namespace, cluster=cluster), completed())
        )
        audit = await scene.decided(at)
        await handle.terminate()
    assert because(audit) == (Disposition.DEAD_LETTERED, DeadLetterReason.FORBIDDEN)


async def test_a_token_that_temporal_refuses_is_invalid(scene: Scene) -> None:
    reference = ActivityReference(task_token=base64.b64encode(b"garbage").decode())
    async with relay(scene.settings()):
        at = await scene.emit(event(reference, completed()))
        audit = await scene.decided(at)
    assert because(audit) == (Disposition.DEAD_LETTERED, DeadLetterReason.INVALID)
    assert (audit.rpc_status, audit.token_preview) == ("INVALID_ARGUMENT", "Z2Fy...")


@pytest.mark.parametrize("size", [3_000_000, 4_190_000])
async def test_a_result_over_the_limit_fails_the_activity_and_is_dead_lettered(
    scene: Scene, size: int
) -> None:
    """Temporal would answer OK and fail the activity itself with no word of it to the relay."""
    async with relay(scene.settings()):
        handle, reference = await scene.waiting(attempts=3)
        at = await scene.emit(
            event(reference, dataclasses.replace(completed(), result=payloads(b'"' + b"x" * size)))
        )
        with pytest.raises(WorkflowFailureError) as raised:
            await handle.result()
        audit = await scene.decided(at)
    assert isinstance(raised.value.cause, ActivityError)
    error = raised.value.cause.cause
    assert isinstance(error, ApplicationError)
    assert (error.type, error.non_retryable) == ("ResultTooLarge", True)
    assert "2097152" in error.message
    assert because(audit) == (Disposition.DEAD_LETTERED, DeadLetterReason.TOO_LARGE)
    (letter,) = await consume_all(scene.kafka, scene.topics.dead_letter)
    assert letter.value is not None
    assert len(letter.value) > size


async def test_offsets_are_committed_up_to_the_end(scene: Scene) -> None:
    settings = scene.settings()
    async with relay(settings):
        handle, reference = await scene.waiting()
        at = await scene.emit(event(reference, completed()))
        await handle.result()
        await scene.decided(at)
    committed = await committed_offsets(
        scene.kafka, settings.kafka.group_id, scene.topics.completions
    )
    assert committed[at.partition] == at.offset + 1
