"""Room `events`: the completion event as both sides speak it. Touches nothing.

Frozen values, checked when they are constructed; a value that exists is valid.
`Payloads` and `Failure` are Temporal's own messages and are never read here:
they were written by the emitting worker's data converter, codec and encryption
included, and reach the caller as they are (invariant 7). They are mutable
because protobuf is; nobody changes them.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import Failure

from completion_schemas.errors import InvalidEventError
from completion_schemas.times import (
    INT64,
    UnixNanos,
    nanos_rfc3339,
    rfc3339_nanos,
    unix_nanos,
)
from completion_schemas.tokens import LONGEST_REMEMBERED, token_fingerprint

if TYPE_CHECKING:
    import temporalio.activity

__all__ = [
    "MAX_EVENT_ID_BYTES",
    "ActivityReference",
    "Canceled",
    "Completed",
    "CompletionEvent",
    "CompletionSignal",
    "Failed",
    "Heartbeat",
    "Origin",
    "Outcome",
    "UnixNanos",
    "rfc3339_nanos",
    "unix_nanos",
]

MAX_EVENT_ID_BYTES = 256
_INT32 = range(2**31)
_NOT_KNOWN = UnixNanos(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityReference:
    """Which waiting activity is meant: a task token, or ids, or both.

    Best are both: the token decides, the ids explain. The field values are
    those of the message's canonical JSON form (Base64 for bytes, RFC 3339 for
    times), so a reference passes through any data converter, as a dataclass or
    inside a Pydantic model, and a callee in another language can read it.

    A reference is not checked by itself: a callee must be able to take whatever
    it was given and go on working. `CompletionEvent` checks it.
    """

    cluster: str = ""
    """The Temporal cluster as the relay's configuration names it; empty is the relay's default."""
    namespace: str = ""
    """The waiting workflow's namespace; empty is the relay's default."""
    task_token: str = field(default="", repr=False)
    """The activity's task token in standard Base64; opaque."""
    sealed_token: str = field(default="", repr=False)
    """The task token, encrypted for the relay, in standard Base64."""
    token_fingerprint: str = ""
    """`tokens.token_fingerprint` of the token; needed beside a sealed token, derived otherwise."""
    workflow_id: str = ""
    run_id: str = ""
    """The waiting workflow's run. Without it Temporal takes the current run, which may be another."""
    activity_id: str = ""
    attempt: int = 0
    """The attempt that handed off, from 1; 0 is not known."""
    deadline: str = ""
    """When the activity times out as known at the hand-off, RFC 3339; empty is not known.

    It is the instant that travels: another spelling of it comes out as proto3 JSON's (UTC, `Z`).
    """

    @classmethod
    def from_info(cls, info: temporalio.activity.Info, *, cluster: str = "") -> ActivityReference:
        """Return the reference to the activity that `info` (`activity.info()`) describes.

        Args:
            info: What Temporal told the running activity about itself.
            cluster: The name the relay's configuration has for this Temporal
                cluster; empty is the relay's default.

        Raises:
            InvalidEventError: for a local activity, which Temporal cannot
                complete asynchronously.
        """
        if info.is_local:
            raise InvalidEventError(
                f"activity {info.activity_id} is a local activity, which cannot be completed from "
                "outside: start it with execute_activity, not execute_local_activity"
            )
        ends = [
            start + timeout
            for start, timeout in (
                (info.started_time, info.start_to_close_timeout),
                (info.scheduled_time, info.schedule_to_close_timeout),
            )
            if timeout
        ]
        return cls(
            cluster=cluster,
            namespace=info.namespace,
            task_token=base64.b64encode(info.task_token).decode("ascii"),
            token_fingerprint=token_fingerprint(info.task_token),
            workflow_id=info.workflow_id or "",
            run_id=info.workflow_run_id or "",
            activity_id=info.activity_id,
            attempt=info.attempt,
            deadline=nanos_rfc3339(unix_nanos(min(ends))) if ends else "",
        )

    @property
    def has_token(self) -> bool:
        """Whether there is a task token, plain or sealed."""
        return bool(self.task_token or self.sealed_token)

    @property
    def has_ids(self) -> bool:
        """Whether workflow and activity id are both there (the run may be missing)."""
        return bool(self.workflow_id and self.activity_id)

    def __bool__(self) -> bool:
        """Whether anything is referred to at all: an empty reference is no error, just nothing."""
        return self.has_token or self.has_ids

    @property
    def key(self) -> str:
        """The Kafka key of everything that is said about this activity (contract section 2)."""
        if self.task_token:
            return token_fingerprint(self.token_bytes())
        if self.sealed_token:
            return self.token_fingerprint
        return f"{self.namespace}/{self.workflow_id}/{self.activity_id}"

    def token_bytes(self) -> bytes:
        """Return the task token's bytes, empty without one.

        Raises:
            InvalidEventError: `task_token` is not standard Base64. Its text is
                not repeated (promise 4).
        """
        return _base64("task_token", self.task_token)

    def sealed_bytes(self) -> bytes:
        """Return the sealed token's bytes, empty without one.

        Raises:
            InvalidEventError: `sealed_token` is not standard Base64.
        """
        return _base64("sealed_token", self.sealed_token)


@dataclass(frozen=True, slots=True)
class Completed:
    """The activity's work is done; `result` is what it returns (no payloads: nothing)."""

    type: ClassVar[str] = "completed"
    result: Payloads = field(default_factory=Payloads)


@dataclass(frozen=True, slots=True)
class Failed:
    """The activity fails with this failure; Temporal applies the activity's retry policy."""

    type: ClassVar[str] = "failed"
    failure: Failure = field(default_factory=Failure)


@dataclass(frozen=True, slots=True)
class Canceled:
    """The activity reports that it was canceled, as the caller had asked."""

    type: ClassVar[str] = "canceled"
    details: Payloads = field(default_factory=Payloads)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The activity is alive; decides nothing."""

    type: ClassVar[str] = "heartbeat"
    details: Payloads = field(default_factory=Payloads)


Outcome = Completed | Failed | Canceled | Heartbeat
"""What became of the work: a closed union."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who emitted the event; every field may be empty."""

    namespace: str = ""
    workflow_id: str = ""
    run_id: str = ""
    workflow_type: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionEvent:
    """What became of the work that an activity is waiting for (contract section 3).

    Raises:
        InvalidEventError: a field is missing or contradicts another; the
            message names it, the problem and the fix, and never a token.
    """

    event_id: str
    """1 to 256 bytes of UTF-8, unique per outcome; the same when the emitter retries."""
    occurred_at: UnixNanos
    activity: ActivityReference
    outcome: Outcome
    deadline: UnixNanos | None = None
    """When the waiting activity times out, as known at the hand-off."""
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        if not 1 <= len(self.event_id.encode("utf-8", "surrogatepass")) <= MAX_EVENT_ID_BYTES:
            raise InvalidEventError(
                f"event_id must have 1 to {MAX_EVENT_ID_BYTES} bytes, has "
                f"{len(self.event_id.encode('utf-8', 'surrogatepass'))}: use a UUID"
            )
        for name, nanos in (("occurred_at", self.occurred_at), ("deadline", self.deadline)):
            if nanos is not None and nanos not in INT64:
                raise InvalidEventError(f"{name} must lie between the years 1678 and 2262")
        reference = self.activity
        if not reference:
            raise InvalidEventError(
                "activity names nothing: give task_token, or workflow_id, run_id and activity_id"
            )
        if reference.attempt not in _INT32:
            raise InvalidEventError("activity.attempt must be 0 (not known) to 2147483647")
        token = reference.token_bytes()
        reference.sealed_bytes()
        if reference.deadline:
            rfc3339_nanos("activity.deadline", reference.deadline)
        if reference.token_fingerprint and token:
            if reference.token_fingerprint != token_fingerprint(token):
                raise InvalidEventError(
                    "activity.token_fingerprint is not that of activity.task_token: leave it out"
                )
        elif reference.sealed_token and not reference.token_fingerprint:
            raise InvalidEventError(
                "activity.sealed_token needs activity.token_fingerprint beside it: the relay "
                "orders events by it"
            )

    @property
    def type(self) -> str:
        """`completed`, `failed`, `canceled` or `heartbeat`."""
        return self.outcome.type

    @property
    def expires_at(self) -> UnixNanos | None:
        """When the waiting activity times out, from the event or else from its reference."""
        if self.deadline is None and self.activity.deadline:
            return rfc3339_nanos("activity.deadline", self.activity.deadline)
        return self.deadline

    @property
    def activity_key(self) -> str:
        """The Kafka key: events of one activity share it (contract section 2)."""
        return self.activity.key


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionSignal:
    """What Temporal answered a heartbeat with, for the callee to act on (contract section 2)."""

    activity: ActivityReference
    cancel_requested: bool = False
    paused: bool = False
    reset: bool = False
    origin: Origin = field(default_factory=Origin)
    observed_at: UnixNanos = _NOT_KNOWN


def _base64(name: str, text: str) -> bytes:
    # An event's token is read some five times on its way through the relay. What
    # is longer than any token is not remembered: anybody may write it to Kafka.
    return _remembered(name, text) if len(text) <= LONGEST_REMEMBERED else _decoded(name, text)


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        # `from None`: the cause's text may quote the input (promise 4).
        raise InvalidEventError(f"activity.{name} is not standard Base64") from None


_remembered = lru_cache(maxsize=1_024)(_decoded)
