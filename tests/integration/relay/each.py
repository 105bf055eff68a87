"""One event for each way in which an event may end. Touches Temporal and Kafka.

All are emitted before a relay runs: each is then decided by what there is.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import time
import uuid
from dataclasses import dataclass

from aiokafka.structs import RecordMetadata
from temporalio.client import AsyncActivityHandle, WorkflowFailureError
from tests.integration.relay.waiting import Scene, completed, event, failed, heartbeat, payloads
from tests.support import produce

from completion_relay.instruction import Instruction, instruction_record
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import ActivityReference, Completed, CompletionEvent, UnixNanos

_OVER_THE_LIMIT = 3_000_000
_LONG = 3_600.0
"""Longer than a test: nothing may time out that is not meant to."""

End = Disposition | DeadLetterReason
"""A dead letter is one for its reason."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event, and where it is."""

    event_id: str
    workflow_id: str
    at: RecordMetadata


class Each:
    """Emits them."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def emit(self) -> dict[End, Emitted]:
        """Emit all of them; return each by how it has to end."""
        return {
            **await self._of_one_activity(),
            Disposition.CONFLICT: await self._ended_by_somebody_else(),
            Disposition.SUPERSEDED: await self._of_an_older_attempt(),
            Disposition.EXPIRED: await self._timed_out(),
            Disposition.CLOSED: await self._terminated(),
            Disposition.UNKNOWN: await self._of_nobody(),
            Disposition.SKIPPED: await self.skipped(),
            **await self._dead_letters(),
        }

    async def retried_failure(self) -> list[Emitted]:
        """Emit a failure that Temporal retries; nothing of it is in history while it waits."""
        _, reference = await self._scene.waiting(attempts=2, timeout=_LONG)
        return [await self._put(event(reference, failed(non_retryable=False)))]

    async def _put(self, sent: CompletionEvent) -> Emitted:
        at = await self._scene.emit(sent)
        return Emitted(sent.event_id, sent.activity.workflow_id, at)

    async def _of_one_activity(self) -> dict[End, Emitted]:
        _, reference = await self._scene.waiting(timeout=_LONG)
        once = event(reference, completed(), event_id=f"once-{uuid.uuid4()}")
        # In the order of its lane.
        applied, duplicate = await self._put(once), await self._put(once)
        late = await self._put(event(reference, heartbeat()))
        return {
            Disposition.APPLIED: applied,
            Disposition.DUPLICATE: duplicate,
            Disposition.COALESCED: late,
        }

    async def _ended_by_somebody_else(self) -> Emitted:
        handle, reference = await self._scene.waiting(timeout=_LONG)
        await self._direct(reference).complete("direct")
        await handle.result()
        return await self._put(event(reference, completed()))

    async def _of_an_older_attempt(self) -> Emitted:
        handle, first = await self._scene.waiting(attempts=2, timeout=_LONG)
        await self._direct(first).fail(ValueError("direct"))
        await self._scene.hand_offs.of(handle, attempt=2)
        return await self._put(event(first, completed()))

    async def _timed_out(self) -> Emitted:
        handle, reference = await self._scene.waiting(timeout=1)
        with contextlib.suppress(WorkflowFailureError):
            await handle.result()
        return await self._put(event(reference, completed()))

    async def _terminated(self) -> Emitted:
        handle, reference = await self._scene.waiting(timeout=_LONG)
        await handle.terminate()
        return await self._put(event(reference, completed()))

    async def _of_nobody(self) -> Emitted:
        nobody = ActivityReference(
            workflow_id=f"never-{uuid.uuid4()}", run_id=str(uuid.uuid4()), activity_id="1"
        )
        return await self._put(event(nobody, completed()))

    async def skipped(self) -> Emitted:
        """Emit an event, and say as an operator that it is to be skipped; its activity waits."""
        _, reference = await self._scene.waiting(timeout=_LONG)
        put = await self._put(event(reference, completed()))
        said = instruction_record(
            Instruction(
                topic=put.at.topic,
                partition=put.at.partition,
                offset=put.at.offset,
                event_id=put.event_id,
                by="ann",
                why="ticket 7",
                at=UnixNanos(time.time_ns()),
            )
        )
        await produce(
            self._scene.kafka,
            self._scene.topics.parked,
            said.value,
            key=said.key,
            headers=[(name, value or b"") for name, value in said.headers],
            partition=put.at.partition,
        )
        return put

    async def _dead_letters(self) -> dict[End, Emitted]:
        _, reference = await self._scene.waiting(timeout=_LONG)
        elsewhere = dataclasses.replace(reference, namespace="not-served")
        _, named = await self._scene.waiting(timeout=_LONG)
        garbage = base64.b64encode(b"garbage").decode()
        malformed = dataclasses.replace(named, task_token=garbage, token_fingerprint="")
        large = Completed(payloads(b'"' + b"x" * _OVER_THE_LIMIT + b'"'))
        _, waits = await self._scene.waiting(timeout=_LONG)
        return {
            DeadLetterReason.UNDECODABLE: await self._garbage(),
            DeadLetterReason.FORBIDDEN: await self._put(event(elsewhere, completed())),
            DeadLetterReason.INVALID: await self._put(event(malformed, completed())),
            DeadLetterReason.TOO_LARGE: await self._put(event(waits, large)),
        }

    async def _garbage(self) -> Emitted:
        claimed = f"garbage-{uuid.uuid4()}"
        headers = [("content-type", b"application/protobuf"), ("ce_id", claimed.encode())]
        at = await produce(
            self._scene.kafka,
            self._scene.topics.completions,
            b"\xff\x00garbage",
            headers=headers,
        )
        return Emitted(claimed, "", at)

    def _direct(self, reference: ActivityReference) -> AsyncActivityHandle:
        token = base64.b64decode(reference.task_token)
        return self._scene.client.get_async_activity_handle(task_token=token)
