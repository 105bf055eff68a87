"""Room `triage`: a best-effort reader of task tokens. Core: touches nothing.

A token is `temporal.server.api.token.v1.Task`, an internal and unsigned format
of Temporal's server that may change with any version (server 1.32.0, facts A).
What is read here helps to look, never to decide: a token that cannot be read is
still completed, and a NOT_FOUND for it is then `unknown`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from completion_schemas.events import ActivityReference

_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_INT32 = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
_INT64 = descriptor_pb2.FieldDescriptorProto.TYPE_INT64

# Only what a look needs; the other fields stay unknown fields.
_FIELDS = (
    ("namespace_id", 1, _STRING),
    ("workflow_id", 2, _STRING),
    ("run_id", 3, _STRING),
    ("scheduled_event_id", 4, _INT64),
    ("attempt", 5, _INT32),
    ("activity_id", 6, _STRING),
)


def _message_class() -> type[Message]:
    # A pool of its own: the name is the server's, and must not get in the way
    # of a library that ships the real descriptor.
    file = descriptor_pb2.FileDescriptorProto(
        name="completion_relay/task_token.proto", package="completion_relay", syntax="proto3"
    )
    task = file.message_type.add(name="Task")
    for name, number, kind in _FIELDS:
        task.field.add(
            name=name,
            number=number,
            type=kind,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("completion_relay.Task"))


_Task = _message_class()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHint:
    """What a token seems to say about its activity."""

    workflow_id: str
    run_id: str
    activity_id: str
    scheduled_event_id: int
    attempt: int


def read_token(token: bytes) -> TokenHint | None:
    """Return what the token seems to say, or None when it does not look like one."""
    task = _Task()
    try:
        task.ParseFromString(token)
        run_id = str(uuid.UUID(task.run_id))  # type: ignore[attr-defined]
    except (DecodeError, ValueError):
        return None
    fields = {name: getattr(task, name) for name, _, _ in _FIELDS}
    if not (fields["workflow_id"] and fields["activity_id"]) or fields["attempt"] < 0:
        return None
    return TokenHint(
        workflow_id=fields["workflow_id"],
        run_id=run_id,
        activity_id=fields["activity_id"],
        scheduled_event_id=fields["scheduled_event_id"],
        attempt=fields["attempt"],
    )


def seems_to_name(token: bytes, reference: ActivityReference) -> bool:
    """Whether the token has the reference's ids and attempt in it; False where that is not plain.

    Looked for as the fields are written, without reading the token: that costs
    a tenth, and is asked for every event.
    """
    ids = (
        (b"\x12", reference.workflow_id),
        (b"\x1a", reference.run_id),
        (b"\x32", reference.activity_id),
    )
    for tag, text in ids:
        value = text.encode()
        if not 0 < len(value) < 128 or tag + bytes((len(value),)) + value not in token:
            return False
    return 0 < reference.attempt < 128 and b"\x28" + bytes((reference.attempt,)) in token
