"""Room `tests`: workflows as a user would write them, imported without any passing through."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, ApplicationErrorCategory

from completion_workflow import ActivityReference, hand_off, heartbeat, report

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

ONCE = RetryPolicy(maximum_attempts=1)
MINUTE = timedelta(minutes=1)


@dataclass
class Invoice:
    """A dataclass result."""

    number: int
    lines: list[str]


class Receipt(BaseModel):
    """A Pydantic result, with a type that plain JSON does not restore."""

    paid: bool
    reference: uuid.UUID


@dataclass
class Job:
    """What a callee is asked to do."""

    case: str
    callback: ActivityReference | None = None
    give_up_after_seconds: float | None = None
    continued: bool = False


RESULTS: dict[str, Any] = {
    "dataclass": Invoice(7, ["a", "b"]),
    "protobuf": WorkflowExecution(workflow_id="w", run_id="r"),
    "pydantic": Receipt(paid=True, reference=uuid.UUID(int=7)),
    "none": None,
    "text": "done \u2713",
    "bytes": b"\x00\xff",
    "list": [1, "two", None],
}
ERRORS = ("details", "retry-delay", "cause", "context", "empty-message")


def behave(case: str) -> Any:
    """Return or raise what the case says: the same for an ordinary activity and for a callee."""
    match case:
        case "details":
            raise ApplicationError(
                "no funds",
                {"missing": 5},
                [1, 2],
                type="NoFunds",
                non_retryable=True,
                category=ApplicationErrorCategory.BENIGN,
            )
        case "retry-delay":
            raise ApplicationError("later", type="Later", next_retry_delay=timedelta(seconds=9))
        case "cause":
            try:
                raise ApplicationError("inner", 1, type="Inner", non_retryable=True)  # noqa: TRY301 - a cause
            except ApplicationError as inner:
                raise ApplicationError("outer", type="Outer") from inner
        case "context":
            try:
                raise ValueError("first")  # noqa: TRY301 - a context
            except ValueError:
                raise ApplicationError("then")  # noqa: B904
        case "empty-message":
            raise ApplicationError("", type="Silent")
        case _:
            return RESULTS[case]


@workflow.defn
class Callee:
    """Does the work, however it ends, and reports it."""

    def __init__(self) -> None:
        self._finish = False

    @workflow.signal
    def finish(self) -> None:
        """Let a waiting case go on."""
        self._finish = True

    @workflow.run
    async def run(self, job: Job) -> Any:
        """Work and report."""
        give_up = job.give_up_after_seconds
        return await report(
            job.callback,
            self._work(job),
            give_up_after=None if give_up is None else timedelta(seconds=give_up),
        )

    async def _work(self, job: Job) -> Any:
        match job.case:
            case "wait":
                await workflow.wait_condition(lambda: self._finish)
                return "waited"
            case "bug":
                raise ValueError("a bug")
            case "timeout":
                raise TimeoutError
            case "own-activity":
                await workflow.execute_activity(
                    "ordinary", "details", start_to_close_timeout=MINUTE, retry_policy=ONCE
                )
            case "self-canceled":
                raise asyncio.CancelledError("by itself")
            case "continue" if not job.continued:
                workflow.continue_as_new(Job("text", job.callback, continued=True))
            case "heartbeat":
                await heartbeat(job.callback, "half", {"done": 50})
                return "alive"
            case "heartbeat-wait":
                await heartbeat(job.callback, "half")
                await workflow.wait_condition(lambda: self._finish)
                return "alive"
            case "large":
                return "x" * 3_000_000
            case "medium":
                return "x" * 100_000
        return behave(job.case)


@workflow.defn
class Caller:
    """Runs the case as an ordinary activity and as a hand-off, and says what it saw of both."""

    @workflow.run
    async def run(self, case: str) -> list[list[str]]:
        """Return the two observations."""
        return [await self._observe("ordinary", case), await self._observe("waiting", case)]

    async def _observe(self, name: str, case: str) -> list[str]:
        try:
            result = await workflow.execute_activity(
                name,
                case,
                result_type=type(RESULTS[case]) if case in RESULTS else None,
                start_to_close_timeout=MINUTE,
                retry_policy=ONCE,
            )
        except ActivityError as error:
            return describe_error(error)
        return [type(result).__name__, repr(result)]


@workflow.defn
class Waiter:
    """Only hands off, and says what it got; cancellation is waited for."""

    @workflow.run
    async def run(self, case: str) -> list[str]:
        """Return the observation."""
        try:
            result = await workflow.execute_activity(
                "waiting",
                case,
                start_to_close_timeout=MINUTE,
                retry_policy=ONCE,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except ActivityError as error:
            return describe_error(error)
        return [type(result).__name__, repr(result)]


@workflow.defn
class Canceler:
    """Cancels the task that works and reports, twice, each time when it is told."""

    def __init__(self) -> None:
        self._working = False
        self._told = 0
        self._canceled = 0

    @workflow.signal
    def cancel_work(self) -> None:
        """Cancel once."""
        self._told += 1

    @workflow.query
    def cancellations(self) -> int:
        """Return how often the task was canceled."""
        return self._canceled

    @workflow.run
    async def run(self, callback: ActivityReference) -> str:
        """Return what became of the work."""
        work = asyncio.create_task(report(callback, self._forever()))
        await workflow.wait_condition(lambda: self._working)
        for _ in range(2):
            await workflow.wait_condition(lambda: self._told > self._canceled)
            work.cancel()
            self._canceled += 1
        try:
            await work
        except asyncio.CancelledError:
            return "the work was canceled"
        return "the work was done"

    async def _forever(self) -> None:
        self._working = True
        await workflow.wait_condition(lambda: False)


def describe_error(error: BaseException | None) -> list[str]:
    """Return all that a workflow can tell of an exception and its causes, but places and times."""
    seen = []
    while error is not None:
        told = [
            f"{name}={getattr(error, name)!r}"
            for name in (
                "message",
                "type",
                "details",
                "non_retryable",
                "next_retry_delay",
                "category",
                "retry_state",
            )
            if hasattr(error, name)
        ]
        seen.append(f"{type(error).__name__}({', '.join(told)})")
        error = error.__cause__
    return seen


class Activities:
    """The activities of the caller.

    Args:
        client: Starts callees.
        task_queue: Where.
    """

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue
        self.references: list[ActivityReference] = []

    @activity.defn
    async def ordinary(self, case: str) -> Any:
        """Behave, at once."""
        return behave(case)

    @activity.defn
    async def waiting(self, case: str) -> Any:
        """Hand off to a callee."""
        callback = hand_off()
        self.references.append(callback)
        await self._client.start_workflow(
            Callee.run,
            Job(case, callback),
            id=f"callee-of-{activity.info().workflow_id}",
            task_queue=self._task_queue,
        )
        activity.raise_complete_async()
