"""Room `workflow`: what a callee workflow calls. Runs inside workflow code: deterministic, no I/O.

    @workflow.run
    async def run(self, given: AgentInput) -> AgentResult:
        return await report(given.callback, self.work(given))

What is published mirrors what Temporal makes of the run (temporalio 1.35.0,
`_run_top_level_workflow_function`): a return is `completed`; an exception that
fails the workflow is `failed`; a cancellation that was asked for is
`canceled`. Nothing is published for what does not end the work: a bug, which
fails only the workflow task and is retried, and continue-as-new.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.converter import DefaultFailureConverter, FailureConverter
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    is_cancelled_exception,
)

from completion_schemas.errors import InvalidEventError
from completion_schemas.events import (
    ActivityReference,
    Canceled,
    Completed,
    CompletionEvent,
    Failed,
    Heartbeat,
    Origin,
    Outcome,
    UnixNanos,
    rfc3339_nanos,
)
from completion_workflow import _names, _sizes
from completion_workflow._describe import describe_activity, describe_token
from completion_workflow._encoding import convert_error, convert_values
from completion_workflow._publication import completion_event, to_arguments

T = TypeVar("T")

_ONE_TRY = timedelta(minutes=1)
_RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(minutes=1),
)
_WITHOUT_A_DEADLINE = timedelta(days=1)


async def report(
    callback: ActivityReference | None,
    work: Awaitable[T],
    *,
    give_up_after: timedelta | None = None,
) -> T:
    """Await the work and publish what became of it to the activity that waits for it.

    Success: the result is published, then returned. Failure and cancellation:
    published, then the original exception is raised, whatever publishing did.
    Once the outcome is decided it is published to the end: a cancellation that
    arrives meanwhile does not interrupt it and does not change the outcome.
    Continue-as-new publishes nothing; pass the callback on to the next run.
    Where `callback` is None or empty, this only awaits the work.

    Each run that fails is reported, also when a retry policy of the workflow
    starts another one: let activities retry, or the caller, not the callee.

    Args:
        callback: What the waiting activity handed over.
        work: The coroutine of the actual work.
        give_up_after: How long publishing is retried; default: until the
            waiting activity's deadline, when nobody is left to hear it, or a
            day where the deadline is not known, and at least a minute.

    Returns:
        What `work` returns.

    Raises:
        ApplicationError: of type `CompletionNotPublished`: the work is done and
            its result could not be published. Where that is for its size, the
            waiting activity has been failed with `ResultTooLarge`.
        RuntimeError: the worker has no `CompletionPlugin`. It fails the
            workflow task, which Temporal retries until it has.
    """
    if not callback:
        workflow.logger.info(
            "Was given no callback (a token of 0 bytes): the outcome is not published"
        )
        return await work
    try:
        failure_converter = _failure_converter()
    except RuntimeError:
        if isinstance(work, Coroutine):
            work.close()
        raise
    workflow.logger.info(
        "Was given %s, for %s", describe_token(callback), describe_activity(callback)
    )
    try:
        result = await work
        outcome = _outcome_of(result, callback)
    except (Exception, asyncio.CancelledError) as error:
        await _publish_error(callback, error, failure_converter, give_up_after)
        raise
    try:
        await _publish(
            callback, outcome, give_up_after, instead_of_result=isinstance(outcome, Failed)
        )
    except (ActivityError, InvalidEventError) as error:
        raise ApplicationError(
            "the work is done, but its outcome could not be published for "
            f"{describe_activity(callback)}: {_reason(error)}",
            type=_names.NOT_PUBLISHED,
        ) from error
    return result


async def heartbeat(callback: ActivityReference | None, *details: Any) -> None:
    """Publish that the work goes on, so that the waiting activity's heartbeat timeout starts anew.

    For workflow code; in an activity use `CompletionPlugin.heartbeat`. What
    cannot be published within a minute is logged and forgotten: a heartbeat
    never stops the work. Without a callback it does nothing.

    Args:
        callback: What the waiting activity handed over.
        details: Progress, as in `activity.heartbeat`.
    """
    if not callback:
        return
    try:
        event = CompletionEvent(
            event_id=str(workflow.uuid4()),
            occurred_at=UnixNanos(workflow.time_ns()),
            activity=callback,
            outcome=Heartbeat(convert_values(details, callback, workflow.payload_converter())),
            origin=_origin(),
        )
        await workflow.execute_activity(
            _names.PUBLISH_HEARTBEAT,
            args=to_arguments(event),
            schedule_to_close_timeout=_ONE_TRY,
            retry_policy=_RETRIES,
        )
    except (ActivityError, InvalidEventError) as error:
        if is_cancelled_exception(error):
            raise
        workflow.logger.warning("A heartbeat could not be published: %s", _reason(error))


def _outcome_of(result: Any, callback: ActivityReference) -> Completed | Failed:
    """Return the result converted, or the failure that stands in where Temporal would not take it."""
    payloads = convert_values((result,), callback, workflow.payload_converter())
    size = payloads.ByteSize()
    if size > _sizes.TEMPORAL_LIMIT and _size_is_final():
        return Failed(
            _sizes.result_too_large(size, f"Temporal takes ({_sizes.TEMPORAL_LIMIT} bytes)")
        )
    return Completed(payloads)


async def _publish_error(
    callback: ActivityReference,
    error: BaseException,
    failure_converter: FailureConverter,
    give_up_after: timedelta | None,
) -> None:
    """Publish the failure or cancellation; log, and never raise, what goes wrong with that."""
    outcome: Outcome
    try:
        if workflow.cancellation_reason() is not None and is_cancelled_exception(error):
            # As an ordinary activity's worker does, which says no more than that.
            outcome = Canceled()
        elif isinstance(error, asyncio.CancelledError) or workflow.is_failure_exception(error):
            failure = convert_error(
                error, callback, failure_converter, workflow.payload_converter()
            )
            if failure.ByteSize() > _sizes.TEMPORAL_LIMIT and _size_is_final():
                failure = _sizes.shortened(failure)
            outcome = Failed(failure)
        else:
            return  # a bug: only the workflow task fails, and the work is not over
        await _publish(callback, outcome, give_up_after)
    except Exception as problem:  # noqa: BLE001 - the original error must win over any of these
        workflow.logger.error(
            "The outcome (%s) could not be published for %s: %s",
            type(error).__name__,
            describe_activity(callback),
            _reason(problem),
        )


async def _publish(
    callback: ActivityReference,
    outcome: Outcome,
    give_up_after: timedelta | None,
    *,
    instead_of_result: bool = False,
) -> None:
    """Run the publish activity to its end.

    Raises:
        ActivityError: it could not be published.
        InvalidEventError: the callback does not name an activity.
    """
    event = completion_event(callback, outcome, _origin(), UnixNanos(workflow.time_ns()))
    await _detached(
        workflow.execute_activity(
            _names.PUBLISH_COMPLETION,
            args=to_arguments(event, instead_of_result=instead_of_result),
            start_to_close_timeout=_ONE_TRY,
            schedule_to_close_timeout=give_up_after or max(_ONE_TRY, _patience(callback)),
            retry_policy=_RETRIES,
        )
    )


async def _detached(publication: Coroutine[Any, Any, None]) -> None:
    """Await it in a task of its own, which no cancellation of the caller reaches."""
    task = asyncio.create_task(publication)
    while not task.done():
        try:
            await workflow.wait([task])
        except asyncio.CancelledError:
            # The outcome is decided: the cancellation came too late. An
            # eviction ends here too, for it cancels `task` as well.
            current = asyncio.current_task()
            if current is not None:
                current.uncancel()
    task.result()


def _patience(callback: ActivityReference) -> timedelta:
    if not callback.deadline:
        return _WITHOUT_A_DEADLINE
    left = rfc3339_nanos("activity.deadline", callback.deadline) - workflow.time_ns()
    return timedelta(microseconds=left // 1_000)


def _origin() -> Origin:
    info = workflow.info()
    return Origin(
        namespace=info.namespace,
        workflow_id=info.workflow_id,
        run_id=info.run_id,
        workflow_type=info.workflow_type,
    )


def _failure_converter() -> FailureConverter:
    """Return the worker's failure converter.

    Raises:
        RuntimeError: the worker has no `CompletionPlugin`. Without it the
            failure could be published unencrypted.
    """
    found = workflow.extern_functions().get(_names.FAILURE_CONVERTER)
    if found is not None:
        converter: FailureConverter = found()()
        return converter
    if workflow.unsafe.is_replaying():
        # A replay compares no arguments: `Replayer` works without the plugin.
        return DefaultFailureConverter()
    raise RuntimeError(
        "this worker cannot report to a waiting activity: create its client or the worker with "
        "plugins=[completion_workflow.CompletionPlugin(...)]"
    )


def _size_is_final() -> bool:
    found = workflow.extern_functions().get(_names.SIZE_IS_FINAL)
    return found is not None and bool(found())


def _reason(error: BaseException) -> str:
    """Return the innermost text: an ActivityError itself only says that an activity failed."""
    while isinstance(error, ActivityError) and error.cause is not None:
        error = error.cause
    return error.message if isinstance(error, FailureError) else str(error)
