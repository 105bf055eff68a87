"""Room `triage`: what a description and an activity's end say about an event. Core: touches nothing.

Temporal answers NOT_FOUND alike for done, timed out, newer attempt and closed
workflow. What tells them apart is the mark (`identity`) that every request of a
relay leaves in history, and in `Failure.source` where a failure was answered
with a retry and left no history at all (both seen on server 1.32.0).
"""

from __future__ import annotations

from dataclasses import dataclass

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo

from completion_relay.identity import RecordMark, event_id_in
from completion_schemas.dispositions import Disposition

CALLEE_CANCELED = "CalleeCanceled"
"""Type of the failure that a cancellation is reported as when nobody had asked for one."""

RESULT_TOO_LARGE = "ResultTooLarge"
"""Type of the failure that an outcome which Temporal would not take is reported as."""

_REPORTED_AS_FAILED = {
    CALLEE_CANCELED: ("failed", "canceled"),
    RESULT_TOO_LARGE: ("failed", "completed", "canceled"),
}


def as_sent(failure: Failure) -> Failure:
    """Return the failure as its sender made it, shortened where it was too large.

    Temporal keeps 4 KiB of one that it retries, and the blob limit of one that ends an
    activity. What is larger becomes the cause of a failure of its own, which has no
    source (seen on server 1.32.0). It keeps the source before it keeps the message.
    """
    is_replaced = failure.HasField("server_failure_info") and failure.HasField("cause")
    return failure.cause if is_replaced else failure


def failed_as(failure: Failure) -> tuple[str, ...]:
    """Return the outcomes that a failure may stand for, by its type.

    Ours also stands for a cancellation that nobody had asked for, and for an
    outcome that was too large.
    """
    return _REPORTED_AS_FAILED.get(failure.application_failure_info.type, ("failed",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which activity is looked for, and on behalf of which record."""

    mark: RecordMark
    outcome: str
    """The type of the event's outcome, such as `completed`."""
    workflow_id: str
    run_id: str
    activity_id: str
    attempt: int = 0
    """The attempt that handed off; 0 is not known."""
    scheduled_event_id: int = 0
    """The activity's place in history; 0 is not known."""
    occurred_at: int = 0
    """For a reference by ids, when the event occurred, Unix nanoseconds: a run may use an
    activity id again, and the event is not for an activity or an attempt that came after it."""

    def is_too_late(self, scheduled_at: int) -> bool:
        """Whether what was scheduled then may be a later activity of the id, or a later attempt."""
        return bool(self.occurred_at) and scheduled_at > self.occurred_at


@dataclass(frozen=True, slots=True)
class Decided:
    """It is known what became of the event."""

    disposition: Disposition
    detail: str
    in_its_stead: bool = False
    """Whether the event's own record ended the activity by a failure in its stead, for being too large."""
    of_another_in_its_stead: bool = False
    """The same of another record of the event, which this one repeats."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The activity waits, with the attempt that the event is for."""

    attempt: int
    is_started: bool


@dataclass(frozen=True, slots=True)
class Undetermined:
    """Nothing tells yet; worth another look."""

    detail: str


@dataclass(frozen=True, slots=True)
class NotScheduled(Undetermined):
    """The workflow runs and has never scheduled such an activity: the event may be early."""


Finding = Decided | Pending | Undetermined


def from_pending(
    question: Question, pending: PendingActivityInfo, *, is_newer: bool = False
) -> Finding:
    """Return what a pending activity says of the event.

    Args:
        question: What is looked for.
        pending: As Describe shows it.
        is_newer: Whether its current attempt is known to be newer than the event.
    """
    failure = as_sent(pending.last_failure)
    is_newer = is_newer or (bool(question.attempt) and pending.attempt > question.attempt)
    outcomes = failed_as(failure)
    by_this_event = _attribution(question, failure.source, outcomes)
    if by_this_event in (Disposition.APPLIED, Disposition.DUPLICATE):
        return Decided(
            by_this_event,
            f"Temporal took the failure and retries the activity, now at attempt {pending.attempt}",
            **_in_whose_stead(by_this_event, outcomes),
        )
    if by_this_event is Disposition.CONFLICT:
        return Decided(
            by_this_event,
            "Temporal took a failure of the same event id and retries the activity, now at attempt "
            f"{pending.attempt}",
        )
    if is_newer:
        return Decided(
            Disposition.SUPERSEDED,
            f"the activity waits with attempt {pending.attempt}, the event is for "
            f"{f'attempt {question.attempt}' if question.attempt else 'an older one'}",
        )
    return Pending(
        attempt=pending.attempt,
        is_started=pending.state != PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an activity ended and who did it: what history proves once and for all.

    Holds for every question about the activity, whoever asks; no payload of the
    history is kept.
    """

    event_id: int
    """The history event that ended it."""
    kind: str
    """Its type, such as `ACTIVITY_TASK_COMPLETED`."""
    outcomes: tuple[str, ...]
    """The types of the outcomes that may have ended it so; none for a timeout."""
    identity: str = ""
    """Who did it."""
    started_event_id: int = 0
    """The Started event of its last attempt; 0 where that never started."""
    attempt: int = 0
    """The last attempt."""
    retried_from: str = ""
    """`Failure.source` of the failure that the last attempt came after."""

    def judged(self, question: Question) -> Decided:
        """Return what the end says of the event."""
        # A failure that Temporal retried leaves one trace once a newer attempt
        # has ended: the last failure in that attempt's Started event.
        if self.attempt > (question.attempt or 1):
            by_retry = _attribution(question, self.retried_from, ("failed",))
            if by_retry in (Disposition.APPLIED, Disposition.DUPLICATE):
                return Decided(
                    by_retry,
                    "Temporal took the failure and retried the activity (history event "
                    f"{self.started_event_id})",
                )
        if not self.outcomes:
            return Decided(
                Disposition.EXPIRED, f"the activity timed out (history event {self.event_id})"
            )
        disposition = _attribution(question, self.identity, self.outcomes) or Disposition.CONFLICT
        return Decided(
            disposition,
            f"{self.kind} by {self.identity or 'somebody without identity'} (history event "
            f"{self.event_id})",
            **_in_whose_stead(disposition, self.outcomes),
        )


def _in_whose_stead(disposition: Disposition, outcomes: tuple[str, ...]) -> dict[str, bool]:
    is_too_large = outcomes == _REPORTED_AS_FAILED[RESULT_TOO_LARGE]
    return {
        "in_its_stead": is_too_large and disposition is Disposition.APPLIED,
        "of_another_in_its_stead": is_too_large and disposition is Disposition.DUPLICATE,
    }


def _attribution(
    question: Question, identity: str, outcomes: tuple[str, ...]
) -> Disposition | None:
    """Return whether this record or this event left the mark; None: neither did."""
    if event_id_in(identity) != question.mark.event_id:
        return None
    if question.outcome not in outcomes:
        # The same event id with another outcome. The types are compared, not the
        # bytes: an emitter that retries encrypts the same result anew.
        return Disposition.CONFLICT
    return Disposition.APPLIED if identity == str(question.mark) else Disposition.DUPLICATE
