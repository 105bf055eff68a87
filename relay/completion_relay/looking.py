"""Room `pipeline`: looking into what became of one event's activity, once or until it is known.

The loop around `triage.py`'s looks: history lags, an event by ids may be early,
a look may fail as a call may. Touches triage and the clock, as `Means`.
"""

from __future__ import annotations

from collections.abc import Callable

from completion_relay.decision import Park
from completion_relay.evidence import Decided, Finding, NotScheduled, Pending, Question
from completion_relay.triage import question_for
from completion_relay.verdict import (
    Answer,
    DeadLetter,
    Halt,
    Sign,
    Tried,
    backoff,
    judge,
    sign_of,
)
from completion_relay.waiting import Waiting
from completion_schemas.dispositions import Disposition
from completion_schemas.events import CompletionEvent


class Looking:
    """One event's looks."""

    __slots__ = ("_event", "_waiting", "_was_trial", "looked_at")

    def __init__(self, event: CompletionEvent, waiting: Waiting) -> None:
        """Look at nothing yet.

        Args:
            event: Whose activity is looked at.
            waiting: Its waits.
        """
        self._event = event
        self._waiting = waiting
        self.looked_at = 0.0
        """When the latest look was made, seconds of the clock: not before there was a permit for it."""
        self._was_trial = False
        """Whether it was the trial of a namespace where one event at a time tries."""

    async def once(self) -> Finding | Answer | Park | None:
        """Return what one look finds; None where neither ids nor a readable token tell where."""
        question = question_for(self._event, self._waiting.mark)
        return None if question is None else await self._find(question)

    async def is_still_pending(self) -> bool:
        """Look once more, a permit in hand, and return whether a call by ids would be right.

        False also where the look fails, or does not tell: one may not wait with a permit.
        """
        question = question_for(self._event, self._waiting.mark)
        if question is None:
            return False
        found = await self._found(question, is_trial=True)
        return isinstance(found, Pending) and self._doubt(found, until_pending=True) is None

    async def until_known(
        self, *, until_pending: bool, gives_up: Callable[[], bool], may_land: bool = False
    ) -> Decided | Pending | DeadLetter | Park:
        """Look until it is known what became of the activity; bounded.

        Args:
            until_pending: Before a call by ids: a pending activity is what is
                hoped for. Otherwise it only tells something where the event is given up.
            gives_up: Whether the event makes no further call, as with its deadline passed.
            may_land: Whether one of its calls had no answer, and it matters that it may still arrive:
                then a pending activity has to be so to the end of `relay.look_timeout`.
        """
        # Here and not for every event: only a look needs the token read.
        question = question_for(self._event, self._waiting.mark)
        if question is None:
            return Decided(Disposition.UNKNOWN, "there are no ids, and the token cannot be read")
        waiting, clock = self._waiting, self._waiting.means.clock
        patience = waiting.means.patience
        started = counted = lags_since = clock.monotonic()
        looks = 0
        while True:
            asked = clock.monotonic()
            found = await self._find(question)
            if isinstance(found, Park | Decided):
                return found
            if isinstance(found, Answer):
                given_up = await self._on_failed_look(found)
                if given_up is not None:
                    return given_up
                # An outage takes nothing of the time that history may lag.
                lost = clock.monotonic() - asked
                started, counted, lags_since = started + lost, counted + lost, lags_since + lost
                continue
            lost = self.looked_at - asked  # nor does an outage that ended before the look
            started, counted, lags_since = started + lost, counted + lost, lags_since + lost
            is_given_up = not until_pending and gives_up()
            doubt = self._doubt(found, until_pending=until_pending, is_given_up=is_given_up)
            now = clock.monotonic()
            if isinstance(found, Pending) and doubt is None:
                if not may_land or now - started >= patience.look_timeout:
                    waiting.so_far.early_for = 0.0
                    return found
                # What lands now may be in history later than it is pending no more.
                lags_since = now
            if until_pending and isinstance(found, Pending | NotScheduled) and doubt is not None:
                waiting.so_far.early_for += now - counted
                # Nor does history lag yet: an activity that was scheduled in the middle of a look, after
                # twenty seconds of none, was `unknown` at that look, and no call was made.
                counted = lags_since = now
                if waiting.so_far.early_for >= patience.early_timeout:
                    return _unknown(doubt, patience.early_timeout)
                park = waiting.for_its_activity(doubt)
                if park is not None:
                    return park
            elif doubt is not None and now - lags_since >= patience.look_timeout:
                return _unknown(doubt, patience.look_timeout)
            looks += 1
            await self._waiting.pause(
                backoff(looks, initial=0.05, maximum=1.0, rng=self._waiting.means.rng)
            )

    async def _find(self, question: Question) -> Finding | Answer | Park:
        """Look once, when the cluster is there; where one event at a time tries, that is a trial, too."""
        known = self._known(question)
        if known is not None:
            return known  # nobody has to be there for that
        permits = await self._waiting.for_a_look()
        if isinstance(permits, Park):
            return permits
        try:
            return await self._found(question, is_trial=permits is self._waiting.bulkhead)
        finally:
            permits.leave()

    def _known(self, question: Question) -> Decided | None:
        return self._waiting.means.triage.known(self._waiting.namespace, question)

    async def _found(self, question: Question, *, is_trial: bool) -> Finding | Answer:
        known = self._known(question)
        if known is not None:
            # Learned while this one waited. Temporal was not asked, so it is no answer of its: the
            # doubt about a cluster, and the trial of a namespace, stay what they were.
            return known
        means, bulkhead = self._waiting.means, self._waiting.bulkhead
        self.looked_at = started = means.clock.monotonic()
        self._was_trial = is_trial
        found = await means.triage.find(self._waiting.namespace, question)
        if not isinstance(found, Answer):
            means.gate.answered()
            bulkhead.looked(started=started, ended=means.clock.monotonic())
            return found
        sign = sign_of(found)
        means.gate.noted(self._waiting.mark, sign)
        if sign is Sign.HALTED:
            why = f"{found.status}: {found.message}"
            bulkhead.refused_all(why, started=started, is_look=True, is_trial=is_trial)
        elif sign is Sign.THROTTLED:
            # Temporal counts looks and completions against the same limits. To the event it is
            # neither a try nor a refusal.
            bulkhead.throttled(started=started, is_look=True, is_trial=is_trial)
        elif sign is Sign.FAILING and bulkhead.is_on_trial:
            # Else one look after the other would be made of a namespace that does not answer them.
            mark = self._waiting.mark
            bulkhead.failed(mark, started=started, is_look=True, is_trial=is_trial)
        return found

    async def _on_failed_look(self, answer: Answer) -> DeadLetter | Park | None:
        verdict = judge(answer, outcome="look", tried=Tried)
        if isinstance(verdict, DeadLetter):
            return verdict
        if isinstance(verdict, Halt) and self._was_trial:
            return None  # its next one waits for its turn, after a backoff of the namespace's
        # One that was refused beside the trials waits itself: where completions are taken and history may
        # not be read, each completion resumed the namespace, and each look halted it, nine times a second.
        return await self._waiting.after(answer)

    def _doubt(
        self, found: Finding, *, until_pending: bool, is_given_up: bool = False
    ) -> str | None:
        """Return why what was found is no reason to go on; None: it is one."""
        if not isinstance(found, Pending):
            return found.detail
        if not until_pending:
            return None if is_given_up else "the activity is pending, but not for this token"
        if not found.is_started:
            return "the activity is not started"
        attempt = self._event.activity.attempt
        if attempt and found.attempt != attempt:
            return f"the activity is at attempt {found.attempt}, the event is for {attempt}"
        return None


def _unknown(doubt: str, seconds: float) -> Decided:
    return Decided(Disposition.UNKNOWN, f"{doubt}, after {seconds:g} s")
