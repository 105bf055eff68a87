"""Room `triage`: finds an activity's end in a workflow's history. Core: touches nothing.

Reads Temporal's own messages; what an end says of an event is `evidence`'s to judge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from completion_relay.evidence import End, Question, as_sent, failed_as

_ENDS = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: "activity_task_completed_event_attributes",
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: "activity_task_failed_event_attributes",
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: "activity_task_canceled_event_attributes",
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: "activity_task_timed_out_event_attributes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An activity's end, and for which questions about an activity of its id it stands."""

    end: End
    scheduled_event_id: int
    activity_id: str
    """Empty where the Scheduled event was not read."""
    since: int
    """It is the activity that an event by ids means which occurred at this time, Unix nanoseconds,"""
    until: int
    """or later, but before this: the id could not be used again before the activity had ended."""


@dataclass(frozen=True, slots=True)
class _Ended:
    end: End
    at: int


class HistoryReader:
    """Reads a workflow's history from its newest event backwards until the question is answered.

    An activity's end names only the id of its Scheduled event, which alone names
    the activity and comes earlier in history: so the ends are kept until it
    appears, as proofs alone. A history's payloads may be of any size.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self._ends: dict[int, _Ended] = {}
        self._starts: dict[int, tuple[int, str]] = {}
        """Attempt and `Failure.source` of the failure before it, by Scheduled event."""
        self._scheduled: int | None = question.scheduled_event_id or None
        self._scheduled_at = 0
        self._activity_id = ""
        self._later: int | None = None
        self.has_read_enough = False
        """Whether the history was read back to where the question ends."""
        self.events = 0
        """How many events were read."""

    def read(self, events: Iterable[HistoryEvent]) -> bool:
        """Take in events, newest first; True when the rest of the history is not needed."""
        for event in events:
            self.events += 1
            if event.event_type in _ENDS:
                scheduled, ended = _ended(event)
                self._ends[scheduled] = ended
            elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                started = event.activity_task_started_event_attributes
                self._starts.setdefault(
                    started.scheduled_event_id,
                    (started.attempt, as_sent(started.last_failure).source),
                )
            if self._is_the_last_needed(event):
                self.has_read_enough = True
                return True
        return False

    def _is_the_last_needed(self, event: HistoryEvent) -> bool:
        is_scheduled = event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        activity_id = event.activity_task_scheduled_event_attributes.activity_id
        place = self._question.scheduled_event_id
        if place:
            if is_scheduled and event.event_id == place:
                self._take(event, activity_id)
            # Nothing about an activity stands before its Scheduled event, and
            # thousands of events may have come since then.
            return event.event_id <= place or self._has_end_and_start(place)
        if not is_scheduled or activity_id != self._question.activity_id:
            return False
        self._take(event, activity_id)
        if self._question.is_too_late(self._scheduled_at):
            self._later = event.event_id
            return False
        self._scheduled = event.event_id
        return True

    def _take(self, scheduled: HistoryEvent, activity_id: str) -> None:
        self._scheduled_at = scheduled.event_time.ToNanoseconds()
        self._activity_id = activity_id

    def _has_end_and_start(self, scheduled: int) -> bool:
        ended = self._ends.get(scheduled)
        return ended is not None and (not ended.end.started_event_id or scheduled in self._starts)

    def conclude(self) -> None:
        """Take note that there is no older history: an event may be earlier than its activity."""
        self.has_read_enough = True
        if self._scheduled is None:
            self._scheduled = self._later

    @property
    def was_scheduled(self) -> bool:
        """Whether the activity was found in the history that was read."""
        return self._scheduled is not None

    @property
    def is_early(self) -> bool:
        """Whether the event came before the only activity of its id."""
        return self._scheduled is not None and self._scheduled == self._later

    def end(self) -> End | None:
        """Return how the activity ended and who did it; None: no end was read."""
        ended = self._ends.get(self._scheduled or 0)
        if ended is None:
            return None
        attempt, retried_from = self._starts.get(self._scheduled or 0, (0, ""))
        return replace(ended.end, attempt=attempt, retried_from=retried_from)

    def found(self) -> Found | None:
        """Return the end with the questions it stands for; None where it may not stand for others."""
        end = self.end()
        if end is None or not self.has_read_enough or self._scheduled is None:
            return None
        return Found(
            end=end,
            scheduled_event_id=self._scheduled,
            activity_id=self._activity_id,
            # What came before the only activity of the id is for it, too.
            since=1 if self.is_early else self._scheduled_at,
            until=self._ends[self._scheduled].at,
        )


def _ended(event: HistoryEvent) -> tuple[int, _Ended]:
    attributes = getattr(event, _ENDS[event.event_type])
    is_timeout = event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT
    end = End(
        event_id=event.event_id,
        kind=EventType.Name(event.event_type).removeprefix("EVENT_TYPE_"),
        outcomes=_outcomes(event),
        identity="" if is_timeout else attributes.identity,
        started_event_id=attributes.started_event_id,
    )
    return attributes.scheduled_event_id, _Ended(end, event.event_time.ToNanoseconds())


def _outcomes(end: HistoryEvent) -> tuple[str, ...]:
    """Return the outcomes that may have ended an activity in this way."""
    match end.event_type:
        case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            return ("completed",)
        case EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
            return ("canceled",)
        case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
            return failed_as(as_sent(end.activity_task_failed_event_attributes.failure))
        case _:
            return ()
