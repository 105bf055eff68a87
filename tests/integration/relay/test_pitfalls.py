"""Pitfalls (`relay/PITFALLS.md`) that no other test of the relay shows by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from temporalio.api.common.v1 import Payload, Payloads
from tests.chaos.emit import made
from tests.chaos.script import Event, Kind
from tests.integration.relay.waiting import Scene, completed, event, relay

from completion_schemas.dispositions import Disposition
from completion_schemas.events import Completed, UnixNanos, unix_nanos


async def test_what_a_codec_has_encrypted_reaches_temporal_byte_for_byte(scene: Scene) -> None:
    """A client's converter or codec on the way would encode it a second time."""
    sent = Payloads(
        payloads=[
            Payload(metadata={"encoding": b"binary/encrypted", "key": b"7"}, data=bytes(range(256)))
        ]
    )
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        await scene.decided(await scene.emit(event(reference, Completed(sent))))
        results = [
            entry.activity_task_completed_event_attributes.result
            async for entry in handle.fetch_history_events()
            if entry.HasField("activity_task_completed_event_attributes")
        ]
        await handle.terminate()
    assert results == [sent]


async def test_the_audit_trail_tells_tokens_apart_without_showing_one(scene: Scene) -> None:
    """After a reset attempt numbers repeat: the token's fingerprint says which one it was.

    It is the relay that takes it: the events say nothing of it.
    """
    async with relay(scene.settings()):
        references = [(await scene.waiting())[1] for _ in range(2)]
        audit = [
            await scene.decided(
                await scene.emit(event(replace(reference, token_fingerprint=""), completed()))
            )
            for reference in references
        ]
    assert [record.token_fingerprint for record in audit] == [
        reference.token_fingerprint for reference in references
    ]
    assert audit[0].token_fingerprint != audit[1].token_fingerprint
    assert len(audit[0].token_preview) < len(references[0].task_token) / 2


async def test_a_poison_token_is_tried_until_its_deadline_and_holds_up_nobody(scene: Scene) -> None:
    """Temporal answers UNKNOWN for ever, and its activity waits on."""
    handle, reference = await scene.waiting()
    other, its_own = await scene.waiting()
    poison = Event(Kind.POISON, (reference.workflow_id, reference.activity_id), number=1)
    async with relay(scene.settings()):
        sent = made(poison, 0, reference, unix_nanos(datetime.now(UTC)))
        assert sent.expires_at is not None
        # Later than a run of faults has it: a machine that stands still for a while still tries twice.
        expires_at = UnixNanos(sent.expires_at + 12 * 10**9)
        at = await scene.emit(replace(sent, deadline=expires_at))
        past = await scene.decided(await scene.emit(event(its_own, completed())))
        assert await other.result() == "done"
        record = await scene.decided(at)
        await handle.terminate()
    assert past.decided_at < record.decided_at
    assert record.disposition is Disposition.EXPIRED
    assert record.decided_at >= expires_at
    assert record.tries > 1
    assert {call.status for call in record.calls} == {"UNKNOWN"}
