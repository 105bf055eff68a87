"""One event's way to its final outcome, on scripts of answers."""

from __future__ import annotations

import base64
import dataclasses
import itertools
from collections.abc import Iterator
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from tests.unit.relay.fakes import NOW, OK, PATIENCE, Script

from completion_relay.decide import decide
from completion_relay.decision import Decision, Former, Park
from completion_relay.evidence import (
    Decided,
    Finding,
    NotScheduled,
    Pending,
    Question,
    Undetermined,
)
from completion_relay.identity import RecordMark
from completion_relay.place import LetGoError, Place
from completion_relay.verdict import NAMESPACE_NOT_FOUND, Answer, Status
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import (
    ActivityReference,
    Canceled,
    Completed,
    CompletionEvent,
    Failed,
    Heartbeat,
    Outcome,
    UnixNanos,
)

MARK = RecordMark("e-1", "completions", 3, 7)
TOKEN = base64.b64encode(b"no token that can be read").decode()
BY_IDS = ActivityReference(workflow_id="w", run_id="r", activity_id="a")
BY_TOKEN = ActivityReference(task_token=TOKEN, workflow_id="w", run_id="r", activity_id="a")
TOKEN_ALONE = ActivityReference(task_token=TOKEN)

UNAVAILABLE = Answer(Status.UNAVAILABLE, "shard unavailable, please backoff and retry")
AMBIGUOUS = Answer(Status.DEADLINE_EXCEEDED, "Timeout expired")
THROTTLED = Answer(
    Status.RESOURCE_EXHAUSTED,
    "namespace rate limit exceeded",
    frozenset({"ResourceExhaustedFailure"}),
)
OVER_GRPC_LIMIT = Answer(
    Status.RESOURCE_EXHAUSTED,
    "grpc: received message after decompression larger than max 4194304",
)
DENIED = Answer(Status.PERMISSION_DENIED, "Request unauthorized.")
REFUSED = Answer(Status.INVALID_ARGUMENT, "Error deserializing task token.")
NOT_FOUND = Answer(Status.NOT_FOUND, "workflow execution already completed")
NO_NAMESPACE = Answer(
    Status.NOT_FOUND, "Namespace orders is not found.", frozenset({NAMESPACE_NOT_FOUND})
)
WEATHER = [
    UNAVAILABLE,
    AMBIGUOUS,
    THROTTLED,
    Answer(Status.ABORTED, "aborted"),
    Answer(Status.INTERNAL, "internal"),
    Answer(Status.UNKNOWN, "unexpected EOF"),
    Answer(Status.CANCELLED, "connection closed"),
]

STARTED = Pending(attempt=1, is_started=True)
WAITING_FOR_A_WORKER = Pending(attempt=1, is_started=False)


def event(
    outcome: Outcome | None = None,
    *,
    activity: ActivityReference = BY_TOKEN,
    deadline: int | None = None,
) -> CompletionEvent:
    return CompletionEvent(
        event_id=MARK.event_id,
        occurred_at=UnixNanos(NOW - 10**9),
        activity=activity,
        outcome=Completed() if outcome is None else outcome,
        deadline=None if deadline is None else UnixNanos(deadline),
    )


def payloads(size: int) -> Payloads:
    return Payloads(payloads=[Payload(data=b"x" * size)])


async def run(script: Script, the_event: CompletionEvent) -> Decision:
    return await decide(script.means, the_event, "orders", MARK)


async def test_ok_is_applied_by_one_call() -> None:
    script = Script([OK])
    decision = await run(script, event())
    assert (decision.disposition, decision.tries, decision.rpc_status) == (
        Disposition.APPLIED,
        1,
        Status.OK,
    )
    assert script.looks.questions == []


async def test_what_temporal_changed_of_what_it_took_is_told() -> None:
    script = Script([Answer(Status.OK, "Failure exceeds size limit.")])
    decision = await run(script, event(Failed(Failure(message="no"))))
    assert decision.disposition is Disposition.APPLIED
    assert decision.detail == "Temporal changed what it took: Failure exceeds size limit."


async def test_a_call_says_where_what_and_by_which_record() -> None:
    the_event = event(Failed(Failure(message="no")))
    script = Script([OK])
    await run(script, the_event)
    assert script.sends.calls == [("orders", the_event.activity, the_event.outcome, str(MARK))]


async def test_weather_is_waited_for_with_a_growing_backoff() -> None:
    script = Script([UNAVAILABLE, UNAVAILABLE, OK])
    decision = await run(script, event())
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 3)
    first, second = script.clock.waits
    assert PATIENCE.retry_initial / 2 <= first <= PATIENCE.retry_initial
    assert PATIENCE.retry_initial <= second <= 2 * PATIENCE.retry_initial


@settings(deadline=None)
@given(st.lists(st.sampled_from(WEATHER), max_size=40))
async def test_no_weather_dead_letters_or_outlasts_the_event(weather: list[Answer]) -> None:
    """Invariant 4: an outage never drains the topic into the dead-letter topic."""
    script = Script([*weather, OK])
    decision = await run(script, event())
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, len(weather) + 1)
    assert all(wait <= PATIENCE.retry_maximum for wait in script.clock.waits)


async def test_each_call_of_an_event_that_was_refused_is_told_with_its_answer() -> None:
    script = Script([UNAVAILABLE, THROTTLED, OK])
    decision = await run(script, event())
    assert [call.status for call in decision.calls] == ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "OK"]
    waited = [later.at - call.at for call, later in itertools.pairwise(decision.calls)]
    assert waited == pytest.approx([wait * 1e9 for wait in script.clock.waits], abs=10)


async def test_of_very_many_calls_the_first_and_the_last_are_told() -> None:
    script = Script([THROTTLED] * 5 + [UNAVAILABLE] * 20 + [THROTTLED] * 14 + [OK])
    decision = await run(script, event())
    assert decision.tries == 40
    told = ["RESOURCE_EXHAUSTED"] * 19 + ["OK"]
    assert [call.status for call in decision.calls] == told


async def test_the_only_call_needs_no_telling_where_it_was_answered_ok() -> None:
    decision = await run(Script([OK]), event())
    assert decision.calls == ()


async def test_throttling_never_dead_letters() -> None:
    script = Script([*[THROTTLED] * 500, OK])
    decision = await run(script, event(Completed(payloads(1000))))
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 501)


async def test_an_answer_that_was_lost_is_found_in_history() -> None:
    """The ambiguous call had done it: the relay's own NOT_FOUND is its own success."""
    script = Script(
        [AMBIGUOUS, NOT_FOUND], findings=[Decided(Disposition.APPLIED, "COMPLETED by us")]
    )
    decision = await run(script, event())
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 2)
    assert decision.rpc_status is Status.NOT_FOUND
    assert decision.detail == "COMPLETED by us"
    (question,) = script.looks.questions
    assert (question.mark, question.workflow_id, question.activity_id) == (MARK, "w", "a")


@pytest.mark.parametrize(
    "disposition",
    [
        Disposition.DUPLICATE,
        Disposition.CONFLICT,
        Disposition.SUPERSEDED,
        Disposition.EXPIRED,
        Disposition.CLOSED,
        Disposition.UNKNOWN,
    ],
)
async def test_not_found_becomes_what_the_look_says(disposition: Disposition) -> None:
    script = Script([NOT_FOUND], findings=[Decided(disposition, "why")])
    decision = await run(script, event())
    assert (decision.disposition, decision.detail, decision.tries) == (disposition, "why", 1)


async def test_a_look_that_tells_nothing_yet_is_repeated() -> None:
    """History lags while a workflow task is in flight."""
    script = Script(
        [NOT_FOUND],
        findings=[
            Undetermined("buffered"),
            Undetermined("buffered"),
            Decided(Disposition.EXPIRED, ""),
        ],
    )
    decision = await run(script, event())
    assert decision.disposition is Disposition.EXPIRED
    assert len(script.looks.questions) == 3


async def test_looks_that_never_tell_end_in_unknown() -> None:
    script = Script([NOT_FOUND], findings=repeat(Undetermined("buffered")))
    decision = await run(script, event())
    assert decision.disposition is Disposition.UNKNOWN
    assert "buffered" in decision.detail
    assert PATIENCE.look_timeout <= script.clock.monotonic() < PATIENCE.look_timeout + 2


async def test_a_look_that_fails_by_weather_is_repeated() -> None:
    script = Script(
        [NOT_FOUND], findings=[*WEATHER, Decided(Disposition.CONFLICT, "by somebody else")]
    )
    decision = await run(script, event())
    assert (decision.disposition, decision.tries) == (Disposition.CONFLICT, 1)
    assert len(script.looks.questions) == len(WEATHER) + 1


async def test_a_look_that_is_throttled_lowers_the_namespaces_limit() -> None:
    """Completions and looks use up the same limit of Temporal's."""
    script = Script([NOT_FOUND], findings=[THROTTLED, Decided(Disposition.CONFLICT, "")])
    before = script.observer.limits["orders"]
    await run(script, event())
    assert script.observer.limits["orders"] < before


async def test_a_look_that_meets_a_workflows_lock_slows_nobody_else() -> None:
    busy = dataclasses.replace(THROTTLED, cause="BUSY_WORKFLOW")
    script = Script([NOT_FOUND], findings=[busy, Decided(Disposition.CONFLICT, "")])
    before = script.observer.limits["orders"]
    await run(script, event())
    assert script.observer.limits["orders"] == before


async def test_a_look_that_is_throttled_is_no_try_and_no_refusal_of_the_event() -> None:
    script = Script([OK], findings=[*[THROTTLED] * 20, STARTED])
    decision = await run(script, event(activity=BY_IDS))
    assert (decision.disposition, decision.tries, decision.calls) == (Disposition.APPLIED, 1, ())


async def test_a_halt_is_told_and_ends_by_itself() -> None:
    script = Script([DENIED, DENIED, OK])
    decision = await run(script, event())
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 3)
    assert script.happened("halted", "resumed") == ["halted", "resumed"]
    namespace, detail = script.observer.halts[0]
    assert namespace == "orders"
    assert "Request unauthorized." in detail


async def test_a_look_that_is_denied_halts_and_decides_nothing() -> None:
    script = Script([NOT_FOUND], findings=[DENIED, Decided(Disposition.CLOSED, "")])
    decision = await run(script, event())
    assert decision.disposition is Disposition.CLOSED
    assert len(script.observer.halts) == 1


async def test_a_deadline_that_has_passed_ends_the_retries_after_a_look() -> None:
    """Whoever is throttled has an answer: the call was not carried out."""
    script = Script([THROTTLED], findings=[STARTED])
    decision = await run(script, event(deadline=NOW - 1))
    assert (decision.disposition, decision.tries) == (Disposition.EXPIRED, 1)
    assert script.happened("send", "look") == ["send", "look"]


@pytest.mark.parametrize("answer", [AMBIGUOUS, UNAVAILABLE], ids=["timed out", "cut off"])
async def test_a_call_without_an_answer_that_lands_after_the_deadline_is_applied(
    answer: Answer,
) -> None:
    """The first look comes before it does."""
    landed = Decided(Disposition.APPLIED, "COMPLETED by us")
    script = Script([answer], findings=[STARTED, STARTED, landed])
    decision = await run(script, event(deadline=NOW - 1))
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 1)


async def test_a_call_without_an_answer_is_expired_when_it_has_not_landed_in_time() -> None:
    script = Script([AMBIGUOUS], findings=repeat(STARTED))
    decision = await run(script, event(deadline=NOW - 1))
    assert (decision.disposition, decision.tries) == (Disposition.EXPIRED, 1)
    assert PATIENCE.look_timeout <= script.clock.monotonic() < PATIENCE.look_timeout + 2


async def test_a_call_that_lands_late_has_all_of_the_time_that_history_may_lag() -> None:
    """Of ten seconds it lands after nine, and history tells of it seven later."""
    landed = Decided(Disposition.APPLIED, "COMPLETED by us")

    def findings() -> Iterator[Finding]:
        while script.clock.monotonic() < 0.9 * PATIENCE.look_timeout:
            yield STARTED
        while script.clock.monotonic() < 1.6 * PATIENCE.look_timeout:
            yield Undetermined("buffered")
        yield landed

    script = Script([AMBIGUOUS], findings=findings())
    decision = await run(script, event(deadline=NOW - 1))
    assert decision.disposition is Disposition.APPLIED


async def test_an_earlier_call_without_an_answer_may_land_too() -> None:
    """The answer to the last one says nothing of it."""
    landed = Decided(Disposition.APPLIED, "COMPLETED by us")
    script = Script([AMBIGUOUS, THROTTLED], findings=[STARTED, landed])
    # The deadline is over after the first backoff.
    decision = await run(script, event(deadline=NOW + 1))
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 2)


@pytest.mark.parametrize(
    ("former", "disposition"),
    [
        (Former(tries=1, may_land=True), Disposition.APPLIED),
        (Former(tries=1), Disposition.EXPIRED),
    ],
)
async def test_whether_a_call_may_land_that_was_made_before_a_parking_is_known(
    former: Former, disposition: Disposition
) -> None:
    landed = Decided(Disposition.APPLIED, "COMPLETED by us")
    script = Script([THROTTLED], findings=[STARTED, landed])
    late = event(deadline=NOW - 1)
    decision = await decide(script.means, late, "orders", MARK, place=Place(), former=former)
    assert isinstance(decision, Decision)
    assert decision.disposition is disposition


async def test_a_failure_by_ids_that_is_let_go_while_a_call_may_land_is_parked_with_that() -> None:
    """Whoever has the partition next would look once, find it pending, and burn a second attempt."""
    script = Script([AMBIGUOUS, OK], findings=repeat(STARTED))
    place = Place()
    failed = event(Failed(Failure(message="no")), activity=BY_IDS)
    script.sends.when_called = place.closing.set
    park = await decide(script.means, failed, "orders", MARK, place=place)
    assert isinstance(park, Park)
    assert park.former.may_land
    place = Place()
    decision = await decide(script.means, failed, "orders", MARK, place=place, former=park.former)
    assert isinstance(decision, Decision)
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 2)
    assert script.clock.monotonic() >= PATIENCE.look_timeout


@pytest.mark.parametrize(
    "let_go",
    [
        pytest.param(event(Failed(Failure(message="no"))), id="a failure by token"),
        pytest.param(event(activity=BY_IDS), id="a completion by ids"),
        pytest.param(
            event(
                Failed(
                    Failure(
                        message="no",
                        application_failure_info=ApplicationFailureInfo(non_retryable=True),
                    )
                ),
                activity=BY_IDS,
            ),
            id="a failure by ids that is not retried",
        ),
    ],
)
async def test_what_may_land_twice_is_let_go_and_costs_no_parked_copy(
    let_go: CompletionEvent,
) -> None:
    script = Script([AMBIGUOUS], findings=repeat(STARTED))
    place = Place()
    script.sends.when_called = place.closing.set
    with pytest.raises(LetGoError):
        await decide(script.means, let_go, "orders", MARK, place=place)


async def test_a_failure_by_ids_is_not_called_again_while_the_first_call_may_land() -> None:
    """It would fail the next attempt as well: by ids Temporal checks no attempt."""
    script = Script([AMBIGUOUS, OK], findings=repeat(STARTED))
    decision = await run(script, event(Failed(Failure(message="no")), activity=BY_IDS))
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 2)
    assert PATIENCE.look_timeout <= script.clock.monotonic() < PATIENCE.look_timeout + 3


async def test_once_a_call_by_ids_has_not_landed_the_next_tries_do_not_wait_for_it() -> None:
    script = Script([AMBIGUOUS, THROTTLED, THROTTLED, OK], findings=repeat(STARTED))
    decision = await run(script, event(Failed(Failure(message="no")), activity=BY_IDS))
    assert decision.tries == 4
    assert PATIENCE.look_timeout <= script.clock.monotonic() < PATIENCE.look_timeout + 8


async def test_a_failure_by_ids_that_is_not_retried_is_called_again_at_once() -> None:
    info = ApplicationFailureInfo(non_retryable=True)
    script = Script([AMBIGUOUS, OK], findings=repeat(STARTED))
    failed = Failed(Failure(message="no", application_failure_info=info))
    decision = await run(script, event(failed, activity=BY_IDS))
    assert decision.tries == 2
    assert script.clock.monotonic() < PATIENCE.look_timeout


async def test_a_failure_by_ids_whose_first_call_lands_late_is_called_once() -> None:
    landed = Decided(Disposition.APPLIED, "the last failure is ours")
    script = Script([AMBIGUOUS], findings=[STARTED, STARTED, STARTED, landed])
    decision = await run(script, event(Failed(Failure(message="no")), activity=BY_IDS))
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 1)


async def test_what_ends_an_activity_for_good_is_called_again_at_once_by_ids_too() -> None:
    script = Script([AMBIGUOUS, OK], findings=repeat(STARTED))
    decision = await run(script, event(Completed(), activity=BY_IDS))
    assert decision.tries == 2
    assert script.clock.monotonic() < PATIENCE.look_timeout


async def test_whether_a_heartbeat_landed_nobody_can_see_and_nobody_waits_for_it() -> None:
    script = Script([AMBIGUOUS], findings=[STARTED])
    decision = await run(script, event(Heartbeat(), deadline=NOW - 1))
    assert decision.disposition is Disposition.EXPIRED


async def test_a_deadline_that_has_passed_does_not_end_the_first_call() -> None:
    script = Script([OK])
    decision = await run(script, event(deadline=NOW - 1))
    assert decision.disposition is Disposition.APPLIED


async def test_a_deadline_is_no_proof_as_long_as_no_look_succeeds() -> None:
    script = Script([THROTTLED], findings=[UNAVAILABLE, UNAVAILABLE, STARTED])
    decision = await run(script, event(deadline=NOW - 1))
    assert decision.disposition is Disposition.EXPIRED
    assert len(script.looks.questions) == 3


async def test_a_refused_request_is_dead_lettered_as_invalid() -> None:
    script = Script([REFUSED])
    decision = await run(script, event())
    assert (decision.disposition, decision.reason) == (
        Disposition.DEAD_LETTERED,
        DeadLetterReason.INVALID,
    )
    assert (decision.tries, decision.stage) == (1, "complete")
    assert decision.detail == REFUSED.message


def _application_type(outcome: Outcome) -> str:
    assert isinstance(outcome, Failed)
    assert outcome.failure.application_failure_info.non_retryable
    return outcome.failure.application_failure_info.type


async def test_a_cancellation_nobody_asked_for_is_reported_as_a_failure() -> None:
    script = Script([REFUSED, OK])
    decision = await run(script, event(Canceled()))
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 2)
    assert "CalleeCanceled" in decision.detail
    assert [type(call.outcome) for call in script.sends.calls] == [Canceled, Failed]
    assert _application_type(script.sends.calls[1].outcome) == "CalleeCanceled"


async def test_a_cancellation_refused_twice_is_invalid() -> None:
    """A bad token is refused with the same status, whatever is sent with it."""
    script = Script([REFUSED, REFUSED])
    decision = await run(script, event(Canceled()))
    assert (decision.disposition, decision.reason, decision.tries) == (
        Disposition.DEAD_LETTERED,
        DeadLetterReason.INVALID,
        2,
    )


def assert_too_large(decision: Decision, *words: str) -> None:
    assert (decision.disposition, decision.reason) == (
        Disposition.DEAD_LETTERED,
        DeadLetterReason.TOO_LARGE,
    )
    for word in words:
        assert word in decision.detail


@pytest.mark.parametrize("outcome", [Completed, Canceled])
async def test_payloads_over_the_blob_limit_fail_the_activity_instead(
    outcome: type[Completed | Canceled],
) -> None:
    """Temporal would answer OK and fail the activity without saying who did it."""
    too_large = payloads(1001)
    script = Script([OK], blob_limit=1000)
    decision = await run(script, event(outcome(too_large)))
    assert_too_large(decision, str(too_large.ByteSize()), "1000")
    (call,) = script.sends.calls
    assert _application_type(call.outcome) == "ResultTooLarge"
    assert isinstance(call.outcome, Failed)
    for size in (str(too_large.ByteSize()), "1000"):
        assert size in call.outcome.failure.message


async def test_a_limit_that_is_a_guess_is_called_one() -> None:
    """Who reads the dead letter should not raise a limit that is not in the way."""
    for is_guess in (True, False):
        script = Script([OK], blob_limit=1000, namespaces=[DENIED])
        script.sends.is_guess = is_guess
        decision = await run(script, event(Completed(payloads(1001))))
        assert_too_large(decision, "1000")
        assert ("Temporal's default" in decision.detail) is is_guess


async def test_a_guess_that_was_wrong_fails_nobody_whose_namespace_was_halted_meanwhile() -> None:
    """All was refused when the event was measured; it waits, and then the limit is told."""
    script = Script([DENIED, OK], blob_limit=1000, namespaces=[DENIED, OK])
    script.sends.is_guess, script.sends.tells = True, 2000
    decision = await run(script, event(Completed(payloads(1500))))
    assert decision.disposition is Disposition.APPLIED
    assert [type(call.outcome) for call in script.sends.calls] == [Failed, Completed]


async def test_what_is_too_large_for_the_limit_that_is_told_instead_of_a_guess_is_not_sent() -> (
    None
):
    script = Script([OK], blob_limit=1000, namespaces=[OK])
    script.sends.is_guess, script.sends.tells = True, 1200
    decision = await run(script, event(Completed(payloads(1500))))
    assert_too_large(decision, "1200")
    assert [type(call.outcome) for call in script.sends.calls] == [Failed]


async def test_where_a_failure_sent_by_a_guess_has_landed_the_dead_letter_stays() -> None:
    """The limit is told too late: the activity has failed, and its result is nowhere else."""
    landed = Decided(Disposition.APPLIED, "FAILED by us", in_its_stead=True)
    script = Script(
        [AMBIGUOUS, NOT_FOUND], findings=[landed], blob_limit=1000, namespaces=[DENIED, OK]
    )
    script.sends.is_guess, script.sends.tells = True, 2000
    decision = await run(script, event(Completed(payloads(1500))))
    assert_too_large(decision, "failed in its stead: FAILED by us")


async def test_what_an_earlier_life_failed_for_its_size_is_no_success_of_this_one() -> None:
    """The relay died before it could say so, and the limit has been raised since."""
    landed = Decided(Disposition.APPLIED, "FAILED by us", in_its_stead=True)
    script = Script([NOT_FOUND], findings=[landed], blob_limit=10_000)
    decision = await run(script, event(Completed(payloads(1500))))
    assert_too_large(decision, "failed in its stead")


async def test_a_failure_of_the_callees_own_may_be_of_the_type_of_ours() -> None:
    landed = Decided(Disposition.APPLIED, "FAILED by us", in_its_stead=True)
    script = Script([NOT_FOUND], findings=[landed])
    info = ApplicationFailureInfo(type="ResultTooLarge")
    failed = Failed(Failure(message="no", application_failure_info=info))
    assert (await run(script, event(failed))).disposition is Disposition.APPLIED


async def test_a_parked_result_over_a_guess_is_measured_again_before_the_call() -> None:
    """Also one of which a call was refused before it was parked."""
    script = Script([OK], blob_limit=1000, namespaces=[OK])
    script.sends.is_guess, script.sends.tells = True, 2000
    result = event(Completed(payloads(1500)))
    decision = await decide(
        script.means, result, "orders", MARK, place=Place(), former=Former(tries=1)
    )
    assert isinstance(decision, Decision)
    assert decision.disposition is Disposition.APPLIED


async def test_by_ids_what_changed_while_the_limit_was_asked_for_is_not_called() -> None:
    """The question may take as long as a call, and a failure would end the attempt after."""
    superseded = Decided(Disposition.SUPERSEDED, "at attempt 2")
    script = Script(
        [OK], findings=[STARTED, superseded, superseded], blob_limit=1000, namespaces=[DENIED]
    )
    script.sends.is_guess = True
    decision = await run(script, event(Completed(payloads(1500)), activity=BY_IDS))
    assert (decision.disposition, decision.tries) == (Disposition.SUPERSEDED, 0)
    assert script.happened("send") == []


@pytest.mark.parametrize("outcome", [Completed(), Canceled(), Failed(Failure(message="no"))])
async def test_a_message_over_grpcs_limit_fails_the_activity_instead(outcome: Outcome) -> None:
    script = Script([OVER_GRPC_LIMIT, OK])
    decision = await run(script, event(outcome))
    assert_too_large(decision, "4194304")
    assert decision.tries == 2
    assert _application_type(script.sends.calls[1].outcome) == "ResultTooLarge"


async def test_payloads_at_the_blob_limit_are_sent_as_they_are() -> None:
    result = payloads(1000)
    script = Script([OK], blob_limit=result.ByteSize())
    decision = await run(script, event(Completed(result)))
    assert decision.disposition is Disposition.APPLIED
    assert script.sends.calls[0].outcome == Completed(result)


async def test_a_result_that_cannot_be_judged_yet_waits_until_it_can() -> None:
    """The weather is no reason to fail its activity."""
    result = payloads(1001)
    script = Script([OK], blob_limit=2000, unknown=[UNAVAILABLE, THROTTLED])
    decision = await run(script, event(Completed(result)))
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 1)
    assert script.journal == [
        "retried UNAVAILABLE",
        "retried RESOURCE_EXHAUSTED",
        "send",
        "called OK",
    ]
    assert script.sends.calls[0].outcome == Completed(result)


@pytest.mark.parametrize("done", [Disposition.APPLIED, Disposition.DUPLICATE])
async def test_a_failure_sent_instead_that_is_found_in_history_is_too_large_still(
    done: Disposition,
) -> None:
    """A relay that died in between must not say that the result was applied."""
    script = Script([NOT_FOUND], findings=[Decided(done, "FAILED by us")], blob_limit=10)
    assert_too_large(await run(script, event(Completed(payloads(11)))))


async def test_a_failure_sent_instead_that_came_too_late_is_what_the_look_says() -> None:
    script = Script([NOT_FOUND], findings=[Decided(Disposition.CONFLICT, "")], blob_limit=10)
    decision = await run(script, event(Completed(payloads(11))))
    assert decision.disposition is Disposition.CONFLICT


async def test_a_heartbeat_over_the_blob_limit_is_dead_lettered_without_a_call() -> None:
    """It decides nothing, so it fails nothing."""
    script = Script(blob_limit=10)
    decision = await run(script, event(Heartbeat(payloads(11))))
    assert_too_large(decision)
    assert (decision.tries, script.sends.calls) == (0, [])


async def test_by_ids_a_look_comes_before_every_call() -> None:
    """Delivered twice, a failure by ids burns two attempts."""
    script = Script([AMBIGUOUS, UNAVAILABLE, OK], findings=repeat(STARTED))
    decision = await run(script, event(activity=BY_IDS))
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 3)
    assert script.happened("look", "send") == ["look", "send"] * 3


async def test_by_ids_what_was_seen_before_a_relay_was_suspended_is_looked_at_again() -> None:
    """The attempt may have timed out meanwhile, and the next one would be completed in its stead."""
    superseded = Decided(Disposition.SUPERSEDED, "at attempt 2")
    script = Script([OK], findings=[STARTED, superseded, superseded])
    find = script.looks.find

    async def suspended(namespace: str, question: Question) -> Finding | Answer:
        found = await find(namespace, question)
        if isinstance(found, Pending):
            await script.clock.sleep(60.0)
        return found

    script.looks.find = suspended  # type: ignore[method-assign]
    decision = await run(script, event(activity=BY_IDS))
    assert decision.disposition is Disposition.SUPERSEDED
    assert "send" not in script.happened("look", "send")


async def test_by_ids_what_the_look_decides_is_not_sent_again() -> None:
    script = Script(
        [AMBIGUOUS], findings=[STARTED, Decided(Disposition.APPLIED, "Temporal took the failure")]
    )
    decision = await run(script, event(activity=BY_IDS))
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 1)


@pytest.mark.parametrize(
    "not_yet", [WAITING_FOR_A_WORKER, NotScheduled("the workflow has not scheduled this activity")]
)
async def test_by_ids_an_early_event_waits_for_its_activity(
    not_yet: Pending | NotScheduled,
) -> None:
    script = Script([OK], findings=chain(repeat(not_yet, 20), [STARTED]))
    decision = await run(script, event(activity=BY_IDS))
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 1)


@pytest.mark.parametrize(
    "never", [WAITING_FOR_A_WORKER, NotScheduled("the workflow has not scheduled this activity")]
)
async def test_by_ids_the_wait_for_the_activity_is_bounded(never: Pending | NotScheduled) -> None:
    script = Script(findings=repeat(never))
    decision = await run(script, event(activity=BY_IDS))
    assert (decision.disposition, decision.tries) == (Disposition.UNKNOWN, 0)
    assert PATIENCE.early_timeout <= script.clock.monotonic() < PATIENCE.early_timeout + 2


@pytest.mark.parametrize("then", [STARTED, Decided(Disposition.APPLIED, "COMPLETED by us")])
async def test_by_ids_history_has_all_of_its_time_from_when_the_activity_is_not_early_any_more(
    then: Pending | Decided,
) -> None:
    """It was scheduled, or had just ended, in the middle of a look: that look alone once made it `unknown`."""

    def findings() -> Iterator[Finding]:
        while script.clock.monotonic() < 2 * PATIENCE.look_timeout:
            yield NotScheduled("the workflow has not scheduled this activity")
        since = script.clock.monotonic()
        while script.clock.monotonic() < since + 0.8 * PATIENCE.look_timeout:
            yield Undetermined("buffered")
        yield then

    script = Script([OK], findings=findings())
    decision = await run(script, event(activity=BY_IDS))
    assert decision.disposition is Disposition.APPLIED


async def test_by_ids_what_is_undetermined_after_it_was_early_is_unknown_in_the_end() -> None:
    script = Script(findings=chain([WAITING_FOR_A_WORKER], repeat(Undetermined("buffered"))))
    decision = await run(script, event(activity=BY_IDS))
    assert decision.detail == "buffered, after 10 s"
    assert script.clock.monotonic() < PATIENCE.look_timeout + 3


async def test_by_ids_an_activity_at_another_attempt_is_left_alone() -> None:
    script = Script(findings=repeat(STARTED))
    reference = ActivityReference(workflow_id="w", run_id="r", activity_id="a", attempt=2)
    decision = await run(script, event(activity=reference))
    assert (decision.disposition, decision.tries) == (Disposition.UNKNOWN, 0)
    assert "attempt 1" in decision.detail
    assert "for 2" in decision.detail


async def test_not_found_with_nothing_to_look_for_is_unknown() -> None:
    script = Script([NOT_FOUND])
    decision = await run(script, event(activity=TOKEN_ALONE))
    assert (decision.disposition, decision.tries) == (Disposition.UNKNOWN, 1)
    assert script.looks.questions == []


async def test_a_heartbeat_overtaken_by_the_decision_is_coalesced() -> None:
    script = Script([NOT_FOUND], findings=[Decided(Disposition.CONFLICT, "COMPLETED by e-2")])
    decision = await run(script, event(Heartbeat()))
    assert decision.disposition is Disposition.COALESCED
    assert "COMPLETED by e-2" in decision.detail


@pytest.mark.parametrize(
    "asks",
    [
        Answer(Status.OK, cancel_requested=True),
        Answer(Status.OK, paused=True),
        Answer(Status.OK, reset=True),
    ],
)
async def test_what_a_heartbeats_answer_asks_for_is_a_signal(asks: Answer) -> None:
    decision = await run(Script([asks]), event(Heartbeat()))
    assert (decision.disposition, decision.signal) == (Disposition.APPLIED, asks)


async def test_a_heartbeats_answer_that_asks_for_nothing_is_no_signal() -> None:
    decision = await run(Script([OK]), event(Heartbeat()))
    assert decision.signal is None


async def test_a_token_of_a_namespace_that_is_gone_is_unknown_and_halts_nobody() -> None:
    """The namespace of the request is there, so the one inside of the token is not."""
    script = Script([NO_NAMESPACE], namespaces=[OK])
    decision = await run(script, event())
    assert (decision.disposition, decision.tries) == (Disposition.UNKNOWN, 1)
    assert script.observer.halts == []


async def test_a_configured_namespace_that_is_missing_halts_until_it_is_there() -> None:
    script = Script([NO_NAMESPACE, NO_NAMESPACE, OK], namespaces=[NO_NAMESPACE, NO_NAMESPACE])
    decision = await run(script, event())
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 3)
    assert script.happened("halted", "resumed") == ["halted", "resumed"]


async def test_a_configured_namespace_nobody_can_ask_for_is_not_given_up() -> None:
    script = Script([NO_NAMESPACE, OK], namespaces=[UNAVAILABLE])
    decision = await run(script, event())
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 2)


async def test_by_ids_a_missing_namespace_halts_without_a_question() -> None:
    """There is no token that could name another one."""
    script = Script([OK], findings=[NO_NAMESPACE, STARTED])
    decision = await run(script, event(activity=BY_IDS))
    assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 1)
    assert len(script.observer.halts) == 1


async def test_an_outage_during_the_looks_takes_nothing_of_their_time() -> None:
    """It outlasts `relay.look_timeout`; what is buffered still gets its time to be written."""
    found = (Undetermined("buffered"), Decided(Disposition.APPLIED, "COMPLETED by us"))
    decision = await run(Script([NOT_FOUND], findings=[*[UNAVAILABLE] * 20, *found]), event())
    assert decision.disposition is Disposition.APPLIED


async def test_by_ids_an_outage_takes_nothing_of_an_early_events_time() -> None:
    script = Script([OK], findings=[*[UNAVAILABLE] * 20, WAITING_FOR_A_WORKER, STARTED])
    decision = await run(script, event(activity=BY_IDS))
    assert decision.disposition is Disposition.APPLIED
