"""Room `events`: what makes a failure one that an activity may fail with. Touches nothing.

Temporal refuses `RespondActivityTaskFailed` for a failure without
application_failure_info ("Failure must have ApplicationFailureInfo.", seen on
server 1.32.0), and that is what a workflow ending in an `ActivityError` or a
`ChildWorkflowError` encodes to. Whoever completes the activity, the relay or a
worker directly, wraps such a failure with the one function here. No payload is
read: what a codec has encrypted stays encrypted.
"""

from temporalio.api.enums.v1 import NexusHandlerErrorRetryBehavior, RetryState
from temporalio.api.failure.v1 import Failure

# The names of the exceptions that Temporal's SDKs make of these kinds.
_KINDS = {
    "timeout_failure_info": "TimeoutError",
    "canceled_failure_info": "CancelledError",
    "terminated_failure_info": "TerminatedError",
    "server_failure_info": "ServerError",
    "reset_workflow_failure_info": "ResetWorkflowError",
    "activity_failure_info": "ActivityError",
    "child_workflow_execution_failure_info": "ChildWorkflowError",
    "nexus_operation_execution_failure_info": "NexusOperationError",
    "nexus_handler_failure_info": "NexusHandlerError",
}


def application_failure(failure: Failure) -> Failure:
    """Return a failure that Temporal lets an activity fail with.

    Args:
        failure: As a data converter, or a producer without one, wrote it. It is
            never changed.

    Returns:
        `failure` itself where it has application_failure_info. Where it has no
        kind at all, a copy with an empty application_failure_info. Otherwise a
        new application failure with the same message and encoded_attributes,
        its type named after the kind (`ActivityError`, `TimeoutError`, ...) and
        the original, complete, as its cause; it is non-retryable where the
        original says so, or the failure that an activity, child workflow or
        Nexus operation error stands for.
    """
    kind = failure.WhichOneof("failure_info")
    if kind == "application_failure_info":
        return failure
    if kind is None:
        bare = Failure()
        bare.CopyFrom(failure)
        bare.application_failure_info.SetInParent()
        return bare
    wrapped = Failure(message=failure.message, source=failure.source)
    if failure.HasField("encoded_attributes"):
        wrapped.encoded_attributes.CopyFrom(failure.encoded_attributes)
    # A kind that a newer Temporal adds is named as its field is.
    wrapped.application_failure_info.type = _KINDS.get(kind, kind.removesuffix("_failure_info"))
    wrapped.application_failure_info.non_retryable = _is_non_retryable(failure)
    wrapped.cause.CopyFrom(failure)
    return wrapped


def _is_non_retryable(failure: Failure) -> bool:
    """Whether the failure, or the one that it is only the envelope of, is marked non-retryable."""
    match failure.WhichOneof("failure_info"):
        case "application_failure_info":
            return failure.application_failure_info.non_retryable
        case "server_failure_info":
            return failure.server_failure_info.non_retryable
        case "nexus_handler_failure_info":
            return (
                failure.nexus_handler_failure_info.retry_behavior
                == NexusHandlerErrorRetryBehavior.NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_NON_RETRYABLE
            )
        case "activity_failure_info":
            stopped = failure.activity_failure_info.retry_state
        case "child_workflow_execution_failure_info":
            stopped = failure.child_workflow_execution_failure_info.retry_state
        case "nexus_operation_execution_failure_info":
            stopped = RetryState.RETRY_STATE_UNSPECIFIED
        case _:
            return False
    return stopped == RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE or (
        failure.HasField("cause") and _is_non_retryable(failure.cause)
    )
