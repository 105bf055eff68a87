"""Room `verdict`: what an answer of Temporal means for an event. Core: touches nothing.

Whose fault an error is decides what happens (contract section 4): the event's
is dead-lettered at once, the weather's is retried, ours halts the namespace.
`FAULT` is that table, total over the status codes of gRPC; `judge` adds the few
cases that a status alone does not tell apart.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from types import MappingProxyType

from completion_schemas.dispositions import DeadLetterReason


class Status(StrEnum):
    """The status codes of gRPC, by the names that audit records and metrics show."""

    OK = "OK"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call to Temporal came back with."""

    status: Status
    message: str = ""
    details: frozenset[str] = frozenset()
    """Names of the error details, such as `NamespaceNotFoundFailure`."""
    cause: str = ""
    """Why Temporal throttles (`ResourceExhaustedCause`), such as `RPS_LIMIT`; empty: it does not."""
    cancel_requested: bool = False
    paused: bool = False
    reset: bool = False


class Fault(Enum):
    """Whose an error is."""

    NOBODY = auto()
    EVENT = auto()
    WEATHER = auto()
    OURS = auto()
    LOOK = auto()
    """Nobody can tell before somebody has looked."""


FAULT: Mapping[Status, Fault] = MappingProxyType(
    {
        Status.OK: Fault.NOBODY,
        # Done, timed out, newer attempt, closed workflow: NOT_FOUND alike.
        Status.NOT_FOUND: Fault.LOOK,
        Status.INVALID_ARGUMENT: Fault.EVENT,
        Status.UNAVAILABLE: Fault.WEATHER,
        Status.DEADLINE_EXCEEDED: Fault.WEATHER,
        Status.RESOURCE_EXHAUSTED: Fault.WEATHER,
        Status.ABORTED: Fault.WEATHER,
        Status.INTERNAL: Fault.WEATHER,
        Status.UNKNOWN: Fault.WEATHER,
        Status.CANCELLED: Fault.WEATHER,
        # Temporal does not answer a completion with these; sdk-core retries them.
        Status.DATA_LOSS: Fault.WEATHER,
        Status.OUT_OF_RANGE: Fault.WEATHER,
        Status.ALREADY_EXISTS: Fault.WEATHER,
        Status.UNAUTHENTICATED: Fault.OURS,
        Status.PERMISSION_DENIED: Fault.OURS,
        Status.FAILED_PRECONDITION: Fault.OURS,
        Status.UNIMPLEMENTED: Fault.OURS,
    }
)

NAMESPACE_NOT_FOUND = "NamespaceNotFoundFailure"

_BUSY_WORKFLOW = "BUSY_WORKFLOW"
"""The one cause of throttling that says nothing of the namespace: the workflow's lock is taken."""

_NOT_PENDING_BEFORE_1_17 = "Cannot locate Activity ScheduleID"
"""INVALID_ARGUMENT by ids: how older servers said "no such pending activity" (temporal#2538)."""

_MANY_TRIES = 10
"""With fewer, time alone has passed: an outage during which nobody called is no refusal."""


class Sign(Enum):
    """What one answer says of the namespace, whatever it means for the event."""

    WELL = auto()
    """Temporal answered, and it would have answered another event."""
    FAILING = auto()
    """Nobody knows whether there is anybody."""
    THROTTLED = auto()
    """Fewer calls, please."""
    HALTED = auto()
    """It would refuse every event."""


def sign_of(answer: Answer) -> Sign:
    """Return what an answer says of the namespace."""
    if answer.status is Status.OK:
        return Sign.WELL
    if answer.status is Status.RESOURCE_EXHAUSTED:
        harmless = is_message_limit(answer) or answer.cause == _BUSY_WORKFLOW
        return Sign.WELL if harmless else Sign.THROTTLED
    if NAMESPACE_NOT_FOUND in answer.details or FAULT[answer.status] is Fault.OURS:
        return Sign.HALTED
    return Sign.FAILING if FAULT[answer.status] is Fault.WEATHER else Sign.WELL


def frontend_answered(answer: Answer) -> bool:
    """Whether a frontend of Temporal spoke, whatever it said: the cluster is there.

    With RESOURCE_EXHAUSTED it did: fewer calls are then the bulkheads' business, and nobody is away.
    """
    return FAULT[answer.status] is not Fault.WEATHER or answer.status is Status.RESOURCE_EXHAUSTED


@dataclass(frozen=True, slots=True)
class Applied:
    """Temporal took it."""


@dataclass(frozen=True, slots=True)
class Look:
    """Find out what became of the activity."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask again later."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Ask again later, unless a look shows that the refusals are this event's own."""


@dataclass(frozen=True, slots=True)
class ReportAsFailed:
    """Temporal takes no cancellation that was not asked for: report a failure instead."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The event itself cannot be applied."""

    reason: DeadLetterReason
    detail: str


@dataclass(frozen=True, slots=True)
class Halt:
    """Nothing of this namespace can be applied until an operator mends it."""

    detail: str


Verdict = Applied | Look | Retry | Doubt | ReportAsFailed | DeadLetter | Halt


@dataclass(frozen=True, slots=True)
class Tried:
    """What the event has behind it when an answer comes."""

    tries: int = 1
    """Completion calls, this one included."""
    refused_for: float = 0.0
    """Seconds since the first of the refusals that nobody else explains."""
    budget: float = float("inf")
    """Seconds of refusals after which the event itself is doubted (`relay.retry_budget`)."""
    deadline_passed: bool = False
    """Whether the event's deadline has. It ends the retries, never the first call."""


def judge(answer: Answer, *, outcome: str, tried: Callable[[], Tried]) -> Verdict:
    """Return what to do after `answer`.

    Args:
        answer: What the call came back with.
        outcome: The type of the outcome that was sent, such as `canceled`.
        tried: Tells what the event has behind it; asked in bad weather alone.
    """
    match FAULT[answer.status]:
        case Fault.NOBODY:
            return Applied()
        case Fault.LOOK:
            # The details' type is the only safe discriminator: the status is
            # that of an activity that is done (facts A, "by id, namespace unknown").
            if NAMESPACE_NOT_FOUND in answer.details:
                return Halt(f"NOT_FOUND: {answer.message}")
            return Look()
        case Fault.EVENT:
            if _NOT_PENDING_BEFORE_1_17 in answer.message:
                return Look()
            # A bad token is refused with the same status: then the failure
            # is refused too, and that is final.
            if outcome == "canceled":
                return ReportAsFailed()
            return DeadLetter(DeadLetterReason.INVALID, answer.message)
        case Fault.OURS:
            return Halt(f"{answer.status}: {answer.message}")
        case Fault.WEATHER:
            return _in_bad_weather(answer, tried())


def _in_bad_weather(answer: Answer, tried: Tried) -> Verdict:
    if is_message_limit(answer):
        return DeadLetter(DeadLetterReason.TOO_LARGE, answer.message)
    if tried.deadline_passed:
        return Look()
    # Throttling is never an event's own, however long: others use up the limit.
    is_spent = tried.refused_for >= tried.budget and tried.tries >= _MANY_TRIES
    return Doubt() if is_spent and answer.status is not Status.RESOURCE_EXHAUSTED else Retry()


def is_message_limit(answer: Answer) -> bool:
    """Whether a message was refused for its size, by gRPC: a request, or the answer to one."""
    # gRPC refuses a message over 4 MiB with the status of throttling, for ever.
    # Temporal's throttling carries ResourceExhaustedFailure, grpc-go's refusal
    # carries nothing but this text (seen on server 1.32.0).
    return (
        answer.status is Status.RESOURCE_EXHAUSTED
        and not answer.details
        and "larger than max" in answer.message
    )


def backoff(tries: int, *, initial: float, maximum: float, rng: random.Random) -> float:
    """Return the seconds to wait after the given number of tries: doubling, with jitter.

    Between half and all of `initial * 2 ** (tries - 1)`, at most `maximum`, so
    that many events that failed together do not come back together.
    """
    # 2 ** 60 seconds is past any maximum; more would overflow a float one day.
    whole = min(maximum, initial * 2.0 ** min(tries - 1, 60))
    return whole * rng.uniform(0.5, 1.0)
