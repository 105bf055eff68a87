"""Room `workflow`: what is reported in place of something that does not fit. Touches nothing.

The caller must not be left waiting because a result is too large to travel.
"""

from temporalio.api.failure.v1 import Failure

from completion_schemas.failures import application_failure
from completion_workflow._names import RESULT_TOO_LARGE

TEMPORAL_LIMIT = 2 * 1024 * 1024 - 16 * 1024
"""Bytes of outcome that fit into one activity input: Temporal's `limit.blobSize.error` of 2 MiB
(facts A), less what the other argument and the framing take. Above it the worker fails the
workflow task, again and again, and nobody hears of the outcome."""

_MESSAGE_CHARACTERS = 1_000
_ATTRIBUTES_BYTES = 64 * 1024


def result_too_large(size: int, limit: str) -> Failure:
    """Return the failure that the waiting activity gets instead of a result of `size` bytes."""
    failure = Failure(
        message=f"the result has {size} bytes, which is more than {limit}: store it elsewhere and "
        "return a reference to it"
    )
    failure.application_failure_info.type = RESULT_TOO_LARGE
    failure.application_failure_info.non_retryable = True
    return failure


def shortened(failure: Failure) -> Failure:
    """Return the failure without what makes failures large: details, causes, stack trace.

    Type and non-retryable stay, so that the caller decides as it would have.
    Encoded attributes (the encrypted message) stay where they are small.
    """
    whole = application_failure(failure)
    message = whole.message
    if len(message) > _MESSAGE_CHARACTERS:
        message = message[:_MESSAGE_CHARACTERS] + "..."
    short = Failure(message=message + " (details and causes left out: too large)")
    info = whole.application_failure_info
    short.application_failure_info.type = info.type
    short.application_failure_info.non_retryable = info.non_retryable
    if 0 < whole.encoded_attributes.ByteSize() <= _ATTRIBUTES_BYTES:
        short.encoded_attributes.CopyFrom(whole.encoded_attributes)
    return short
