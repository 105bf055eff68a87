"""Room `tests`: descriptions and histories in Temporal's own messages, made by hand."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from temporalio.api.enums.v1 import EventType, PendingActivityState
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure, ServerFailureInfo
from temporalio.api.history.v1 import (
    ActivityTaskCanceledEventAttributes,
    ActivityTaskCompletedEventAttributes,
    ActivityTaskFailedEventAttributes,
    ActivityTaskScheduledEventAttributes,
    ActivityTaskStartedEventAttributes,
    ActivityTaskTimedOutEventAttributes,
    HistoryEvent,
)
from temporalio.api.workflow.v1 import PendingActivityInfo

from completion_relay.evidence import Question
from completion_relay.identity import RecordMark

OWN = RecordMark("e-1", "completions", 3, 7)
SAME_EVENT = str(RecordMark("e-1", "completions", 3, 99))
DIRECTLY = "completion-relay/e-1@direct"
OTHER_EVENT = str(RecordMark("e-2", "completions", 3, 7))
A_WORKER = "1@host"

QUESTION = Question(
    mark=OWN,
    outcome="completed",
    workflow_id="w",
    run_id="r",
    activity_id="a",
    attempt=1,
    scheduled_event_id=5,
)
BY_IDS = replace(QUESTION, attempt=0, scheduled_event_id=0, occurred_at=200)


def scheduled(event_id: int, activity_id: str = "a", *, at: int = 0) -> HistoryEvent:
    event = HistoryEvent(
        event_id=event_id,
        event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        activity_task_scheduled_event_attributes=ActivityTaskScheduledEventAttributes(
            activity_id=activity_id
        ),
    )
    event.event_time.FromNanoseconds(at)
    return event


def started(
    event_id: int, *, of: int, attempt: int = 1, retried_from: str | None = None
) -> HistoryEvent:
    return HistoryEvent(
        event_id=event_id,
        event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
        activity_task_started_event_attributes=ActivityTaskStartedEventAttributes(
            scheduled_event_id=of,
            attempt=attempt,
            identity=A_WORKER,
            last_failure=None if retried_from is None else failure("", source=retried_from),
        ),
    )


def ended(
    event_id: int, how: str, *, of: int, by: str = A_WORKER, start: int = 6, at: int = 0
) -> HistoryEvent:
    """Return the end of an activity; `how` is the outcome, for a failure its type."""
    event = _ended(event_id, how, of=of, by=by, start=start)
    event.event_time.FromNanoseconds(at)
    return event


def _ended(event_id: int, how: str, *, of: int, by: str, start: int) -> HistoryEvent:
    match how:
        case "completed":
            return HistoryEvent(
                event_id=event_id,
                event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
                activity_task_completed_event_attributes=ActivityTaskCompletedEventAttributes(
                    scheduled_event_id=of, started_event_id=start, identity=by
                ),
            )
        case "canceled":
            return HistoryEvent(
                event_id=event_id,
                event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
                activity_task_canceled_event_attributes=ActivityTaskCanceledEventAttributes(
                    scheduled_event_id=of, started_event_id=start, identity=by
                ),
            )
        case "timed out":
            return HistoryEvent(
                event_id=event_id,
                event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
                activity_task_timed_out_event_attributes=ActivityTaskTimedOutEventAttributes(
                    scheduled_event_id=of, started_event_id=start
                ),
            )
        case _:
            return HistoryEvent(
                event_id=event_id,
                event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED,
                activity_task_failed_event_attributes=ActivityTaskFailedEventAttributes(
                    scheduled_event_id=of,
                    started_event_id=start,
                    identity=by,
                    failure=failure(how),
                ),
            )


def failure(type_name: str, *, source: str = "") -> Failure:
    return Failure(source=source, application_failure_info=ApplicationFailureInfo(type=type_name))


def pending(
    *,
    attempt: int = 1,
    last_failure_by: str | None = None,
    last_failure_type: str = "",
    is_started: bool = True,
) -> PendingActivityInfo:
    return PendingActivityInfo(
        activity_id="a",
        attempt=attempt,
        state=PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        if is_started
        else PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
        last_failure=None
        if last_failure_by is None
        else failure(last_failure_type, source=last_failure_by),
    )


def shortened(original: Failure) -> Failure:
    """Return what Temporal keeps in place of a failure that is too large."""
    return Failure(
        message="Failure exceeds size limit.",
        server_failure_info=ServerFailureInfo(),
        cause=original,
    )


STANDS_FOR = {
    "completed": {"completed"},
    "canceled": {"canceled"},
    "SomeError": {"failed"},
    "ResultTooLarge": {"failed", "completed", "canceled"},
    "CalleeCanceled": {"failed", "canceled"},
}
"""By what ended an activity, the outcomes of which that may be the end."""


@st.composite
def histories(draw: st.DrawFn, ids: str = "abc") -> list[HistoryEvent]:
    """A run's history, oldest first: activities of few ids, side by side and one after the other."""
    history: list[HistoryEvent] = []
    open_activities: dict[int, str] = {}
    starts: dict[int, int] = {}
    for event_id in range(1, draw(st.integers(1, 25)) + 1):
        idle = [name for name in ids if name not in open_activities.values()]
        if idle and (not open_activities or draw(st.booleans())):
            activity_id = draw(st.sampled_from(idle))
            open_activities[event_id] = activity_id
            history.append(scheduled(event_id, activity_id, at=event_id * 10))
            continue
        of = draw(st.sampled_from(sorted(open_activities)))
        if draw(st.booleans()):
            retried_from = draw(st.none() | st.sampled_from([str(OWN), SAME_EVENT, A_WORKER]))
            attempt = draw(st.integers(1, 3))
            history.append(started(event_id, of=of, attempt=attempt, retried_from=retried_from))
            starts[of] = event_id
        else:
            how = draw(st.sampled_from([*STANDS_FOR, "timed out"]))
            by = draw(st.sampled_from([str(OWN), SAME_EVENT, OTHER_EVENT, A_WORKER]))
            history.append(ended(event_id, how, of=of, by=by, start=starts.get(of, 0)))
            del open_activities[of]
    for event in history:
        event.event_time.FromNanoseconds(event.event_id * 10)
    return history
