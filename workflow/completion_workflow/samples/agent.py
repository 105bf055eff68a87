"""Room `workflow`, samples: the finishing side. The agent needs no way to its caller's Temporal."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

from completion_workflow import ActivityReference, report

AGENTS = "sample-agents"
"""The task queue of the agents."""


@dataclass
class Task:
    """What an agent is asked to do."""

    name: str
    seconds: float = 3.0
    """How long the work takes."""
    error: str = ""
    """What goes wrong in the end; empty: nothing."""


@dataclass
class AgentInput:
    """The task, and whose waiting activity is to hear of its outcome."""

    task: Task
    callback: ActivityReference | None = None
    """None: nobody waits, and nothing is published."""


@activity.defn
async def work(task: Task) -> str:
    """Stand in for what takes an agent its time: a model, a person, another system."""
    done_at = time.monotonic() + task.seconds
    while (left := done_at - time.monotonic()) > 0:
        activity.heartbeat(f"{left:.1f} s left")
        await asyncio.sleep(min(left, 0.5))
    if task.error:
        raise ApplicationError(task.error, type="AgentFailed", non_retryable=True)
    return f"{task.name} is done"


@workflow.defn
class Agent:
    """Works, and reports what became of it to whoever waits."""

    @workflow.run
    async def run(self, given: AgentInput) -> str:
        """Return what the work returns; the caller's activity gets the same."""
        return await report(given.callback, self._work(given.task))

    async def _work(self, task: Task) -> str:
        return await workflow.execute_activity(
            work,
            task,
            start_to_close_timeout=timedelta(hours=1),
            heartbeat_timeout=timedelta(seconds=30),
        )
