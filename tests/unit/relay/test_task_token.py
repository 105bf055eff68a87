"""The best-effort reader of task tokens."""

from __future__ import annotations

import base64
import uuid

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import int32, int64, names, texts

from completion_relay.task_token import TokenHint, read_token

FROM_A_SERVER = base64.b64decode(
    "CiQwMWEyMDU5ZC02ODc3LTc0Y2QtYmNjYy0wMjEzMDU5YmMxNDESCGNhbGxlci0xGiQwMWEyMDU5ZC02OTE4LTdh"
    "NDctOWE5My1lZGExNTE5ZWU1MzggBSgBMgExQgR3YWl0SggIARCVgEAYAQ=="
)
"""As development server 1.32.0 gave it to an activity `wait` of workflow `caller-1`."""

_Field = descriptor_pb2.FieldDescriptorProto


def _server_message() -> type[Message]:
    """Return `temporal.server.api.token.v1.Task`, with fields that the relay does not read."""
    file = descriptor_pb2.FileDescriptorProto(
        name="tests/task.proto", package="tests", syntax="proto3"
    )
    task = file.message_type.add(name="Task")
    for name, number, kind in (
        ("namespace_id", 1, _Field.TYPE_STRING),
        ("workflow_id", 2, _Field.TYPE_STRING),
        ("run_id", 3, _Field.TYPE_STRING),
        ("scheduled_event_id", 4, _Field.TYPE_INT64),
        ("attempt", 5, _Field.TYPE_INT32),
        ("activity_id", 6, _Field.TYPE_STRING),
        ("activity_type", 8, _Field.TYPE_STRING),
        ("clock", 9, _Field.TYPE_BYTES),
        ("of_a_later_server", 99, _Field.TYPE_INT32),
    ):
        task.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tests.Task"))


ServerToken = _server_message()

tokens = st.fixed_dictionaries(
    {
        "namespace_id": st.uuids().map(str),
        "workflow_id": names,
        "run_id": st.uuids().map(str),
        "scheduled_event_id": int64,
        "attempt": st.integers(0, 2**31 - 1),
        "activity_id": names,
        "activity_type": texts,
        "clock": st.binary(max_size=12),
        "of_a_later_server": int32,
    }
)


def encoded(fields: dict[str, object]) -> bytes:
    return ServerToken(**fields).SerializeToString()


def test_a_token_of_a_real_server_is_read() -> None:
    assert read_token(FROM_A_SERVER) == TokenHint(
        workflow_id="caller-1",
        run_id="01a2059d-6918-7a47-9a93-eda1519ee538",
        activity_id="1",
        scheduled_event_id=5,
        attempt=1,
    )


@settings(deadline=None)
@given(tokens)
def test_what_a_server_writes_is_read_whatever_else_it_writes(fields: dict[str, object]) -> None:
    hint = read_token(encoded(fields))
    assert hint is not None
    for name in ("workflow_id", "run_id", "activity_id", "scheduled_event_id", "attempt"):
        assert getattr(hint, name) == fields[name]


@settings(deadline=None)
@given(tokens, st.sampled_from(["workflow_id", "run_id", "activity_id"]))
def test_a_token_that_does_not_name_an_activity_of_a_run_tells_nothing(
    fields: dict[str, object], missing: str
) -> None:
    assert read_token(encoded({**fields, missing: ""})) is None


@settings(deadline=None)
@given(tokens, texts.filter(lambda text: not _is_uuid(text)))
def test_a_run_id_that_is_none_is_no_token(fields: dict[str, object], run_id: str) -> None:
    assert read_token(encoded({**fields, "run_id": run_id})) is None


@settings(deadline=None)
@given(tokens, st.integers(-(2**31), -1))
def test_an_attempt_below_zero_is_no_token(fields: dict[str, object], attempt: int) -> None:
    assert read_token(encoded({**fields, "attempt": attempt})) is None


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def damaged(token: bytes) -> st.SearchStrategy[bytes]:
    """Return tokens with some bytes in the middle replaced."""
    return st.builds(
        lambda start, length, patch: token[:start] + patch + token[start + length :],
        st.integers(0, len(token)),
        st.integers(0, 10),
        st.binary(max_size=10),
    )


@settings(deadline=None)
@given(st.binary(max_size=200) | damaged(FROM_A_SERVER))
def test_bytes_of_any_kind_never_raise(token: bytes) -> None:
    hint = read_token(token)
    if hint is not None:
        assert str(uuid.UUID(hint.run_id)) == hint.run_id
        assert hint.workflow_id
        assert hint.activity_id
        assert hint.attempt >= 0
