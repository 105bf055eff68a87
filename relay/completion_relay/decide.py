"""Room `pipeline`: one event's way to its final outcome at Temporal.

The loop of tries: send, judge the answer, and look, wait or give in as the
verdict says. An ambiguous answer is followed by another try until one is
definite (invariant 5). How it waits is `waiting.py`'s. Touches completer, triage
and the clock, as `Means`.
"""

from __future__ import annotations

import dataclasses
from asyncio import CancelledError
from typing import overload

from completion_relay.decision import Decision, Former, Park
from completion_relay.evidence import Decided, Pending
from completion_relay.identity import RecordMark
from completion_relay.instead import callee_canceled, is_called_too_large, too_large
from completion_relay.lanes import Lane, OvertakenError
from completion_relay.looking import Looking
from completion_relay.means import Means
from completion_relay.measuring import Measure
from completion_relay.place import LetGoError, Place
from completion_relay.verdict import (
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
    judge,
    sign_of,
)
from completion_relay.waiting import Waiting
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import CompletionEvent, Failed, Heartbeat, Outcome
from completion_schemas.failures import application_failure

_PROOFS = 3
"""How often in a row a refused call must be followed by a look that finds the activity pending before
the event is given up: a server that comes back may read a moment before it writes."""

_FRESH = Former()


@overload
async def decide(
    means: Means, event: CompletionEvent, namespace: str, mark: RecordMark
) -> Decision: ...
@overload
async def decide(
    means: Means,
    event: CompletionEvent,
    namespace: str,
    mark: RecordMark,
    *,
    place: Place,
    former: Former = ...,
    lane: Lane | None = ...,
) -> Decision | Park: ...
async def decide(
    means: Means,
    event: CompletionEvent,
    namespace: str,
    mark: RecordMark,
    *,
    place: Place | None = None,
    former: Former = _FRESH,
    lane: Lane | None = None,
) -> Decision | Park:
    """Return the event's final outcome, however long it takes, or that it should wait elsewhere.

    Args:
        means: What to work with; of the event's cluster.
        event: What to apply.
        namespace: Where.
        mark: The record's mark.
        place: Where it waits: it gives in where others need the room. None: it waits on, always.
        former: What a parked record brings along.
        lane: The later events of its activity, where they make it worthless: a heartbeat's.

    Raises:
        LetGoError: the place is given up, and the event, which only waited, is undecided.
    """
    waiting = Waiting(means, namespace, mark, place=place, former=former, lane=lane)
    return await _Way(event, waiting).go()


class _Way:
    """One event on its way: what has been tried and said so far."""

    __slots__ = (
        "_bulkhead",
        "_doubted_at",
        "_event",
        "_looked_at",
        "_means",
        "_measure",
        "_namespace",
        "_note",
        "_outcome",
        "_proofs",
        "_refused",
        "_so_far",
        "_waiting",
    )

    def __init__(self, event: CompletionEvent, waiting: Waiting) -> None:
        self._event = event
        self._waiting = waiting
        self._means = waiting.means
        self._bulkhead = waiting.bulkhead
        self._so_far = waiting.so_far
        self._namespace = waiting.namespace
        self._outcome: Outcome = event.outcome
        self._note = ""
        self._refused: DeadLetter | None = None
        """What is said in the end although Temporal took the failure sent instead."""
        self._measure = Measure(event.outcome, waiting)
        self._looked_at = 0.0
        """When the latest look before a call was made, seconds of the clock."""
        self._proofs = 0
        """Refusals in a row that were the event's own."""
        self._doubted_at = 0.0
        """When the first of them came, seconds of the clock."""

    async def go(self) -> Decision | Park:
        try:
            self._waiting.heed_later_ones()
            return await self._go()
        except OvertakenError:
            return self._so_far.decision(
                Disposition.COALESCED, "a later event of the activity is here already"
            )

    async def _go(self) -> Decision | Park:
        park = await self._measure.take()
        if park is not None:
            return park
        if self._measure.over:
            refused = self._too_large(self._measure.over)
            if refused is not None:
                return refused
        while True:
            try:
                decision = await self._try()
            except (LetGoError, CancelledError):
                # What is still asked when a drain ends is cancelled, and its journal is open until
                # then. A cancellation of another kind finds the place not given up.
                if not (self._waiting.is_given_up and self._has_to_tell):
                    raise
                return self._waiting.park("a call of it may still arrive", itself=True)
            if isinstance(decision, Park):
                return decision
            if decision is not None:
                return self._final(decision)

    async def _try(self) -> Decision | Park | None:
        by_ids, monotonic = self._is_by_ids, self._means.clock.monotonic
        if by_ids:
            # By ids Temporal checks neither attempt nor start, and a failure
            # delivered twice burns two attempts (seen on server 1.32.0).
            found = await self._look(until_pending=True)
            if not isinstance(found, Pending):
                return found
        means, bulkhead = self._means, self._bulkhead
        has_waited = means.gate.is_closed or not bulkhead.try_enter()
        if has_waited:
            park = await self._waiting.for_a_permit()
            if park is not None:
                return park
        waiting = self._waiting
        try:
            if self._measure.is_over_a_guess:
                has_waited = True  # for as long as a call may last
                if await self._measure.take_again():
                    self._refused, self._outcome = None, self._event.outcome
                    if self._measure.over:
                        self._too_large(self._measure.over)
            # A relay that was suspended may have been so for longer than an attempt lasts, too. By default
            # no look takes as long by itself: of a slow server each would be made twice.
            has_waited |= monotonic() - self._looked_at > means.patience.look_timeout
            # Meanwhile the attempt may have timed out, and another one would be completed. Not the
            # permit first and then the only look: a look may go on for `relay.early_timeout`, and
            # duplicates, which one look sorts out, would take permits from completions.
            if by_ids and has_waited and not await self._looking().is_still_pending():
                return None  # what it is now, the next round's look says, which may wait
            waiting.heed_later_ones()
            self._so_far.calls_now()
            started = monotonic()
            answer = await means.completer.send(
                self._namespace, self._event.activity, self._outcome, str(self._waiting.mark)
            )
            ended = monotonic()
            means.observer.called(self._event.type, answer, ended - started)
            sign = sign_of(answer)
            if sign is Sign.HALTED and await self._is_of_a_lost_namespace(answer):
                sign = Sign.WELL
            waiting.heard(answer, sign, started=started, ended=ended)
        finally:
            bulkhead.leave()
        return await self._act_on(answer, sign)

    @property
    def _is_by_ids(self) -> bool:
        return not self._event.activity.task_token

    @property
    def _has_to_tell(self) -> bool:
        """Whether a parked copy has to say that a call may land.

        Whoever has the partition next would look once and call, and both may land.
        """
        return self._is_by_ids and self._so_far.may_land and _is_retried(self._outcome)

    async def _act_on(self, answer: Answer, sign: Sign) -> Decision | Park | None:
        verdict = judge(answer, outcome=self._outcome.type, tried=self._tried)
        match verdict:
            case Applied():
                asks = answer.cancel_requested or answer.paused or answer.reset
                detail = (
                    f"Temporal changed what it took: {answer.message}" if answer.message else ""
                )
                return self._so_far.decision(
                    Disposition.APPLIED, detail, signal=answer if asks else None
                )
            case Look():
                found = await self._look(until_pending=False)
                if isinstance(found, Pending):
                    # The deadline has passed: else a pending activity is looked at again.
                    return self._so_far.decision(
                        Disposition.EXPIRED,
                        f"the deadline has passed; the last answer was {answer.status}",
                    )
                return found
            case ReportAsFailed():
                self._note = f"reported as failed (CalleeCanceled), for {answer.message}"
                self._outcome = callee_canceled()
                return None
            case DeadLetter(DeadLetterReason.TOO_LARGE, detail) if self._refused is None:
                return self._too_large(detail)
            case DeadLetter():
                return self._so_far.dead_letter(verdict)
            case Halt() if sign is Sign.WELL:
                return self._so_far.decision(
                    Disposition.UNKNOWN,
                    f"namespace {self._namespace} is there, but the token is of one that is not "
                    "(any more)",
                )
            case Halt():
                return None  # the bulkhead tells whose turn it is to try
            case Doubt():
                return await self._doubted(answer)
            case Retry():
                self._proofs = 0
                return await self._waiting.after(answer)

    def _tried(self) -> Tried:
        return Tried(
            tries=self._so_far.tries,
            refused_for=self._so_far.refused_for(self._means.clock.now()),
            budget=self._means.patience.retry_budget,
            deadline_passed=self._deadline_has_passed(),
        )

    async def _doubted(self, answer: Answer) -> Decision | Park | None:
        """Give the event up if nothing but itself is refused: its workflow's shard answers."""
        found = await self._looking().once()
        if isinstance(found, Park):
            return found
        if isinstance(found, Decided):
            return self._known(found)
        self._proofs = self._proofs + 1 if isinstance(found, Pending) else 0
        # With several failing, or none getting through meanwhile, it may be the namespace: a
        # database that reads and cannot write must not drain the topic, nor take the only event.
        if self._proofs == 1:
            self._doubted_at = self._means.clock.monotonic()
        others_get_through = self._bulkhead.completed_at > self._doubted_at
        is_doubted = self._proofs >= _PROOFS and others_get_through
        if is_doubted and not self._bulkhead.is_sick:
            last = await self._look(until_pending=False, is_given_up=True)
            if not isinstance(last, Pending):
                return last
            refused_for = self._so_far.refused_for(self._means.clock.now())
            return self._so_far.dead_letter(
                DeadLetter(
                    DeadLetterReason.EXHAUSTED,
                    f"refused for {refused_for:.0f} s, at last with "
                    f"{answer.status}: {answer.message}; the activity is pending, and its workflow "
                    "can be described",
                )
            )
        return await self._waiting.after(answer)

    async def _is_of_a_lost_namespace(self, answer: Answer) -> bool:
        # A token names its namespace by id: one of a namespace that was made anew,
        # or of another cluster, is answered as if the request's were missing
        # (facts A), and may not halt it.
        if not self._event.activity.task_token or NAMESPACE_NOT_FOUND not in answer.details:
            return False
        described = await self._means.completer.describe_namespace(self._namespace)
        return described.status is Status.OK

    def _too_large(self, detail: str) -> Decision | None:
        """Fail the waiting activity instead; a heartbeat decides nothing and fails nothing."""
        verdict = DeadLetter(DeadLetterReason.TOO_LARGE, detail)
        if isinstance(self._outcome, Heartbeat):
            return self._so_far.dead_letter(verdict)
        self._refused = verdict
        self._outcome = too_large(self._event.type, detail)
        return None

    async def _look(
        self, *, until_pending: bool, is_given_up: bool = False
    ) -> Decision | Park | Pending:
        # What ends an activity ends it once, but a failure by ids fails the next attempt, too; and
        # of a heartbeat nobody can see whether it has landed.
        matters = (
            _is_retried(self._outcome)
            if until_pending
            else not isinstance(self._outcome, Heartbeat)
        )
        looking = self._looking()
        found = await looking.until_known(
            until_pending=until_pending,
            gives_up=lambda: is_given_up or self._deadline_has_passed(),
            may_land=self._so_far.may_land and matters,
        )
        self._looked_at = looking.looked_at
        match found:
            case Decided():
                return self._known(found)
            case DeadLetter():
                return self._so_far.dead_letter(found)
            case Pending() if until_pending and matters:
                self._so_far.may_land = False  # or it would have landed
                return found
            case _:
                return found

    def _known(self, found: Decided) -> Decision:
        if (
            found.in_its_stead
            and self._refused is None
            and not is_called_too_large(self._event.outcome)
        ):
            # It did so in an earlier life, and died before it could say so; the limit may have been
            # raised since, or have been a guess then.
            return self._so_far.dead_letter(
                DeadLetter(DeadLetterReason.TOO_LARGE, f"failed in its stead: {found.detail}")
            )
        return self._so_far.decision(found.disposition, found.detail)

    def _looking(self) -> Looking:
        return Looking(self._event, self._waiting)

    def _deadline_has_passed(self) -> bool:
        expires_at = self._event.expires_at
        return expires_at is not None and expires_at < self._means.clock.now()

    def _final(self, decision: Decision) -> Decision:
        if self._refused is not None and decision.disposition in (
            Disposition.APPLIED,
            Disposition.DUPLICATE,
        ):
            return self._so_far.dead_letter(self._refused)
        detail = "; ".join(part for part in (decision.detail, self._note) if part)
        if (
            isinstance(self._event.outcome, Heartbeat)
            and decision.disposition is Disposition.CONFLICT
        ):
            # A heartbeat decides nothing: what ended the activity overtook it.
            return self._so_far.decision(Disposition.COALESCED, detail)
        return dataclasses.replace(decision, detail=detail) if self._note else decision


def _is_retried(outcome: Outcome) -> bool:
    """Whether Temporal may answer an outcome with another attempt, which a second call would meet."""
    if not isinstance(outcome, Failed):
        return False
    return not application_failure(outcome.failure).application_failure_info.non_retryable
