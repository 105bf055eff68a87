"""Without a bus: the worker completes the waiting activity itself."""

import base64
import logging
import uuid
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from tests.integration.workflow.helpers import GIVES_UP_AFTER, Side, somebody, worker
from tests.integration.workflow.samples import Callee, Job, Waiter
from tests.support import eventually

from completion_workflow import ActivityReference, CompletionPlugin, Direct


async def test_temporals_history_names_the_event(temporal_address: str, task_queue: str) -> None:
    """The identity is the one the relay uses, so that it recognises the event in a replay."""
    async with worker(temporal_address, CompletionPlugin(Direct()), task_queue) as side:
        handle = await side.client.start_workflow(
            Waiter.run, "text", id=side.id(), task_queue=task_queue
        )
        await handle.result()
        identities = [
            event.activity_task_completed_event_attributes.identity
            async for event in handle.fetch_history_events()
            if event.HasField("activity_task_completed_event_attributes")
        ]
    (identity,) = identities
    assert identity.startswith("completion-relay/")
    assert identity.endswith("@direct")


async def test_another_client_may_be_the_callers(
    temporal_address: str, task_queue: str, client: Client
) -> None:
    """The caller may live in another cluster than the callee."""
    async with worker(temporal_address, CompletionPlugin(Direct(client)), task_queue) as side:
        seen = await side.client.execute_workflow(
            Waiter.run, "text", id=side.id(), task_queue=task_queue
        )
    assert seen == ["str", "'done \u2713'"]


async def test_a_caller_that_does_not_wait_any_more_is_no_error(
    temporal_address: str, task_queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The callee's work is good, and nobody is left to tell: it is logged."""
    async with worker(temporal_address, CompletionPlugin(Direct()), task_queue) as side:
        caller = await side.client.start_workflow(
            Waiter.run, "wait", id=side.id(), task_queue=task_queue
        )
        callee = side.client.get_workflow_handle(f"callee-of-{caller.id}")
        await eventually(lambda: side.activities.references, what="the hand-off")
        await caller.terminate()
        # The reference is known before the callee has been started.
        await eventually(lambda: _signaled(callee), what="the callee")
        assert await callee.result() == "waited"
    (logged,) = [r for r in caplog.records if "is not waiting any more" in r.getMessage()]
    assert logged.levelno == logging.WARNING


async def test_a_heartbeat_reaches_the_waiting_activity(
    temporal_address: str, task_queue: str
) -> None:
    """Temporal shows its details and starts the heartbeat timeout anew."""
    async with worker(temporal_address, CompletionPlugin(Direct()), task_queue) as side:
        caller = await side.client.start_workflow(
            Waiter.run, "heartbeat-wait", id=side.id(), task_queue=task_queue
        )
        callee = side.client.get_workflow_handle(f"callee-of-{caller.id}")

        async def details() -> list[bytes]:
            pending = (await caller.describe()).raw_description.pending_activities
            return [p.data for a in pending for p in a.heartbeat_details.payloads]

        assert await eventually(details, what="a heartbeat") == [b'"half"']
        await callee.signal(Callee.finish)
        assert await caller.result() == ["str", "'alive'"]


async def test_a_token_that_temporal_refuses_is_said(
    temporal_address: str, task_queue: str
) -> None:
    """INVALID_ARGUMENT is the event's fault and not retried."""
    async with worker(temporal_address, CompletionPlugin(Direct()), task_queue) as side:
        error = await _failure(side, Job("text", somebody()))
    assert error.type == "CompletionNotPublished"
    assert "Temporal refuses event" in error.message


async def test_ids_alone_are_refused(temporal_address: str, task_queue: str) -> None:
    """By ids Temporal checks neither attempt nor start: that needs the relay, which looks first."""
    only_ids = somebody(task_token="", workflow_id="w", run_id="r", activity_id="1")
    async with worker(temporal_address, CompletionPlugin(Direct()), task_queue) as side:
        error = await _failure(side, Job("text", only_ids))
    assert "direct mode needs a plain task token" in error.message


async def test_an_unknown_namespace_is_retried(temporal_address: str, task_queue: str) -> None:
    """It is a wrong setting, not a caller that has gone: somebody may put it right."""
    async with worker(temporal_address, CompletionPlugin(Direct()), task_queue) as side:
        caller = await side.client.start_workflow(
            Waiter.run, "wait", id=side.id(), task_queue=task_queue
        )
        await eventually(lambda: side.activities.references, what="the hand-off")
        (callback,) = side.activities.references
        elsewhere = somebody(namespace="nowhere", task_token=_in_another_namespace(callback))
        error = await _failure(side, Job("text", elsewhere, give_up_after_seconds=GIVES_UP_AFTER))
        await caller.terminate()
    assert "NOT_FOUND" in error.message


async def _signaled(callee: WorkflowHandle[Any, Any]) -> bool:
    try:
        await callee.signal(Callee.finish)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


def _in_another_namespace(reference: ActivityReference) -> str:
    """Return the token with its first field, the namespace's id, replaced by one that nobody has."""
    token = reference.token_bytes()
    assert token[:2] == b"\x0a\x24", "a token begins with its namespace's UUID (facts A)"
    return base64.b64encode(token[:2] + str(uuid.uuid4()).encode() + token[38:]).decode()


async def _failure(side: Side, job: Job) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as raised:
        await side.client.execute_workflow(
            Callee.run, job, id=side.id(), task_queue=side.task_queue
        )
    assert isinstance(raised.value.cause, ApplicationError)
    return raised.value.cause
