"""Room `workflow`, samples: the waiting side. It needs no plugin and no Kafka."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

from completion_workflow import hand_off
from completion_workflow.samples.agent import AGENTS, Agent, AgentInput, Task

CALLERS = "sample-callers"
"""The task queue of the callers."""


@dataclass
class Got:
    """What the caller got for one task: exactly what an ordinary activity would have given it."""

    outcome: str
    """`completed`, `failed` or `canceled`."""
    text: str = ""
    """The result, or the error's message."""
    error_type: str = ""
    """The error's type; empty without one."""


class HandOff:
    """The activity that waits.

    Args:
        client: Starts the agents.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn
    async def run_agent(self, task: Task) -> str:
        """Start an agent with this activity's task token and wait for it without a worker slot."""
        await self._client.start_workflow(
            Agent.run,
            AgentInput(task, hand_off()),
            # The same when the activity is retried: one agent a task.
            id=agent_id(activity.info().workflow_id, task),
            task_queue=AGENTS,
        )
        activity.raise_complete_async()


@workflow.defn
class Caller:
    """Hands every task to an agent and waits for them all, for days if need be."""

    def __init__(self) -> None:
        self._waiting: dict[str, workflow.ActivityHandle[str]] = {}

    @workflow.run
    async def run(self, tasks: list[Task]) -> dict[str, Got]:
        """Return what came of each task, by its name."""
        for task in tasks:
            self._waiting[task.name] = workflow.start_activity_method(
                HandOff.run_agent,
                task,
                activity_id=task.name,
                start_to_close_timeout=timedelta(days=1),
                # A retry would need another agent; here the caller decides that.
                retry_policy=RetryPolicy(maximum_attempts=1),
                # Canceled means: the agent says that it has stopped.
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        outcomes = await asyncio.gather(*(_outcome(w) for w in self._waiting.values()))
        return dict(zip(self._waiting, outcomes, strict=True))

    @workflow.signal
    async def cancel(self, name: str) -> None:
        """Cancel one task: Temporal hears that this activity should end, the agent that it must."""
        self._waiting[name].cancel()
        agent = agent_id(workflow.info().workflow_id, Task(name))
        await workflow.get_external_workflow_handle(agent).cancel()


def agent_id(caller_id: str | None, task: Task) -> str:
    """Return the workflow id of the agent that works on a caller's task."""
    return f"{caller_id}-{task.name}"


async def _outcome(waiting: workflow.ActivityHandle[str]) -> Got:
    try:
        return Got("completed", await waiting)
    except ActivityError as error:
        if is_cancelled_exception(error):
            return Got("canceled")
        cause: BaseException = error
        while isinstance(cause, FailureError) and cause.cause is not None:
            cause = cause.cause
        text = cause.message if isinstance(cause, FailureError) else str(cause)
        return Got("failed", text, getattr(cause, "type", None) or "")
