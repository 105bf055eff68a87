"""Room `events`: the event and the signal as protobuf messages and bytes. Touches nothing.

The protobuf message is the middle of all encodings: JSON and Avro are made from
it and read into it, so this is the one place where the frozen values and the
wire meet. Binary protobuf is on the way of every record: no copies of payloads
are made when reading.
"""

from __future__ import annotations

import base64
from typing import TypeVar

from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.failure.v1 import Failure

from completion_schemas.errors import DecodeError, EncodeError, InvalidEventError
from completion_schemas.events import (
    ActivityReference,
    Canceled,
    Completed,
    CompletionEvent,
    CompletionSignal,
    Failed,
    Heartbeat,
    Origin,
    Outcome,
)
from completion_schemas.times import INT64, UnixNanos, nanos_rfc3339, rfc3339_nanos
from completion_schemas.v1 import event_pb2, signal_pb2

MAX_CAUSES = 90
"""How many causes a failure may have, one inside another. Protobuf's readers stop
at 100 nested messages and its writers do not: a longer chain could be written
and never be read, here or on its way into Temporal."""

M = TypeVar("M", bound=Message)

_SECOND = 10**9


def encode(message: Message) -> bytes:
    """Return the message as binary protobuf, the same bytes each time.

    Payload metadata is a map, whose order would otherwise change from run to run.
    """
    return message.SerializeToString(deterministic=True)


def decode(value: bytes, kind: type[M]) -> M:
    """Return the message of this kind that the bytes hold.

    Raises:
        DecodeError: they hold none.
    """
    try:
        return kind.FromString(value)
    except ProtobufDecodeError:
        raise DecodeError(f"the value is not protobuf of {kind.DESCRIPTOR.full_name}") from None


def refuse_unknown_fields(message: Message, encoding: str) -> None:
    """Refuse a message with fields that this version of its schema does not have.

    Protobuf keeps them; an encoding made from the schema would drop them.

    Raises:
        EncodeError: there are some.
    """
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()  # type: ignore[no-untyped-call, unused-ignore]
    if known.ByteSize() != message.ByteSize():
        raise EncodeError(
            f"{encoding} cannot carry the event: it has fields of a newer Temporal; use protobuf"
        )


def event_message(event: CompletionEvent) -> event_pb2.CompletionEvent:
    """Return the event as a message.

    Raises:
        EncodeError: a text is not valid Unicode, or a failure has too many causes.
    """
    try:
        message = event_pb2.CompletionEvent(
            event_id=event.event_id,
            occurred_at=_timestamp(event.occurred_at),
            deadline=None if event.deadline is None else _timestamp(event.deadline),
            activity=_reference_message(event.activity),
            origin=_origin_message(event.origin),
        )
    except (ValueError, TypeError):
        raise EncodeError(
            "the event cannot be encoded: every text must be valid Unicode (no lone surrogates)"
        ) from None
    outcome = event.outcome
    # An outcome without payloads is the same as one whose payloads are not
    # set: written in one way, so that equal events are equal bytes.
    match outcome:
        case Completed():
            message.completed.SetInParent()
            if outcome.result.ByteSize():
                message.completed.result.CopyFrom(outcome.result)
        case Failed():
            if _too_deep(outcome.failure):
                raise EncodeError(_CAUSES)
            message.failed.failure.CopyFrom(outcome.failure)
        case Canceled():
            message.canceled.SetInParent()
            if outcome.details.ByteSize():
                message.canceled.details.CopyFrom(outcome.details)
        case Heartbeat():
            message.heartbeat.SetInParent()
            if outcome.details.ByteSize():
                message.heartbeat.details.CopyFrom(outcome.details)
    return message


def event_from_message(message: event_pb2.CompletionEvent) -> CompletionEvent:
    """Return the event that the message says; its payloads are the message's own, not copies.

    Raises:
        DecodeError: it says none.
    """
    if not message.HasField("occurred_at"):
        raise DecodeError("occurred_at is missing: give the time of the outcome")
    try:
        return CompletionEvent(
            event_id=message.event_id,
            occurred_at=_nanos("occurred_at", message.occurred_at),
            deadline=_nanos("deadline", message.deadline) if message.HasField("deadline") else None,
            activity=_reference(message.activity),
            outcome=_outcome(message),
            origin=_origin(message.origin) if message.HasField("origin") else _NOBODY,
        )
    except InvalidEventError as error:
        # Its text is safe by its own promise; its cause may not be.
        raise DecodeError(str(error)) from None


def signal_message(signal: CompletionSignal) -> signal_pb2.CompletionSignal:
    """Return the signal as a message.

    Raises:
        EncodeError: a text is not valid Unicode, or a time is out of range.
    """
    if signal.observed_at not in INT64:
        raise EncodeError("observed_at must lie between the years 1678 and 2262")
    try:
        return signal_pb2.CompletionSignal(
            activity=_reference_message(signal.activity),
            cancel_requested=signal.cancel_requested,
            paused=signal.paused,
            reset=signal.reset,
            origin=_origin_message(signal.origin),
            observed_at=_timestamp(signal.observed_at),
        )
    except InvalidEventError as error:
        raise EncodeError(str(error)) from None
    except (ValueError, TypeError):
        raise EncodeError(
            "the signal cannot be encoded: every text must be valid Unicode (no lone surrogates)"
        ) from None


def signal_from_message(message: signal_pb2.CompletionSignal) -> CompletionSignal:
    """Return the signal that the message says.

    Raises:
        DecodeError: a time is out of range.
    """
    if not message.HasField("activity"):
        raise DecodeError("activity is missing: a signal names one")
    try:
        return CompletionSignal(
            activity=_reference(message.activity),
            cancel_requested=message.cancel_requested,
            paused=message.paused,
            reset=message.reset,
            origin=_origin(message.origin),
            observed_at=_nanos("observed_at", message.observed_at),
        )
    except InvalidEventError as error:
        raise DecodeError(str(error)) from None


_NOBODY = Origin()
_CAUSES = f"the failure has more than {MAX_CAUSES} causes, one inside another: cut the chain"


def _too_deep(failure: Failure) -> bool:
    for _ in range(MAX_CAUSES + 1):
        if not failure.HasField("cause"):
            return False
        failure = failure.cause
    return True


def _outcome(message: event_pb2.CompletionEvent) -> Outcome:
    match message.WhichOneof("outcome"):
        case "completed":
            return Completed(message.completed.result)
        case "failed":
            if not message.failed.HasField("failure"):
                raise DecodeError("failed.failure is missing: say why the activity fails")
            if _too_deep(message.failed.failure):
                raise DecodeError(_CAUSES)
            return Failed(message.failed.failure)
        case "canceled":
            return Canceled(message.canceled.details)
        case "heartbeat":
            return Heartbeat(message.heartbeat.details)
        case _:
            raise DecodeError(
                "the event has no outcome that this version knows: "
                "give one of completed, failed, canceled, heartbeat"
            )


def _reference_message(reference: ActivityReference) -> event_pb2.ActivityReference:
    return event_pb2.ActivityReference(
        cluster=reference.cluster,
        namespace=reference.namespace,
        task_token=reference.token_bytes(),
        sealed_token=reference.sealed_bytes(),
        token_fingerprint=reference.token_fingerprint,
        workflow_id=reference.workflow_id,
        run_id=reference.run_id,
        activity_id=reference.activity_id,
        attempt=reference.attempt,
        deadline=_timestamp(rfc3339_nanos("activity.deadline", reference.deadline))
        if reference.deadline
        else None,
    )


def _reference(message: event_pb2.ActivityReference) -> ActivityReference:
    token, sealed = message.task_token, message.sealed_token
    return ActivityReference(
        cluster=message.cluster,
        namespace=message.namespace,
        task_token=base64.b64encode(token).decode("ascii") if token else "",
        sealed_token=base64.b64encode(sealed).decode("ascii") if sealed else "",
        token_fingerprint=message.token_fingerprint,
        workflow_id=message.workflow_id,
        run_id=message.run_id,
        activity_id=message.activity_id,
        attempt=message.attempt,
        deadline=nanos_rfc3339(_nanos("activity.deadline", message.deadline))
        if message.HasField("deadline")
        else "",
    )


def _origin_message(origin: Origin) -> event_pb2.Origin | None:
    if origin == _NOBODY:
        return None
    return event_pb2.Origin(
        namespace=origin.namespace,
        workflow_id=origin.workflow_id,
        run_id=origin.run_id,
        workflow_type=origin.workflow_type,
        identity=origin.identity,
    )


def _origin(message: event_pb2.Origin) -> Origin:
    return Origin(
        namespace=message.namespace,
        workflow_id=message.workflow_id,
        run_id=message.run_id,
        workflow_type=message.workflow_type,
        identity=message.identity,
    )


def _timestamp(nanos: UnixNanos) -> Timestamp:
    seconds, fraction = divmod(nanos, _SECOND)
    return Timestamp(seconds=seconds, nanos=fraction)


def _nanos(name: str, stamp: Timestamp) -> UnixNanos:
    if not 0 <= stamp.nanos < _SECOND:
        raise DecodeError(f"{name}.nanos must be 0 to 999999999")
    nanos = stamp.seconds * _SECOND + stamp.nanos
    if nanos not in INT64:
        raise DecodeError(f"{name} must lie between the years 1678 and 2262")
    return UnixNanos(nanos)
