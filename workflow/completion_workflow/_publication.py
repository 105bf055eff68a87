"""Room `workflow`: an event on its way from workflow code to the publish activity. Touches nothing.

Workflow code cannot run a payload codec (codecs are asynchronous and may use
the network) and an activity cannot know the type of the callee's result. So
the workflow converts its outcome to Temporal's messages, as a worker does for
an ordinary activity, and passes them as raw payloads: on the way to the
activity they are encrypted and decrypted like any argument, and the activity
puts the codec on the payloads inside, once (`encoding.py`).

Two arguments: a readable description of the event, and the outcome's message
in binary. Both bypass the worker's payload converter, whatever that is.
"""

import uuid
from dataclasses import dataclass, replace
from typing import TypeVar

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.common import RawValue
from temporalio.converter import DefaultPayloadConverter

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
)

# The namespace of our version 5 UUIDs; fixed for ever, or a retry after an
# upgrade would look like another event.
_EVENT_IDS = uuid.UUID("6f2f2d0c-8c35-5a0e-9d1b-0c7a3b1f7b52")
_CONVERTER = DefaultPayloadConverter()
_M = TypeVar("_M", bound=Message)


@dataclass(frozen=True)
class _Description:
    """All of an event but its payloads."""

    event_id: str
    type: str
    occurred_at: int
    activity: ActivityReference
    origin: Origin
    instead_of_result: bool = False
    """Whether a failure goes out in place of a result that is too large."""


def completion_event(
    reference: ActivityReference, outcome: Outcome, origin: Origin, occurred_at: UnixNanos
) -> CompletionEvent:
    """Return the event that decides the activity, with the id that every retry of it has.

    The id is the version 5 UUID of the callee's namespace, workflow id and run
    id and the waiting activity's key (contract section 3): a run decides a
    waiting activity once, so the same id with another outcome is a conflict.

    Raises:
        InvalidEventError: the reference does not name an activity.
    """
    event = CompletionEvent(
        event_id="to be derived",
        occurred_at=occurred_at,
        activity=reference,
        outcome=outcome,
        origin=origin,
    )
    # NUL cannot be part of any of the names, so no two tuples look alike.
    name = f"{origin.namespace}\0{origin.workflow_id}\0{origin.run_id}\0{event.activity_key}"
    return replace(event, event_id=str(uuid.uuid5(_EVENT_IDS, name)), deadline=event.expires_at)


def to_arguments(event: CompletionEvent, *, instead_of_result: bool = False) -> list[RawValue]:
    """Return the event as the two arguments of the publish activity.

    Args:
        event: Converted, not encoded.
        instead_of_result: Whether its failure stands in for a result that is
            too large; the activity then fails after it has been published. That
            way the workflow branches on its history only, and a worker with
            another codec, which has other sizes, replays it.
    """
    description = _Description(
        event_id=event.event_id,
        type=event.type,
        occurred_at=event.occurred_at,
        activity=event.activity,
        origin=event.origin,
        instead_of_result=instead_of_result,
    )
    outcome = event.outcome
    message = (
        outcome.failure
        if isinstance(outcome, Failed)
        else outcome.result
        if isinstance(outcome, Completed)
        else outcome.details
    )
    return [RawValue(_CONVERTER.to_payload(description)), RawValue(_pack(message))]


def from_arguments(description: RawValue, outcome: RawValue) -> tuple[CompletionEvent, bool]:
    """Return the event that `to_arguments` packed, and whether it is there instead of a result.

    Raises:
        InvalidEventError: the description names no activity; workflow code
            has checked that before.
    """
    described: _Description = _CONVERTER.from_payload(description.payload, _Description)
    event = CompletionEvent(
        event_id=described.event_id,
        occurred_at=UnixNanos(described.occurred_at),
        activity=described.activity,
        outcome=_outcome(described.type, outcome.payload),
        origin=described.origin,
    )
    return replace(event, deadline=event.expires_at), described.instead_of_result


def _outcome(kind: str, payload: Payload) -> Outcome:
    match kind:
        case Completed.type:
            return Completed(_unpack(payload, Payloads))
        case Failed.type:
            return Failed(_unpack(payload, Failure))
        case Canceled.type:
            return Canceled(_unpack(payload, Payloads))
        case Heartbeat.type:
            return Heartbeat(_unpack(payload, Payloads))
        case _:
            raise ValueError(f"an outcome of type {kind!r} is not known to this worker: update it")


def _pack(message: Message) -> Payload:
    return Payload(
        metadata={
            "encoding": b"binary/protobuf",
            "messageType": message.DESCRIPTOR.full_name.encode(),
        },
        data=message.SerializeToString(),
    )


def _unpack(payload: Payload, kind: type[_M]) -> _M:
    message = kind()
    message.ParseFromString(payload.data)
    return message
