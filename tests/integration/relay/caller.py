"""The waiting workflow of the relay's integration tests; alone here, so that the sandbox loads little."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError


@dataclass
class Wait:
    """How the waiting workflow waits."""

    timeout: float = 600.0
    attempts: int = 1
    activity_id: str | None = None
    start_delay: float = 0.0
    cancel_on_signal: bool = False


@workflow.defn
class Caller:
    """Waits for one activity and returns what it got, or raises what it failed with."""

    def __init__(self) -> None:
        self._cancel = False

    @workflow.run
    async def run(self, wait: Wait) -> Any:
        if wait.start_delay:
            await workflow.sleep(wait.start_delay)
        handle = workflow.start_activity(
            "hand-off",
            activity_id=wait.activity_id,
            start_to_close_timeout=timedelta(seconds=wait.timeout),
            retry_policy=RetryPolicy(
                maximum_attempts=wait.attempts, initial_interval=timedelta(milliseconds=1)
            ),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        if wait.cancel_on_signal:
            await workflow.wait_condition(lambda: self._cancel)
            handle.cancel()
        try:
            return await handle
        except ActivityError as error:
            if wait.cancel_on_signal:
                return type(error.cause).__name__
            raise

    @workflow.signal
    def cancel_activity(self) -> None:
        self._cancel = True
