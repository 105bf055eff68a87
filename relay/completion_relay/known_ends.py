"""Room `triage`: remembers how activities ended. Core: touches nothing.

A hundred duplicates of one event cost one look. Only an end is remembered: it
stands in a history that is only ever appended to, while an activity that is
pending, buffered or not scheduled may be something else a moment later.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from cachetools import TTLCache

from completion_relay.evidence import End, Question
from completion_relay.history import Found

MOST = 10_000
"""Ends that are remembered, the least recently used forgotten first: a few MB."""

SECONDS = 600.0
"""For how long: a failover between Temporal's own clusters may still replace the newest part of a
history, and duplicates come close together."""


class KnownEnds:
    """How activities of one cluster ended, as far as somebody has looked lately."""

    def __init__(
        self, monotonic: Callable[[], float], *, most: int = MOST, seconds: float = SECONDS
    ) -> None:
        """Know nothing yet.

        Args:
            monotonic: Time, seconds.
            most: How many entries are kept; an end takes one or two.
            seconds: For how long.
        """
        self._known: TTLCache[Hashable, Found] = TTLCache(most, seconds, timer=monotonic)

    def by_place(self, namespace: str, question: Question) -> End | None:
        """Return the end of the activity that the question names by its place in history."""
        if not question.scheduled_event_id:
            return None
        found = self._known.get(_place(namespace, question, question.scheduled_event_id))
        return found.end if found else None

    def by_id(self, namespace: str, question: Question) -> End | None:
        """Return the end of the activity that the question means by its id.

        A run may use an activity id again, even after this end was learned. The
        end stands for events that occurred before it: the id was taken till then.
        """
        if question.scheduled_event_id:
            return None
        found = self._known.get(_id(namespace, question, question.activity_id))
        if found is None or not found.since <= question.occurred_at < found.until:
            return None
        return found.end

    def learn(self, namespace: str, question: Question, found: Found) -> None:
        """Remember an end that was found in the history of the question's run."""
        self._known[_place(namespace, question, found.scheduled_event_id)] = found
        if found.activity_id:
            self._known[_id(namespace, question, found.activity_id)] = found


def _place(namespace: str, question: Question, scheduled_event_id: int) -> Hashable:
    return (namespace, question.workflow_id, question.run_id, scheduled_event_id)


def _id(namespace: str, question: Question, activity_id: str) -> Hashable:
    return (namespace, question.workflow_id, question.run_id, activity_id)
