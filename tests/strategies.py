"""Room `tests`: hypothesis strategies for everything in `completion_schemas`."""

from __future__ import annotations

import base64
from collections.abc import Callable

from google.protobuf.duration_pb2 import Duration
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import (
    Failure,
    NexusHandlerFailureInfo,
    NexusOperationFailureInfo,
    ServerFailureInfo,
)

from completion_schemas.audit import AuditRecord, Call
from completion_schemas.dispositions import DeadLetterReason, Disposition
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
from completion_schemas.times import UnixNanos, nanos_rfc3339
from completion_schemas.tokens import token_fingerprint

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
"""Any text that UTF-8 can say."""
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
blobs = st.binary(max_size=40)
tokens = st.binary(min_size=1, max_size=130)
int32 = st.integers(-(2**31), 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
times = st.one_of(int64, st.integers(0, 2 * 10**18)).map(UnixNanos)

_metadata = st.dictionaries(texts, blobs, max_size=3)


@st.composite
def payload(draw: st.DrawFn) -> Payload:
    """A payload as it may come out of any converter and codec."""
    made = Payload(metadata=draw(_metadata), data=draw(blobs))
    for size in draw(st.lists(int64, max_size=2)):
        made.external_payloads.add(size_bytes=size)
    return made


payloads = st.lists(payload(), max_size=3).map(lambda items: Payloads(payloads=items))


@st.composite
def durations(draw: st.DrawFn) -> Duration:
    """A duration that all encodings can say: within 292 years, both parts of one sign."""
    seconds, nanos = divmod(draw(st.integers(0, 2**63 - 1)), 10**9)
    sign = draw(st.sampled_from([1, -1]))
    return Duration(seconds=sign * seconds, nanos=sign * nanos)


def _application(draw: st.DrawFn, made: Failure) -> None:
    info = made.application_failure_info
    info.type, info.non_retryable = draw(texts), draw(st.booleans())
    # Any number: proto3 enums are open.
    info.category = draw(int32)  # type: ignore[assignment]
    if draw(st.booleans()):
        info.details.CopyFrom(draw(payloads))
    if draw(st.booleans()):
        info.next_retry_delay.CopyFrom(draw(durations()))


def _timeout(draw: st.DrawFn, made: Failure) -> None:
    made.timeout_failure_info.timeout_type = draw(int32)  # type: ignore[assignment]
    made.timeout_failure_info.last_heartbeat_details.CopyFrom(draw(payloads))


def _activity(draw: st.DrawFn, made: Failure) -> None:
    info = made.activity_failure_info
    info.scheduled_event_id, info.started_event_id = draw(int64), draw(int64)
    info.activity_type.name = draw(texts)


def _child(draw: st.DrawFn, made: Failure) -> None:
    made.child_workflow_execution_failure_info.workflow_execution.workflow_id = draw(texts)
    made.child_workflow_execution_failure_info.workflow_type.SetInParent()


_kinds: st.SearchStrategy[Callable[[st.DrawFn, Failure], None]] = st.sampled_from(
    [
        lambda _draw, _made: None,
        _application,
        _timeout,
        _activity,
        _child,
        lambda draw, made: made.canceled_failure_info.details.CopyFrom(draw(payloads)),
        lambda _draw, made: made.terminated_failure_info.SetInParent(),
        lambda draw, made: made.server_failure_info.MergeFrom(
            ServerFailureInfo(non_retryable=draw(st.booleans()))
        ),
        lambda draw, made: made.nexus_operation_execution_failure_info.MergeFrom(
            NexusOperationFailureInfo(endpoint=draw(texts))
        ),
        lambda draw, made: made.nexus_handler_failure_info.MergeFrom(
            NexusHandlerFailureInfo(type=draw(texts))
        ),
    ]
)


@st.composite
def failures(draw: st.DrawFn, depth: int = 3) -> Failure:
    """A failure of any kind with a chain of causes, enums from newer servers included."""
    made = Failure(
        message=draw(texts),
        source=draw(texts),
        stack_trace=draw(texts),
        encoded_attributes=draw(st.none() | payload()),
    )
    draw(_kinds)(draw, made)
    if depth and draw(st.booleans()):
        made.cause.CopyFrom(draw(failures(depth=depth - 1)))
    return made


outcomes: st.SearchStrategy[Outcome] = st.one_of(
    payloads.map(Completed),
    failures().map(Failed),
    payloads.map(Canceled),
    payloads.map(Heartbeat),
)

origins = st.builds(
    Origin,
    namespace=texts,
    workflow_id=texts,
    run_id=texts,
    workflow_type=texts,
    identity=texts,
)


@st.composite
def references(draw: st.DrawFn) -> ActivityReference:
    """A reference by token, sealed token, ids, or several of them."""
    token, sealed, fingerprint = "", "", ""
    workflow_id, activity_id = draw(texts), draw(texts)
    kind = draw(st.sampled_from(["token", "sealed", "both", "ids"]))
    if kind in ("token", "both"):
        plain = draw(tokens)
        token = base64.b64encode(plain).decode("ascii")
        fingerprint = draw(st.sampled_from(["", token_fingerprint(plain)]))
    if kind in ("sealed", "both"):
        sealed = base64.b64encode(draw(tokens)).decode("ascii")
        fingerprint = fingerprint or (
            token_fingerprint(plain) if token else token_fingerprint(draw(tokens))
        )
    if kind == "ids":
        workflow_id, activity_id = draw(names), draw(names)
    return ActivityReference(
        cluster=draw(texts),
        namespace=draw(texts),
        task_token=token,
        sealed_token=sealed,
        token_fingerprint=fingerprint,
        workflow_id=workflow_id,
        run_id=draw(texts),
        activity_id=activity_id,
        attempt=draw(st.integers(0, 2**31 - 1)),
        deadline=draw(st.just("") | times.map(nanos_rfc3339)),
    )


events = st.builds(
    CompletionEvent,
    event_id=names,
    occurred_at=times,
    activity=references(),
    outcome=outcomes,
    deadline=st.none() | times,
    origin=origins | st.just(Origin()),
)

signals = st.builds(
    CompletionSignal,
    activity=references(),
    cancel_requested=st.booleans(),
    paused=st.booleans(),
    reset=st.booleans(),
    origin=origins | st.just(Origin()),
    observed_at=times,
)


@st.composite
def audit_records(draw: st.DrawFn) -> AuditRecord:
    """An audit record with any combination of its optional fields."""
    disposition = draw(st.sampled_from(Disposition))
    dead = disposition is Disposition.DEAD_LETTERED
    optional = st.none() | texts
    text_fields = (
        "event_id",
        "type",
        "detail",
        "namespace",
        "workflow_id",
        "run_id",
        "activity_id",
        "token_preview",
        "token_fingerprint",
        "origin_workflow_id",
        "origin_run_id",
        "topic",
        "relay_id",
        "group",
    )
    return AuditRecord(
        disposition=disposition,
        reason=draw(st.sampled_from(DeadLetterReason)) if dead else None,
        attempt=draw(int32),
        partition=draw(int32),
        offset=draw(int64),
        occurred_at=draw(st.none() | times),
        received_at=draw(times),
        decided_at=draw(times),
        tries=draw(int32),
        rpc_status=draw(optional),
        key_id=draw(optional),
        redelivery=draw(st.booleans()),
        replay_of=draw(optional),
        calls=draw(st.lists(st.builds(Call, times, texts), max_size=3).map(tuple)),
        **{name: draw(texts) for name in text_fields},
    )


_header_names = st.sampled_from(
    [
        "content-type",
        "Content-Type",
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "traceparent",
    ]
)
_header_values = st.sampled_from(
    [
        b"1.0",
        b"application/json",
        b"application/protobuf",
        b"avro/binary",
        b"application/cloudevents+json; charset=UTF-8",
        b"completion.activity.completed.v1",
    ]
)
headers = st.lists(
    st.tuples(_header_names | texts, st.none() | _header_values | st.binary(max_size=20)),
    max_size=8,
)
"""Headers that are sometimes right, often wrong, repeated or null."""
