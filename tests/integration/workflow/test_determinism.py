"""Workflow code is deterministic, in the sandbox and on replay, wherever a run is continued."""

import logging

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from tests.integration.workflow import samples_passed_through
from tests.integration.workflow.helpers import CONVERTERS, Outbox, Side, somebody, worker
from tests.integration.workflow.samples import Callee, Job
from tests.support import eventually

from completion_workflow import ActivityReference, CompletionPlugin, Direct

_CASES = ["text", "details", "own-activity", "heartbeat", "continue", "large"]


async def _history(side: Side, job: Job) -> WorkflowHistory:
    handle = await side.client.start_workflow(
        Callee.run, job, id=side.id(), task_queue=side.task_queue
    )

    async def closed() -> bool:
        return (await handle.describe()).close_time is not None

    await eventually(closed, what="the end of the workflow")
    return await handle.fetch_history()


@pytest.mark.parametrize(
    ("case", "callback"),
    # Without a callback Temporal itself does not take a large result: that run never ends.
    [(case, somebody()) for case in _CASES] + [(case, None) for case in _CASES if case != "large"],
)
async def test_a_recorded_history_replays(
    case: str, callback: ActivityReference | None, temporal_address: str, task_queue: str
) -> None:
    """With the plugin, and without it: a replay publishes nothing."""
    async with worker(temporal_address, CompletionPlugin(Outbox()), task_queue) as side:
        history = await _history(side, Job(case, callback))
    for plugins in ([CompletionPlugin(Direct())], []):
        await Replayer(workflows=[Callee], plugins=plugins).replay_workflow(history)


@pytest.mark.parametrize("case", _CASES)
async def test_a_run_survives_eviction_at_every_step(
    case: str, temporal_address: str, task_queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With no cache every workflow task is a replay from the start; the outcome is published once."""
    caplog.set_level(logging.WARNING)
    outbox = Outbox()
    async with worker(
        temporal_address, CompletionPlugin(outbox), task_queue, max_cached_workflows=0
    ) as side:
        await _history(side, Job(case, somebody()))
    assert len({event.event_id for event in outbox.sent if event.type != "heartbeat"}) == 1
    assert "could not be published" not in caplog.text
    assert "tasks remain" not in caplog.text


async def test_an_evicted_run_that_is_canceled_reports_the_cancellation(
    temporal_address: str, task_queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The eviction cancels every task of the run; that is not the cancellation that is reported."""
    outbox = Outbox()
    async with worker(
        temporal_address, CompletionPlugin(outbox), task_queue, max_cached_workflows=0
    ) as side:
        handle = await side.client.start_workflow(
            Callee.run, Job("wait", somebody()), id=side.id(), task_queue=task_queue
        )

        async def waiting() -> bool:
            return any(
                [
                    event.HasField("workflow_task_completed_event_attributes")
                    async for event in handle.fetch_history_events()
                ]
            )

        await eventually(waiting, what="the first workflow task")
        assert outbox.tried == []
        await handle.cancel()
        await eventually(lambda: outbox.sent, what="the report")
    (event,) = outbox.sent
    assert event.type == "canceled"
    assert "could not be published" not in caplog.text


async def test_modules_that_the_user_passes_through_work_too(
    temporal_address: str, task_queue: str
) -> None:
    """`imports_passed_through()` around our import changes nothing."""
    outbox = Outbox()
    async with worker(
        temporal_address,
        CompletionPlugin(outbox),
        task_queue,
        more_workflows=[samples_passed_through.PassedThrough],
    ) as side:
        result = await side.client.execute_workflow(
            samples_passed_through.PassedThrough.run,
            somebody(),
            id=side.id(),
            task_queue=task_queue,
        )
    assert result == "passed"
    assert len(outbox.sent) == 1


async def test_a_worker_without_a_sandbox_works_too(temporal_address: str, task_queue: str) -> None:
    """The plugin leaves another workflow runner as it is."""
    outbox = Outbox()
    async with worker(
        temporal_address,
        CompletionPlugin(outbox),
        task_queue,
        workflow_runner=UnsandboxedWorkflowRunner(),
    ) as side:
        await _history(side, Job("text", somebody()))
    assert len(outbox.sent) == 1


async def test_an_encrypted_history_replays(temporal_address: str, task_queue: str) -> None:
    """The replayer gets the converter that the worker had."""
    converter = CONVERTERS["encrypted"]
    async with worker(temporal_address, CompletionPlugin(Outbox()), task_queue, converter) as side:
        history = await _history(side, Job("details", somebody()))
    replayer = Replayer(
        workflows=[Callee], data_converter=converter, plugins=[CompletionPlugin(Direct())]
    )
    await replayer.replay_workflow(history)
