"""What is published when, and what the callee itself ends in."""

from collections import deque
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
)
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker
from tests.integration.workflow.helpers import Outbox, Side, somebody, worker
from tests.integration.workflow.samples import Callee, Canceler, Job, Waiter
from tests.support import eventually

from completion_schemas.events import Canceled, Completed, Failed, Heartbeat
from completion_schemas.tokens import token_fingerprint
from completion_workflow import ActivityReference, CompletionPlugin
from completion_workflow._sending import PublishError, TooLargeError, UnpublishableError


async def _run(side: Side, job: Job, workflow_id: str | None = None) -> object:
    return await side.client.execute_workflow(
        Callee.run, job, id=workflow_id or side.id(), task_queue=side.task_queue
    )


async def _failure(side: Side, job: Job) -> BaseException | None:
    with pytest.raises(WorkflowFailureError) as raised:
        await _run(side, job)
    return raised.value.cause


@pytest.mark.parametrize("callback", [None, ActivityReference()])
async def test_without_a_callback_nothing_is_published(
    callback: ActivityReference | None, temporal_address: str, task_queue: str
) -> None:
    """None and an empty reference mean that nobody waits: the work is done all the same."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        assert await _run(side, Job("text", callback)) == "done \u2713"
    assert outbox.tried == []


async def test_without_a_callback_a_failure_is_just_a_failure(
    temporal_address: str, task_queue: str
) -> None:
    """Nothing is published and the error is the work's own."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        error = await _failure(side, Job("details"))
    assert isinstance(error, ApplicationError)
    assert error.type == "NoFunds"
    assert outbox.tried == []


async def test_the_event_says_who_emitted_it_and_for_whom(
    temporal_address: str, task_queue: str
) -> None:
    """Origin, reference and deadline are complete."""
    outbox, callback = Outbox(), somebody(deadline="2099-01-01T00:00:00Z")
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        handle = await side.client.start_workflow(
            Callee.run, Job("text", callback), id=side.id(), task_queue=task_queue
        )
        await handle.result()
    (event,) = outbox.sent
    assert isinstance(event.outcome, Completed)
    assert event.activity == callback
    assert event.deadline == event.expires_at
    assert event.deadline is not None
    assert event.origin.namespace == "default"
    assert (event.origin.workflow_id, event.origin.run_id) == (handle.id, handle.result_run_id)
    assert event.origin.workflow_type == "Callee"
    assert event.origin.identity == side.client.identity


async def test_a_retried_publication_is_the_same_event(
    temporal_address: str, task_queue: str
) -> None:
    """The first try fails; the second, a second later, has the same id, time and outcome."""
    outbox = Outbox(problems=deque([PublishError("not now")]))
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        await _run(side, Job("text", somebody()))
    first, second = outbox.tried
    assert first == second
    assert outbox.sent == [second]


async def test_two_runs_of_a_callee_are_two_events(temporal_address: str, task_queue: str) -> None:
    """A callee that is started again under the same id says something new."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        workflow_id = side.id()
        await _run(side, Job("text", somebody()), workflow_id)
        await _run(side, Job("text", somebody()), workflow_id)
    first, second = outbox.sent
    assert first.event_id != second.event_id


async def test_success_that_cannot_be_published_fails_the_workflow(
    temporal_address: str, task_queue: str
) -> None:
    """The callee says so: its caller waits for something that does not come."""
    outbox = Outbox(problems=deque([UnpublishableError("it is refused")]))
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        error = await _failure(side, Job("text", somebody()))
    assert isinstance(error, ApplicationError)
    assert error.type == "CompletionNotPublished"
    assert error.message.endswith("the waiting activity: it is refused")
    assert isinstance(error.cause, ActivityError)


async def test_a_reference_that_cannot_be_used_is_said_at_the_end(
    temporal_address: str, task_queue: str
) -> None:
    """Whatever it was given, the callee works; then it says that it could not report."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        error = await _failure(side, Job("text", somebody(task_token="?")))
    assert isinstance(error, ApplicationError)
    assert error.type == "CompletionNotPublished"
    assert "activity.task_token is not standard Base64" in error.message
    assert outbox.tried == []


@pytest.mark.parametrize(
    "problem", [UnpublishableError("it is refused"), TooLargeError("anything")]
)
async def test_the_original_error_wins_over_a_publishing_problem(
    problem: Exception, temporal_address: str, task_queue: str
) -> None:
    """The workflow raises what went wrong with the work, not what went wrong with saying so."""
    outbox = Outbox(problems=deque([problem, problem]))
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        error = await _failure(side, Job("details", somebody()))
    assert isinstance(error, ApplicationError)
    assert (error.type, error.message, error.non_retryable) == ("NoFunds", "no funds", True)
    assert error.__cause__ is None
    assert outbox.sent == []


async def test_an_error_that_cannot_be_reported_is_still_the_error(
    temporal_address: str, task_queue: str
) -> None:
    """Not even a useless reference hides it."""
    async with worker(temporal_address, CompletionPlugin(Outbox()), task_queue) as side:
        error = await _failure(side, Job("details", somebody(task_token="?")))
    assert isinstance(error, ApplicationError)
    assert error.type == "NoFunds"


async def test_the_failure_of_the_callees_own_activity_is_published_as_it_is(
    temporal_address: str, task_queue: str
) -> None:
    """The failure is the converter's, an ActivityError; who completes the activity wraps it."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        await _failure(side, Job("own-activity", somebody()))
    (event,) = outbox.sent
    assert isinstance(event.outcome, Failed)
    assert event.outcome.failure.HasField("activity_failure_info")
    assert event.outcome.failure.cause.application_failure_info.type == "NoFunds"


async def test_the_caller_sees_the_failure_of_the_callees_own_activity_with_its_cause(
    temporal_address: str, task_queue: str
) -> None:
    """Type, message, details and non-retryable of the root are in the cause chain."""
    outbox = Outbox(deliver=True)
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        seen = await side.client.execute_workflow(
            Waiter.run, "own-activity", id=side.id(), task_queue=task_queue
        )
    assert [text.partition("(")[0] for text in seen] == [
        "ActivityError",
        "ApplicationError",
        "ActivityError",
        "ApplicationError",
    ]
    assert "type='ActivityError'" in seen[1]
    assert "non_retryable=True" in seen[1]
    assert "type='NoFunds', details=({'missing': 5}, [1, 2]), non_retryable=True" in seen[3]


async def test_a_timeout_that_fails_the_workflow_is_published(
    temporal_address: str, task_queue: str
) -> None:
    """Asyncio's TimeoutError fails a workflow in this SDK, so it is an outcome."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        await _failure(side, Job("timeout", somebody()))
    (event,) = outbox.sent
    assert isinstance(event.outcome, Failed)
    assert event.outcome.failure.application_failure_info.type == "TimeoutError"


async def test_a_bug_is_no_outcome(temporal_address: str, task_queue: str) -> None:
    """It fails the workflow task only, which is retried: the caller goes on waiting for the fix."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        handle = await side.client.start_workflow(
            Callee.run, Job("bug", somebody()), id=side.id(), task_queue=task_queue
        )

        await _event(side.client, handle.id, "workflow_task_failed_event_attributes")
        assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
        await handle.terminate()
    assert outbox.tried == []


async def test_a_bug_is_an_outcome_where_the_worker_says_so(
    temporal_address: str, task_queue: str
) -> None:
    """`workflow_failure_exception_types` decides, as it decides for the workflow."""
    outbox = Outbox()
    async with worker(
        temporal_address,
        CompletionPlugin(outbox),
        task_queue,
        workflow_failure_exception_types=[ValueError],
    ) as side:
        await _failure(side, Job("bug", somebody()))
    (event,) = outbox.sent
    assert isinstance(event.outcome, Failed)
    assert event.outcome.failure.message == "a bug"
    assert event.outcome.failure.application_failure_info.type == "ValueError"


async def test_continue_as_new_is_no_outcome(temporal_address: str, task_queue: str) -> None:
    """Only the run that ends reports; the callback was carried over to it."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        handle = await side.client.start_workflow(
            Callee.run, Job("continue", somebody()), id=side.id(), task_queue=task_queue
        )
        await handle.result()
    (event,) = outbox.sent
    assert isinstance(event.outcome, Completed)
    assert event.origin.run_id != handle.first_execution_run_id


async def test_a_canceled_callee_reports_it_and_is_canceled(
    temporal_address: str, task_queue: str
) -> None:
    """The report goes out although the workflow is canceled, and the cancellation stands."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        handle = await side.client.start_workflow(
            Callee.run, Job("wait", somebody()), id=side.id(), task_queue=task_queue
        )
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as raised:
            await handle.result()
        assert (await handle.describe()).status == WorkflowExecutionStatus.CANCELED
    assert isinstance(raised.value.cause, CancelledError)
    (event,) = outbox.sent
    assert event.outcome == Canceled()


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(
    temporal_address: str, task_queue: str
) -> None:
    """As for Temporal, which fails the workflow then."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        await _failure(side, Job("self-canceled", somebody()))
    (event,) = outbox.sent
    assert isinstance(event.outcome, Failed)
    assert event.outcome.failure.HasField("canceled_failure_info")


@pytest.mark.parametrize(
    ("case", "outcome", "status"),
    [
        ("text", Completed, WorkflowExecutionStatus.COMPLETED),
        ("details", Failed, WorkflowExecutionStatus.FAILED),
    ],
)
async def test_a_cancellation_during_publishing_comes_too_late(
    case: str,
    outcome: type,
    status: WorkflowExecutionStatus,
    temporal_address: str,
    task_queue: str,
) -> None:
    """What is decided is published to the end, and the callee ends as it told the caller."""
    outbox = Outbox()
    outbox.open.clear()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        handle = await side.client.start_workflow(
            Callee.run, Job(case, somebody()), id=side.id(), task_queue=task_queue
        )
        await eventually(lambda: outbox.tried, what="a try to publish")
        await handle.cancel()
        await _event(side.client, handle.id, "workflow_task_completed_event_attributes", count=2)
        outbox.open.set()

        async def closed() -> bool:
            return (await handle.describe()).status == status

        await eventually(closed, what=f"status {status.name}")
        await _publication_was_left_alone(side.client, handle.id)
    (event,) = outbox.sent
    assert isinstance(event.outcome, outcome)


async def test_work_that_is_canceled_twice_is_reported_once(
    temporal_address: str, task_queue: str
) -> None:
    """A second cancellation, of the task that reports, does not interrupt the report."""
    outbox = Outbox()
    outbox.open.clear()
    async with worker(
        temporal_address, CompletionPlugin(outbox), task_queue, more_workflows=[Canceler]
    ) as side:
        handle = await side.client.start_workflow(
            Canceler.run, somebody(), id=side.id(), task_queue=task_queue
        )
        await handle.signal(Canceler.cancel_work)
        await eventually(lambda: outbox.tried, what="a try to publish")
        await handle.signal(Canceler.cancel_work)
        await _event(
            side.client, handle.id, "workflow_execution_signaled_event_attributes", count=2
        )
        assert await handle.query(Canceler.cancellations) == 2
        outbox.open.set()
        assert await handle.result() == "the work was canceled"
        await _publication_was_left_alone(side.client, handle.id)
    assert len(outbox.sent) == 1


async def test_the_caller_that_asked_for_cancellation_gets_it(
    temporal_address: str, task_queue: str
) -> None:
    """The waiting activity is canceled, as an ordinary activity would be."""
    outbox = Outbox(deliver=True)
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        caller = await side.client.start_workflow(
            Waiter.run, "wait", id=side.id(), task_queue=task_queue
        )
        callee = side.client.get_workflow_handle(f"callee-of-{caller.id}")
        await eventually(lambda: side.activities.references, what="the hand-off")
        await caller.cancel()
        await _event(side.client, caller.id, "activity_task_cancel_requested_event_attributes")
        await _cancel(callee.id, side.client)
        seen = await caller.result()
    assert [text.partition("(")[0] for text in seen] == ["ActivityError", "CancelledError"]


async def test_a_caller_that_did_not_ask_for_cancellation_gets_a_failure(
    temporal_address: str, task_queue: str
) -> None:
    """Temporal refuses to cancel the activity then; the caller must not be left waiting."""
    outbox = Outbox(deliver=True)
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        caller = await side.client.start_workflow(
            Waiter.run, "wait", id=side.id(), task_queue=task_queue
        )
        await eventually(lambda: side.activities.references, what="the hand-off")
        await _cancel(f"callee-of-{caller.id}", side.client)
        seen = await caller.result()
    assert "type='CalleeCanceled'" in seen[1]


async def test_a_result_that_temporal_does_not_take_fails_the_caller(
    temporal_address: str, task_queue: str
) -> None:
    """Nobody waits for 3 MB that cannot travel; both sides hear of it."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        error = await _failure(side, Job("large", somebody()))
    assert isinstance(error, ApplicationError)
    assert error.type == "CompletionNotPublished"
    (event,) = outbox.sent
    assert isinstance(event.outcome, Failed)
    assert event.outcome.failure.application_failure_info.type == "ResultTooLarge"
    assert event.outcome.failure.application_failure_info.non_retryable
    assert "the result has 30000" in event.outcome.failure.message


async def test_a_result_that_the_bus_does_not_take_fails_the_caller(
    temporal_address: str, task_queue: str
) -> None:
    """The failure goes in place of the result, under the same event id, and the callee says so."""
    outbox = Outbox(problems=deque([TooLargeError("Kafka takes")]))
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        error = await _failure(side, Job("text", somebody()))
    assert isinstance(error, ApplicationError)
    assert error.type == "CompletionNotPublished"
    (event,) = outbox.sent
    assert event.event_id == outbox.tried[0].event_id
    assert isinstance(event.outcome, Failed)
    assert event.outcome.failure.application_failure_info.type == "ResultTooLarge"


async def test_a_failure_that_the_bus_does_not_take_is_shortened(
    temporal_address: str, task_queue: str
) -> None:
    """The caller gets type and message; details and causes are left out."""
    outbox = Outbox(problems=deque([TooLargeError("Kafka takes")]))
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        await _failure(side, Job("details", somebody()))
    (event,) = outbox.sent
    assert isinstance(event.outcome, Failed)
    assert event.outcome.failure.message.startswith("no funds (")
    assert event.outcome.failure.application_failure_info.type == "NoFunds"
    assert not event.outcome.failure.application_failure_info.HasField("details")


async def test_a_heartbeat_is_an_event_of_its_own(temporal_address: str, task_queue: str) -> None:
    """It has the details and another id than the outcome."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        assert await _run(side, Job("heartbeat", somebody())) == "alive"
    beat, end = outbox.sent
    assert isinstance(beat.outcome, Heartbeat)
    assert [p.data for p in beat.outcome.details.payloads] == [b'"half"', b'{"done":50}']
    assert beat.event_id != end.event_id
    assert beat.activity_key == end.activity_key == token_fingerprint(b"token of nobody!")


async def test_an_activity_of_the_callee_can_send_a_heartbeat(
    temporal_address: str, task_queue: str
) -> None:
    """Long work is in activities: they show that it goes on."""
    outbox = Outbox()
    plugin = CompletionPlugin(outbox)

    @activity.defn
    async def beat(callback: ActivityReference | None) -> None:
        await plugin.heartbeat(callback, 7)

    async with worker(temporal_address, plugin, task_queue, more_activities=[beat]) as side:
        for callback in (somebody(), None):
            await side.client.execute_activity(
                beat,
                callback,
                id=side.id(),
                task_queue=task_queue,
                start_to_close_timeout=timedelta(minutes=1),
            )
    (event,) = outbox.sent
    assert isinstance(event.outcome, Heartbeat)
    assert [payload.data for payload in event.outcome.details.payloads] == [b"7"]
    assert event.origin.identity == side.client.identity


async def test_a_heartbeat_that_fails_does_not_stop_the_work(
    temporal_address: str, task_queue: str
) -> None:
    """It is logged and forgotten."""
    outbox = Outbox(problems=deque([UnpublishableError("it is refused")]))
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        assert await _run(side, Job("heartbeat", somebody())) == "alive"
    (event,) = outbox.sent
    assert isinstance(event.outcome, Completed)


async def test_a_heartbeat_without_a_callback_is_nothing(
    temporal_address: str, task_queue: str
) -> None:
    """The same code runs with and without somebody waiting."""
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue) as side:
        assert await _run(side, Job("heartbeat")) == "alive"
    assert outbox.tried == []


async def test_a_worker_without_the_plugin_says_so_and_loses_nothing(
    temporal_address: str, task_queue: str, client: Client
) -> None:
    """The workflow task fails with what to do; with the plugin the same run goes on."""
    async with Worker(client, task_queue=task_queue, workflows=[Callee]):
        handle = await client.start_workflow(
            Callee.run, Job("text", somebody()), id=f"w-{task_queue}", task_queue=task_queue
        )

        event = await _event(client, handle.id, "workflow_task_failed_event_attributes")
        message = event.workflow_task_failed_event_attributes.failure.message
        assert "plugins=[completion_workflow.CompletionPlugin(...)]" in message
    outbox = Outbox()
    async with worker(temporal_address, CompletionPlugin(outbox), task_queue):
        assert await handle.result() == "done \u2713"
    assert len(outbox.sent) == 1


async def test_one_plugin_serves_two_workers_and_stops_with_the_last(
    temporal_address: str, task_queue: str
) -> None:
    """The producer is shared: it starts with the first worker and ends with the last."""
    outbox = Outbox()
    plugin = CompletionPlugin(outbox)
    async with worker(temporal_address, plugin, task_queue):
        async with worker(temporal_address, plugin, f"{task_queue}-2") as second:
            await _run(second, Job("text", somebody()))
            assert outbox.running == 1
        assert outbox.running == 1
    assert outbox.running == 0
    assert len(outbox.sent) == 1


async def _cancel(workflow_id: str, client: Client) -> None:
    handle = client.get_workflow_handle(workflow_id)

    async def started() -> bool:
        # The hand-off takes note of its reference before it starts the callee.
        try:
            return (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise

    await eventually(started, what=f"workflow {workflow_id}")
    await handle.cancel()


async def _publication_was_left_alone(client: Client, workflow_id: str) -> None:
    """Assert that the publish activity ended by itself and was not asked to cancel."""
    kinds = [
        event.WhichOneof("attributes")
        async for event in client.get_workflow_handle(workflow_id).fetch_history_events()
    ]
    assert "activity_task_completed_event_attributes" in kinds
    assert "activity_task_cancel_requested_event_attributes" not in kinds


async def _event(client: Client, workflow_id: str, kind: str, count: int = 1) -> HistoryEvent:
    """Return the `count`th event of a kind in a workflow's history, waiting for it."""
    handle = client.get_workflow_handle(workflow_id)

    async def found() -> list[HistoryEvent]:
        events = [
            event
            async for event in handle.fetch_history_events()
            if event.WhichOneof("attributes") == kind
        ]
        return events[count - 1 :]

    return (await eventually(found, what=f"{kind} of {workflow_id}"))[0]
