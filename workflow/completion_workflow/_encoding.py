"""Room `workflow`: conversion and codec, so that the caller cannot tell us from an ordinary activity.

What a worker does with an ordinary activity's result or exception, in the same
two steps (temporalio 1.35.0, `worker/_activity.py`, `DataConverter.encode` and
`encode_failure`): conversion with the payload and failure converter, here in
workflow code; codec and external storage, here in the publish activity.
Touches only the data converter it is given, through its public methods.
"""

import asyncio
import dataclasses
from typing import Any, TypeVar

from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.common import RawValue
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    DefaultFailureConverter,
    DefaultPayloadConverter,
    FailureConverter,
    PayloadConverter,
    WithSerializationContext,
)
from temporalio.exceptions import CancelledError

from completion_schemas.events import (
    ActivityReference,
    Canceled,
    Completed,
    Failed,
    Heartbeat,
    Outcome,
)

_C = TypeVar("_C", PayloadConverter, FailureConverter)


def serialization_context(reference: ActivityReference) -> ActivitySerializationContext:
    """Return the context in which the caller decodes: that of the waiting activity.

    A reference does not carry the types and the task queue; a codec that keys
    on them needs them elsewhere (Temporal deprecates two of the three for that
    reason).
    """
    return ActivitySerializationContext(
        namespace=reference.namespace,
        activity_id=reference.activity_id or None,
        activity_type=None,
        activity_task_queue=None,
        workflow_id=reference.workflow_id or None,
        workflow_type=None,
        is_local=False,
    )


def convert_values(
    values: tuple[Any, ...], reference: ActivityReference, converter: PayloadConverter
) -> Payloads:
    """Return the values as payloads, converted for the waiting activity, not yet encoded."""
    return _in_context(converter, reference).to_payloads_wrapper(values)


def convert_error(
    error: BaseException,
    reference: ActivityReference,
    failure_converter: FailureConverter,
    payload_converter: PayloadConverter,
) -> Failure:
    """Return the exception as a failure, converted for the waiting activity, not yet encoded."""
    if isinstance(error, asyncio.CancelledError):
        # As a workflow does with its own failure.
        error = CancelledError(str(error))
    failure = Failure()
    _in_context(failure_converter, reference).to_failure(
        error, _in_context(payload_converter, reference), failure
    )
    return failure


async def encode_outcome(
    outcome: Outcome, reference: ActivityReference, converter: DataConverter
) -> Outcome:
    """Return the outcome with codec and external storage applied to each of its payloads, once.

    Args:
        outcome: Converted, not encoded.
        reference: The waiting activity, for codecs that take a context.
        converter: The worker's data converter.
    """
    encoder = dataclasses.replace(
        converter,
        payload_converter_class=DefaultPayloadConverter,
        failure_converter_class=_AsItIs,
    ).with_context(serialization_context(reference))
    match outcome:
        case Completed():
            return Completed(await _encode_payloads(outcome.result, encoder))
        case Failed():
            encoded = Failure()
            await encoder.encode_failure(_Carrier(outcome.failure), encoded)
            return Failed(encoded)
        case Canceled():
            return Canceled(await _encode_payloads(outcome.details, encoder))
        case Heartbeat():
            return Heartbeat(await _encode_payloads(outcome.details, encoder))


async def _encode_payloads(payloads: Payloads, encoder: DataConverter) -> Payloads:
    if not payloads.payloads:
        return payloads
    return await encoder.encode_wrapper([RawValue(payload) for payload in payloads.payloads])


class _Carrier(Exception):  # noqa: N818 - not an error: carries a failure through encode_failure
    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class _AsItIs(DefaultFailureConverter):
    """Takes a failure that is converted already.

    The default converter would do for most, but it moves message and stack
    trace into encoded_attributes a second time when it is told to encode them.
    """

    def to_failure(
        self,
        exception: BaseException,
        payload_converter: PayloadConverter,  # noqa: ARG002 - converted already
        failure: Failure,
    ) -> None:
        assert isinstance(exception, _Carrier)  # noqa: S101 - encode_outcome is the only caller
        failure.CopyFrom(exception.failure)


def _in_context(converter: _C, reference: ActivityReference) -> _C:
    if isinstance(converter, WithSerializationContext):
        return converter.with_context(serialization_context(reference))
    return converter
