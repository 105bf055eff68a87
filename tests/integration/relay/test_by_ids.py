"""Events by ids: Temporal checks neither attempt nor start there, so the relay does."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.integration.relay.caller import Caller, Wait
from tests.integration.relay.waiting import Scene, completed, event, failed, relay
from tests.support import consume_all

from completion_relay.completer import Completer
from completion_relay.evidence import Finding, NotScheduled, Pending
from completion_relay.triage import Triage
from completion_relay.verdict import Answer
from completion_schemas.dispositions import Disposition
from completion_schemas.events import ActivityReference, unix_nanos


def ids_of(reference: ActivityReference, **changes: object) -> ActivityReference:
    return dataclasses.replace(
        reference,
        task_token="",
        token_fingerprint="",
        **changes,  # type: ignore[arg-type]
    )


async def test_an_event_that_comes_before_its_activity_waits_for_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody polls the workflow's task queue until a look has found the activity not scheduled."""
    is_early, find = asyncio.Event(), Triage.find

    async def told_find(self: Triage, *given: Any, **how: Any) -> Finding | Answer:
        found = await find(self, *given, **how)
        if isinstance(found, NotScheduled):
            is_early.set()
        return found

    monkeypatch.setattr(Triage, "find", told_find)
    held = dataclasses.replace(scene, task_queue=f"{scene.task_queue}-held")
    async with relay(scene.settings(relay={"early_timeout": 60.0})):
        handle = await held.start(activity_id="approval")
        reference = ActivityReference(
            workflow_id=handle.id, run_id=handle.result_run_id or "", activity_id="approval"
        )
        at = await scene.emit(event(reference, completed(b'"early"')))
        await asyncio.wait_for(is_early.wait(), 30)
        async with held.worker():
            assert await handle.result() == "early"
            assert (await scene.decided(at)).disposition is Disposition.APPLIED


async def test_an_event_whose_activity_never_comes_is_unknown_after_a_bounded_wait(
    scene: Scene,
) -> None:
    async with relay(scene.settings(relay={"early_timeout": 0.5})):
        handle, reference = await scene.waiting()
        at = await scene.emit(event(ids_of(reference, activity_id="other"), completed()))
        audit = await scene.decided(at)
        await handle.terminate()
    assert (audit.disposition, audit.tries) == (Disposition.UNKNOWN, 0)
    assert "0.5 s" in audit.detail


async def test_an_event_for_an_older_attempt_is_superseded(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, first = await scene.waiting(attempts=2)
        await scene.emit(event(first, failed(non_retryable=False)))
        second = await scene.hand_offs.of(handle, attempt=2)
        at = await scene.emit(event(ids_of(first), completed(b'"first"')))
        audit = await scene.decided(at)
        await scene.emit(event(second, completed(b'"second"')))
        assert await handle.result() == "second"
    assert audit.disposition is Disposition.SUPERSEDED


async def test_a_failure_by_ids_that_is_sent_twice_burns_one_attempt(scene: Scene) -> None:
    """Seen on server 1.32.0: sent as it is, it burned attempts 1 and 2."""
    async with relay(scene.settings()):
        handle, first = await scene.waiting(attempts=3)
        sent = event(ids_of(first, attempt=0), failed(non_retryable=False))
        await scene.emit(sent)
        second = await scene.hand_offs.of(handle, attempt=2)
        at = await scene.emit(sent)
        assert (await scene.decided(at)).disposition is Disposition.DUPLICATE
        (pending,) = (await handle.describe()).raw_description.pending_activities
        assert pending.attempt == 2
        await scene.emit(event(second, completed()))
        await handle.result()


async def test_a_failure_by_ids_whose_call_a_stop_cuts_short_burns_one_attempt_when_it_lands(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a link that holds it back, until the next relay has found the activity pending."""
    is_sent, is_pending, calls = asyncio.Event(), asyncio.Event(), list[Any]()
    send, find = Completer.send, Triage.find

    async def held_send(*call: Any) -> Answer:
        calls.append(call)
        is_sent.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def told_find(self: Triage, *given: Any, **how: Any) -> Finding | Answer:
        found = await find(self, *given, **how)
        if is_sent.is_set() and isinstance(found, Pending):
            is_pending.set()
        return found

    monkeypatch.setattr(Completer, "send", held_send)
    monkeypatch.setattr(Triage, "find", told_find)
    settings = scene.settings(
        relay={"drain_timeout": 0.1, "look_timeout": 30.0, "park_initial": 0.2}
    )
    async with relay(settings):
        handle, first = await scene.waiting(attempts=3)
        at = await scene.emit(event(ids_of(first, attempt=0), failed(non_retryable=False)))
        await asyncio.wait_for(is_sent.wait(), 30)
    (copy,) = await consume_all(scene.kafka, scene.topics.parked)
    assert dict(copy.headers)["completion-park-may-land"] == b"yes"
    async with relay(settings):
        await asyncio.wait_for(is_pending.wait(), 30)
        await send(*calls[0])
        assert (await scene.decided(at)).tries == 1
    (pending,) = (await handle.describe()).raw_description.pending_activities
    assert (pending.attempt, len(calls)) == (2, 1)
    await handle.terminate()


async def test_an_event_for_an_ended_activity_tells_who_ended_it(scene: Scene) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        sent = event(ids_of(reference), completed())
        await scene.emit(sent)
        await handle.result()
        at = await scene.emit(sent)
        assert (await scene.decided(at)).disposition is Disposition.DUPLICATE


async def test_a_reference_to_an_earlier_run_is_not_applied_to_the_current_one(
    scene: Scene,
) -> None:
    """Both runs have an activity of the id, and even the policy is for the current run."""
    async with relay(scene.settings(relay={"allow_current_run": True})):
        handle, first = await scene.waiting(activity_id="same")
        await scene.emit(event(first, completed(b'"first"')))
        assert await handle.result() == "first"
        again = await scene.client.start_workflow(
            Caller.run, Wait(activity_id="same"), id=handle.id, task_queue=scene.task_queue
        )
        second = await scene.hand_offs.of(again, attempt=2)
        assert first.run_id != second.run_id
        at = await scene.emit(event(ids_of(first), completed(b'"late"')))
        assert (await scene.decided(at)).disposition is Disposition.CONFLICT
        await scene.emit(event(ids_of(second), completed(b'"second"')))
        assert await again.result() == "second"


async def test_without_a_run_the_current_one_is_meant_where_the_policy_says_so(
    scene: Scene,
) -> None:
    async with relay(scene.settings(relay={"allow_current_run": True})):
        handle, reference = await scene.waiting(activity_id="same")
        before = unix_nanos(datetime(2020, 1, 1, tzinfo=UTC))
        # Without a run it means the current one, where it is the first of its id.
        at = await scene.emit(
            event(ids_of(reference, run_id=""), completed(b'"current"'), occurred_at=before)
        )
        assert await handle.result() == "current"
        assert (await scene.decided(at)).disposition is Disposition.APPLIED


async def test_the_attempt_that_is_named_decides_whatever_the_emitters_clock_says(
    scene: Scene,
) -> None:
    """A clock one second behind made an event for the pending attempt look like an older one."""
    async with relay(scene.settings()):
        handle, first = await scene.waiting(attempts=2)
        before_second = unix_nanos(datetime.now(UTC))
        await scene.emit(event(first, failed(non_retryable=False)))
        second = await scene.hand_offs.of(handle, attempt=2)
        await scene.emit(event(ids_of(second), completed(b'"second"'), occurred_at=before_second))
        assert await handle.result() == "second"


async def test_a_retried_failure_without_an_attempt_is_known_once_a_later_one_has_ended(
    scene: Scene,
) -> None:
    async with relay(scene.settings()):
        handle, first = await scene.waiting(attempts=2)
        sent = event(ids_of(first, attempt=0), failed(non_retryable=False))
        await scene.emit(sent)
        await scene.emit(event(await scene.hand_offs.of(handle, attempt=2), completed()))
        await handle.result()
        at = await scene.emit(sent)
        assert (await scene.decided(at)).disposition is Disposition.DUPLICATE
