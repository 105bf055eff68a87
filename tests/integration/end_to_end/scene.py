"""The original scene as workflows: a flow hands an agent execution its task token and is suspended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from completion_workflow import ActivityReference, hand_off, report


@dataclass
class Execution:
    """What an agent is asked to do, and for whom."""

    task: str
    callback: ActivityReference | None = None
    waits_for_go: bool = False


@workflow.defn
class Agent:
    """Echoes its task, or fails when the task says so."""

    def __init__(self) -> None:
        self._go = False

    @workflow.run
    async def run(self, execution: Execution) -> dict[str, Any]:
        return await report(execution.callback, self._work(execution))

    async def _work(self, execution: Execution) -> dict[str, Any]:
        if execution.waits_for_go:
            await workflow.wait_condition(lambda: self._go)
        if execution.task == "fail":
            raise ApplicationError(
                "the model refused", {"code": 7}, type="AgentError", non_retryable=True
            )
        return {"echo": execution.task}

    @workflow.signal
    def go(self) -> None:
        self._go = True


@workflow.defn
class Flow:
    """Waits for one agent execution as for an ordinary activity."""

    @workflow.run
    async def run(self, task: str, waits_for_go: bool) -> Any:  # noqa: FBT001 - a workflow's argument
        return await workflow.execute_activity(
            "call-agent",
            args=[task, waits_for_go],
            start_to_close_timeout=timedelta(minutes=10),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


class AgentService:
    """The activity that hands off."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    @activity.defn(name="call-agent")
    async def call_agent(self, task: str, waits_for_go: bool) -> None:  # noqa: FBT001 - the same
        callback = hand_off()
        await self._client.start_workflow(
            Agent.run,
            Execution(task, callback, waits_for_go),
            id=f"agent-of-{activity.info().workflow_id}",
            task_queue=self._task_queue,
        )
        activity.raise_complete_async()
