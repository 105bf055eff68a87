"""The verdict table: what each answer of Temporal means (contract section 4, facts A)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completion_relay.verdict import (
    FAULT,
    NAMESPACE_NOT_FOUND,
    Answer,
    Applied,
    DeadLetter,
    Doubt,
    Halt,
    Look,
    ReportAsFailed,
    Retry,
    Sign,
    Status,
    Tried,
    Verdict,
    backoff,
    frontend_answered,
    judge,
    sign_of,
)
from completion_schemas.dispositions import DeadLetterReason

WEATHER = [
    Status.UNAVAILABLE,
    Status.DEADLINE_EXCEEDED,
    Status.RESOURCE_EXHAUSTED,
    Status.ABORTED,
    Status.INTERNAL,
    Status.UNKNOWN,
    Status.CANCELLED,
]
OURS = [
    Status.UNAUTHENTICATED,
    Status.PERMISSION_DENIED,
    Status.FAILED_PRECONDITION,
    Status.UNIMPLEMENTED,
]


def verdict(
    status: Status,
    message: str = "",
    *details: str,
    outcome: str = "completed",
    deadline_passed: bool = False,
) -> Verdict:
    return judge(
        Answer(status, message, frozenset(details)),
        outcome=outcome,
        tried=lambda: Tried(deadline_passed=deadline_passed),
    )


def test_the_table_is_total() -> None:
    assert set(FAULT) == set(Status)


def test_ok_is_applied() -> None:
    assert verdict(Status.OK) == Applied()


@pytest.mark.parametrize("status", WEATHER)
def test_the_weather_is_waited_for(status: Status) -> None:
    assert verdict(status) == Retry()


@pytest.mark.parametrize("status", WEATHER)
def test_a_deadline_ends_the_retries_with_a_look(status: Status) -> None:
    assert verdict(status, deadline_passed=True) == Look()


@pytest.mark.parametrize("status", OURS)
def test_what_is_our_fault_halts_the_namespace(status: Status) -> None:
    assert isinstance(verdict(status, "why"), Halt)


@pytest.mark.parametrize(
    "status",
    [Status.OK, Status.NOT_FOUND, Status.INVALID_ARGUMENT, Status.RESOURCE_EXHAUSTED, *OURS],
)
def test_a_frontend_that_throttles_or_refuses_has_answered(status: Status) -> None:
    assert frontend_answered(Answer(status))


@pytest.mark.parametrize(
    "status", [status for status in WEATHER if status is not Status.RESOURCE_EXHAUSTED]
)
def test_the_weather_is_no_answer_of_a_frontend(status: Status) -> None:
    assert not frontend_answered(Answer(status))


def test_a_halt_is_not_ended_by_a_deadline() -> None:
    """A wrong permission must not turn into `expired` events."""
    assert isinstance(verdict(Status.PERMISSION_DENIED, deadline_passed=True), Halt)


def test_not_found_is_looked_into() -> None:
    assert verdict(Status.NOT_FOUND, "workflow execution already completed") == Look()


def test_a_missing_namespace_is_our_fault_though_it_says_not_found() -> None:
    assert isinstance(verdict(Status.NOT_FOUND, "ns", NAMESPACE_NOT_FOUND), Halt)


@pytest.mark.parametrize("outcome", ["completed", "failed", "heartbeat"])
def test_a_refused_request_is_invalid(outcome: str) -> None:
    assert verdict(Status.INVALID_ARGUMENT, "bad token", outcome=outcome) == DeadLetter(
        DeadLetterReason.INVALID, "bad token"
    )


def test_a_refused_cancellation_is_reported_as_a_failure() -> None:
    assert verdict(Status.INVALID_ARGUMENT, outcome="canceled") == ReportAsFailed()


@pytest.mark.parametrize("words", ["", " after decompression"])
def test_a_message_over_grpcs_limit_is_too_large_and_no_throttling(words: str) -> None:
    """Seen on server 1.32.0 with a result of 5 MB; without details, for ever."""
    text = f"grpc: received message{words} larger than max 4194304"
    answer = verdict(Status.RESOURCE_EXHAUSTED, text)
    assert answer == DeadLetter(DeadLetterReason.TOO_LARGE, text)


def test_throttling_that_quotes_a_size_is_still_throttling() -> None:
    assert verdict(Status.RESOURCE_EXHAUSTED, "larger than max", "ResourceExhaustedFailure") == (
        Retry()
    )


class Phrase(Enum):
    """What a text may say that decides; the words stand in it between others."""

    OVER_4_MIB = "larger than max"
    NOT_PENDING_BEFORE_1_17 = "Cannot locate Activity ScheduleID"


TEXTS = {
    "grpc: received message larger than max 4194304": Phrase.OVER_4_MIB,
    "grpc: received message larger than max (5000021 vs. 4194304)": Phrase.OVER_4_MIB,
    "grpc: received message after decompression larger than max 4194304": Phrase.OVER_4_MIB,
    "Cannot locate Activity ScheduleID": Phrase.NOT_PENDING_BEFORE_1_17,
    "grpc: received message": None,
    "grpc: error unmarshalling request": None,
    "Complete result exceeds size limit.": None,
    "Namespace RPS limit exceeded": None,
    "service rate limit exceeded": None,
    "cannot find pending activity with ActivityID a": None,
    "Namespace x is not found.": None,
    "Error deserializing task token.": None,
    "Cancel is not requested.": None,
    "shard unavailable, please backoff and retry": None,
    "Request unauthorized.": None,
}
"""What Temporal, gRPC and older servers say, and what of it decides."""
DETAILS = [
    NAMESPACE_NOT_FOUND,
    "ResourceExhaustedFailure",
    "NotFoundFailure",
    "NamespaceNotActiveFailure",
    "NamespaceInvalidStateFailure",
    "PermissionDeniedFailure",
]


@dataclass(frozen=True)
class Said:
    """An answer, and what of its text decides."""

    answer: Answer
    phrases: frozenset[Phrase]


@st.composite
def sayings(draw: st.DrawFn) -> Said:
    """Any answer; often of the two statuses with which an event may be at fault, and in real words."""
    status = draw(
        st.sampled_from([Status.INVALID_ARGUMENT, Status.RESOURCE_EXHAUSTED])
        | st.sampled_from(Status)
    )
    # Hypothesis draws texts from the sources, too, and so those that are not to be in the noise.
    noise = st.text(max_size=20).filter(
        lambda text: not any(phrase.value in text for phrase in Phrase)
    )
    texts = draw(st.lists(st.sampled_from(sorted(TEXTS)), max_size=2))
    message = "; ".join([draw(noise), *texts, draw(noise)])
    details = draw(st.just(frozenset()) | st.frozensets(st.sampled_from(DETAILS) | noise))
    cause = draw(st.sampled_from(["", "RPS_LIMIT", "BUSY_WORKFLOW", "SYSTEM_OVERLOADED"]) | noise)
    phrases = frozenset(phrase for text in texts if (phrase := TEXTS[text]) is not None)
    return Said(Answer(status, message, details, cause), phrases)


behind = st.builds(
    Tried,
    tries=st.sampled_from([1, 9, 10, 200]) | st.integers(1, 10**6),
    refused_for=st.sampled_from([0.0, 3_599.0, 3_600.0, 9e9]) | st.floats(0, 10**9),
    budget=st.sampled_from([1.0, 3_600.0, float("inf")]) | st.floats(0, 10**6),
    deadline_passed=st.booleans(),
)
"""What an event has behind it: nothing, or deadline and budget long over."""


def own_fault(said: Said, outcome: str) -> DeadLetterReason | None:
    """Why the event itself cannot be applied (contract section 4); None: it is not its fault."""
    match said.answer.status:
        case Status.INVALID_ARGUMENT:
            # Of old it said of an activity what NOT_FOUND says now, and a cancellation that is refused
            # is reported as a failure first.
            is_of_the_activity = Phrase.NOT_PENDING_BEFORE_1_17 in said.phrases
            is_final = outcome != "canceled" and not is_of_the_activity
            return DeadLetterReason.INVALID if is_final else None
        case Status.RESOURCE_EXHAUSTED:
            # Throttling has details; gRPC's refusal of 4 MiB has none, and these words.
            is_throttling = bool(said.answer.details) or Phrase.OVER_4_MIB not in said.phrases
            return None if is_throttling else DeadLetterReason.TOO_LARGE
        case _:
            return None


@settings(max_examples=500)
@given(
    said=sayings(),
    outcome=st.sampled_from(["completed", "failed", "canceled", "heartbeat", "look"]),
    tried=behind,
)
def test_only_the_events_own_fault_dead_letters(said: Said, outcome: str, tried: Tried) -> None:
    """Invariant 4: an outage cannot drain a topic into the dead-letter topic.

    And at once, by the first answer: whatever the event has behind it changes nothing.
    """
    judged = judge(said.answer, outcome=outcome, tried=lambda: tried)
    reason = own_fault(said, outcome)
    expected = None if reason is None else DeadLetter(reason, said.answer.message)
    assert (judged if isinstance(judged, DeadLetter) else None) == expected


@given(
    st.integers(1, 10**6),
    st.floats(0.001, 60),
    st.floats(60, 3600),
    st.integers(),
)
def test_a_wait_is_between_half_and_all_of_the_doubled_one(
    tries: int, initial: float, maximum: float, seed: int
) -> None:
    whole = min(maximum, initial * 2.0 ** min(tries - 1, 60))
    wait = backoff(tries, initial=initial, maximum=maximum, rng=random.Random(seed))
    assert whole / 2 <= wait <= whole


class Row(NamedTuple):
    """One row of facts section A: what Temporal answers, and what is to be done."""

    situation: str
    answer: Answer
    verdict: Verdict
    sign: Sign
    outcome: str = "completed"
    tried: Tried = Tried()


THROTTLES = frozenset({"ResourceExhaustedFailure"})
SPENT = Tried(tries=200, refused_for=3_601.0, budget=3_600.0)
LATE = Tried(deadline_passed=True)


def refused(message: str) -> tuple[Answer, Verdict]:
    return Answer(Status.INVALID_ARGUMENT, message), DeadLetter(DeadLetterReason.INVALID, message)


def throttled(cause: str, message: str = "") -> Answer:
    return Answer(Status.RESOURCE_EXHAUSTED, message, THROTTLES, cause)


UNAVAILABLE_SHARD = Answer(Status.UNAVAILABLE, "shard unavailable, please backoff and retry")
OVER_4_MIB = "grpc: received message after decompression larger than max 4194304"
NOT_OF_THIS_TOKEN = (
    "invalid activityID or activity already timed out or invoking workflow is completed"
)

ROWS = [
    Row("taken", Answer(Status.OK), Applied(), Sign.WELL),
    Row("failed, and Temporal retries", Answer(Status.OK), Applied(), Sign.WELL, "failed"),
    Row("paused activity", Answer(Status.OK, paused=True), Applied(), Sign.WELL, "heartbeat"),
    Row("token empty", *refused("Task token not set on request."), Sign.WELL),
    Row("token undecodable", *refused("Error deserializing task token."), Sign.WELL),
    Row("token without a namespace id", *refused("Namespace not set on request."), Sign.WELL),
    Row(
        "token undecodable, older servers (temporal#4054)",
        Answer(Status.UNKNOWN, "unexpected EOF"),
        Retry(),
        Sign.FAILING,
    ),
    Row(
        "token of a namespace id that is unknown",
        Answer(Status.NOT_FOUND, "Namespace x is not found.", frozenset({NAMESPACE_NOT_FOUND})),
        Halt("NOT_FOUND: Namespace x is not found."),
        Sign.HALTED,
    ),
    Row(
        "token of a namespace id that is no UUID",
        Answer(Status.UNKNOWN, "unable to parse UUID"),
        Retry(),
        Sign.FAILING,
    ),
    Row(
        "token of another namespace",
        *refused("Operation requested with a token from a different namespace."),
        Sign.WELL,
    ),
    Row(
        "done, timed out, another attempt, between retries",
        Answer(Status.NOT_FOUND, NOT_OF_THIS_TOKEN, frozenset({"NotFoundFailure"})),
        Look(),
        Sign.WELL,
    ),
    Row(
        "workflow closed",
        Answer(Status.NOT_FOUND, "workflow execution already completed"),
        Look(),
        Sign.WELL,
    ),
    Row(
        "workflow or run unknown",
        Answer(Status.NOT_FOUND, "workflow not found for ID: w"),
        Look(),
        Sign.WELL,
    ),
    Row(
        "by ids, no such pending activity",
        Answer(Status.NOT_FOUND, "cannot find pending activity with ActivityID a"),
        Look(),
        Sign.WELL,
    ),
    Row(
        "by ids, no such pending activity, older servers (temporal#2538)",
        Answer(Status.INVALID_ARGUMENT, "Cannot locate Activity ScheduleID"),
        Look(),
        Sign.WELL,
    ),
    Row(
        "by ids, namespace unknown",
        Answer(Status.NOT_FOUND, "Namespace x is not found.", frozenset({NAMESPACE_NOT_FOUND})),
        Halt("NOT_FOUND: Namespace x is not found."),
        Sign.HALTED,
        "look",
    ),
    Row(
        "canceled, nobody asked for it",
        Answer(Status.INVALID_ARGUMENT, "Cancel is not requested."),
        ReportAsFailed(),
        Sign.WELL,
        "canceled",
    ),
    Row(
        "failure without application_failure_info",
        *refused("Failure must have ApplicationFailureInfo."),
        Sign.WELL,
        "failed",
    ),
    Row("identity over 1,000 bytes", *refused("Identity exceeds length limit."), Sign.WELL),
    Row(
        "message over 4 MiB",
        Answer(Status.RESOURCE_EXHAUSTED, OVER_4_MIB),
        DeadLetter(DeadLetterReason.TOO_LARGE, OVER_4_MIB),
        Sign.WELL,
    ),
    Row(
        "message over 4 MiB, after the deadline and with the budget spent",
        Answer(Status.RESOURCE_EXHAUSTED, OVER_4_MIB),
        DeadLetter(DeadLetterReason.TOO_LARGE, OVER_4_MIB),
        Sign.WELL,
        tried=Tried(tries=99, refused_for=9e9, budget=1.0, deadline_passed=True),
    ),
    *(
        Row(f"throttled, {cause}", throttled(cause), Retry(), Sign.THROTTLED)
        for cause in ("RPS_LIMIT", "SYSTEM_OVERLOADED", "PERSISTENCE_LIMIT", "APS_LIMIT", "99")
    ),
    Row(
        "throttled, and the text speaks of sizes",
        throttled("RPS_LIMIT", OVER_4_MIB),
        Retry(),
        Sign.THROTTLED,
    ),
    Row(
        "throttled by a proxy that gives no details",
        Answer(Status.RESOURCE_EXHAUSTED, "slow down"),
        Retry(),
        Sign.THROTTLED,
    ),
    Row("workflow's lock taken", throttled("BUSY_WORKFLOW"), Retry(), Sign.WELL),
    Row(
        "throttled for longer than the budget", throttled("X"), Retry(), Sign.THROTTLED, tried=SPENT
    ),
    Row("throttled beyond the deadline", throttled("X"), Look(), Sign.THROTTLED, tried=LATE),
    Row(
        "not authorized",
        Answer(Status.PERMISSION_DENIED, "Request unauthorized."),
        Halt("PERMISSION_DENIED: Request unauthorized."),
        Sign.HALTED,
    ),
    Row(
        "not authorized, beyond deadline and budget",
        Answer(Status.PERMISSION_DENIED, "Request unauthorized."),
        Halt("PERMISSION_DENIED: Request unauthorized."),
        Sign.HALTED,
        tried=Tried(tries=200, refused_for=9e9, budget=1.0, deadline_passed=True),
    ),
    Row(
        "API key refused",
        Answer(Status.UNAUTHENTICATED, "bad key"),
        Halt("UNAUTHENTICATED: bad key"),
        Sign.HALTED,
    ),
    Row(
        "wrong cluster",
        Answer(Status.FAILED_PRECONDITION, "not active", frozenset({"NamespaceNotActiveFailure"})),
        Halt("FAILED_PRECONDITION: not active"),
        Sign.HALTED,
    ),
    Row(
        "namespace deleted",
        Answer(Status.FAILED_PRECONDITION, "state", frozenset({"NamespaceInvalidStateFailure"})),
        Halt("FAILED_PRECONDITION: state"),
        Sign.HALTED,
    ),
    Row(
        "a server that does not know the call",
        Answer(Status.UNIMPLEMENTED, "unknown method"),
        Halt("UNIMPLEMENTED: unknown method"),
        Sign.HALTED,
    ),
    Row("shard moving", UNAVAILABLE_SHARD, Retry(), Sign.FAILING),
    Row(
        "handover",
        Answer(Status.UNAVAILABLE, "Namespace replication in handover state."),
        Retry(),
        Sign.FAILING,
    ),
    Row("shard moving beyond the deadline", UNAVAILABLE_SHARD, Look(), Sign.FAILING, tried=LATE),
    Row(
        "token of an event that is not there yet (ErrStaleState)",
        Answer(Status.UNKNOWN, "stale state"),
        Retry(),
        Sign.FAILING,
    ),
    Row(
        "the same, for longer than the budget",
        Answer(Status.UNKNOWN, "stale state"),
        Doubt(),
        Sign.FAILING,
        tried=SPENT,
    ),
    Row("poison clock", UNAVAILABLE_SHARD, Retry(), Sign.FAILING),
    Row(
        "poison clock, for longer than the budget",
        UNAVAILABLE_SHARD,
        Doubt(),
        Sign.FAILING,
        tried=SPENT,
    ),
    Row(
        "two calls, an outage between them for longer than the budget",
        UNAVAILABLE_SHARD,
        Retry(),
        Sign.FAILING,
        tried=Tried(tries=2, refused_for=9e9, budget=3_600.0),
    ),
    Row("no answer in time", Answer(Status.DEADLINE_EXCEEDED), Retry(), Sign.FAILING),
    Row("connection closed", Answer(Status.CANCELLED), Retry(), Sign.FAILING),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.situation)
def test_what_temporal_answers_means(row: Row) -> None:
    """Facts section A, row by row."""
    judged = judge(row.answer, outcome=row.outcome, tried=lambda: row.tried)
    assert (judged, sign_of(row.answer)) == (row.verdict, row.sign)


@given(
    status=st.sampled_from(Status),
    message=st.text(),
    details=st.frozensets(st.text()),
    cause=st.text(),
    tries=st.integers(1, 10**6),
    refused_for=st.floats(0, 10**9),
    budget=st.floats(1, 10**6),
    deadline_passed=st.booleans(),
)
def test_an_event_is_doubted_only_when_its_budget_is_spent_and_never_for_throttling(
    *,
    status: Status,
    message: str,
    details: frozenset[str],
    cause: str,
    tries: int,
    refused_for: float,
    budget: float,
    deadline_passed: bool,
) -> None:
    tried = Tried(tries, refused_for, budget, deadline_passed)
    answer = Answer(status, message, details, cause)
    if judge(answer, outcome="completed", tried=lambda: tried) == Doubt():
        assert refused_for >= budget
        assert tries >= 10
        assert not deadline_passed
        assert sign_of(answer) is Sign.FAILING
