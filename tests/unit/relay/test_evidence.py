"""What a description and a history say about an event, on Temporal's own messages made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent
from tests.unit.relay.histories import (
    A_WORKER,
    BY_IDS,
    DIRECTLY,
    OTHER_EVENT,
    OWN,
    QUESTION,
    SAME_EVENT,
    STANDS_FOR,
    ended,
    histories,
    pending,
    scheduled,
    shortened,
    started,
)

from completion_relay.evidence import Decided, End, Pending, Question, failed_as, from_pending
from completion_relay.history import HistoryReader
from completion_schemas.dispositions import Disposition


@dataclass(frozen=True)
class Conclusion:
    """What a reader says once it has read what it needs."""

    end: Decided | None
    was_scheduled: bool
    is_early: bool
    has_read_enough: bool


def read(question: Question, pages: Iterable[Sequence[HistoryEvent]]) -> Conclusion:
    """Return what is concluded from pages, newest event first, as triage reads them."""
    reader = HistoryReader(question)
    if not any(reader.read(page) for page in pages):
        reader.conclude()
    end = reader.end()
    return Conclusion(
        end.judged(question) if end else None,
        reader.was_scheduled,
        reader.is_early,
        reader.has_read_enough,
    )


def conclusion(question: Question, *oldest_first: HistoryEvent) -> Conclusion:
    return read(question, [list(reversed(oldest_first))])


def became(question: Question, *oldest_first: HistoryEvent) -> Disposition | None:
    end = conclusion(question, *oldest_first).end
    return end.disposition if end else None


@pytest.mark.parametrize(
    ("identity", "disposition"),
    [
        (str(OWN), Disposition.APPLIED),
        (SAME_EVENT, Disposition.DUPLICATE),
        (DIRECTLY, Disposition.DUPLICATE),
        (OTHER_EVENT, Disposition.CONFLICT),
        (A_WORKER, Disposition.CONFLICT),
        ("", Disposition.CONFLICT),
    ],
)
@pytest.mark.parametrize("question", [QUESTION, BY_IDS])
def test_the_mark_on_an_end_tells_who_did_it(
    question: Question, identity: str, disposition: Disposition
) -> None:
    history = (scheduled(5, at=100), started(6, of=5), ended(7, "completed", of=5, by=identity))
    assert became(question, *history) == disposition


@pytest.mark.parametrize("outcome", ["completed", "failed", "canceled", "heartbeat"])
@pytest.mark.parametrize("how", STANDS_FOR)
def test_the_same_event_id_with_another_outcome_is_a_conflict(how: str, outcome: str) -> None:
    """In both directions; but what the relay reports as failed stands for what it was."""
    question = replace(QUESTION, outcome=outcome)
    is_same = outcome in STANDS_FOR[how]
    for identity, same in (
        (str(OWN), Disposition.APPLIED),
        (SAME_EVENT, Disposition.DUPLICATE),
    ):
        history = (scheduled(5), started(6, of=5), ended(7, how, of=5, by=identity))
        assert became(question, *history) == (same if is_same else Disposition.CONFLICT)


def test_an_end_says_who_did_it_and_where_that_stands() -> None:
    end = conclusion(QUESTION, scheduled(5), ended(7, "completed", of=5, by=OTHER_EVENT)).end
    assert end is not None
    assert OTHER_EVENT in end.detail
    assert "7" in end.detail


def test_an_activity_that_timed_out_is_expired() -> None:
    history = (scheduled(5), started(6, of=5), ended(7, "timed out", of=5))
    assert became(QUESTION, *history) is Disposition.EXPIRED


def test_another_activitys_end_is_not_this_ones() -> None:
    history = (
        scheduled(5),
        scheduled(6, "b"),
        started(7, of=6),
        ended(8, "completed", of=6, by=str(OWN), start=7),
    )
    for question in (QUESTION, BY_IDS):
        read_back = conclusion(question, *history)
        assert (read_back.end, read_back.was_scheduled) == (None, True)


@pytest.mark.parametrize("attempt", [0, 1])
@pytest.mark.parametrize(
    ("source", "disposition"),
    [(str(OWN), Disposition.APPLIED), (SAME_EVENT, Disposition.DUPLICATE)],
)
@pytest.mark.parametrize("how", ["completed", "SomeError", "timed out"])
def test_a_retried_failure_is_found_in_the_next_attempts_start(
    how: str, source: str, disposition: Disposition, attempt: int
) -> None:
    """It left no event of its own; also where nobody knows the attempt that handed off."""
    question = replace(QUESTION, outcome="failed", attempt=attempt)
    history = (
        scheduled(5),
        started(6, of=5, attempt=2, retried_from=source),
        ended(7, how, of=5, by=OTHER_EVENT),
    )
    assert became(question, *history) is disposition


def test_a_retried_failure_of_somebody_else_tells_nothing_of_this_event() -> None:
    question = replace(QUESTION, outcome="failed")
    history = (
        scheduled(5),
        started(6, of=5, attempt=2, retried_from=OTHER_EVENT),
        ended(7, "timed out", of=5),
    )
    assert became(question, *history) is Disposition.EXPIRED


def test_the_start_of_the_events_own_attempt_holds_an_older_failure() -> None:
    question = replace(QUESTION, outcome="failed", attempt=2)
    history = (
        scheduled(5),
        started(6, of=5, attempt=2, retried_from=SAME_EVENT),
        ended(7, "completed", of=5, by=OTHER_EVENT),
    )
    assert became(question, *history) is Disposition.CONFLICT


def test_a_first_attempts_start_is_no_proof_of_a_retry() -> None:
    """An operator's reset makes attempts count from 1 again."""
    question = replace(QUESTION, outcome="failed", attempt=0)
    history = (
        scheduled(5),
        started(6, of=5, attempt=1, retried_from=SAME_EVENT),
        ended(7, "timed out", of=5),
    )
    assert became(question, *history) is Disposition.EXPIRED


@pytest.mark.parametrize("outcome", ["completed", "heartbeat"])
def test_a_retried_failure_of_this_event_id_is_not_its_result(outcome: str) -> None:
    question = replace(QUESTION, outcome=outcome)
    history = (
        scheduled(5),
        started(6, of=5, attempt=2, retried_from=SAME_EVENT),
        ended(7, "completed", of=5, by=OTHER_EVENT),
    )
    assert became(question, *history) is Disposition.CONFLICT


@pytest.mark.parametrize("attempt", [0, 1])
@pytest.mark.parametrize(
    ("source", "disposition"),
    [(str(OWN), Disposition.APPLIED), (SAME_EVENT, Disposition.DUPLICATE)],
)
def test_a_retried_failure_is_found_in_the_pending_activity(
    source: str, disposition: Disposition, attempt: int
) -> None:
    """Where an attempt is pending again, its last failure is all that was left of it."""
    question = replace(QUESTION, outcome="failed", attempt=attempt)
    found = from_pending(question, pending(attempt=2, last_failure_by=source))
    assert isinstance(found, Decided)
    assert found.disposition is disposition


@pytest.mark.parametrize(
    ("source", "disposition"),
    [
        (str(OWN), Disposition.APPLIED),
        (SAME_EVENT, Disposition.DUPLICATE),
        (OTHER_EVENT, Disposition.SUPERSEDED),
    ],
)
def test_a_retried_failure_that_was_shortened_is_found_all_the_same(
    source: str, disposition: Disposition
) -> None:
    """Temporal keeps 4 KiB of it, behind a failure of its own that has no source."""
    question = replace(QUESTION, outcome="failed")
    waits = pending(attempt=2, last_failure_by=source)
    waits.last_failure.CopyFrom(shortened(waits.last_failure))
    found = from_pending(question, waits)
    assert isinstance(found, Decided)
    assert found.disposition is disposition


def test_a_retried_failure_that_was_shortened_is_found_in_the_next_attempts_start() -> None:
    question = replace(QUESTION, outcome="failed")
    start = started(6, of=5, attempt=2, retried_from=str(OWN))
    kept = start.activity_task_started_event_attributes.last_failure
    kept.CopyFrom(shortened(kept))
    history = (scheduled(5), start, ended(7, "completed", of=5, by=OTHER_EVENT))
    assert became(question, *history) is Disposition.APPLIED


def test_what_a_shortened_failure_stands_for_is_told_by_the_one_that_was_sent() -> None:
    end = ended(7, "CalleeCanceled", of=5, by=str(OWN))
    sent = end.activity_task_failed_event_attributes.failure
    sent.CopyFrom(shortened(sent))
    question = replace(QUESTION, outcome="canceled")
    assert became(question, scheduled(5), started(6, of=5), end) is Disposition.APPLIED


@pytest.mark.parametrize("attempt", [0, 1])
@pytest.mark.parametrize("outcome", ["completed", "canceled", "heartbeat"])
def test_a_retried_failure_of_the_same_event_id_is_a_conflict(outcome: str, attempt: int) -> None:
    """Also where the event would have fallen on the next attempt, by ids."""
    question = replace(QUESTION, outcome=outcome, attempt=attempt)
    found = from_pending(question, pending(attempt=2, last_failure_by=SAME_EVENT))
    assert isinstance(found, Decided)
    assert found.disposition is Disposition.CONFLICT


@pytest.mark.parametrize(
    ("outcome", "type_name"), [("canceled", "CalleeCanceled"), ("completed", "ResultTooLarge")]
)
def test_what_was_reported_as_failed_is_found_in_the_pending_activity(
    outcome: str, type_name: str
) -> None:
    """A failure may leave a paused activity pending, also one that is not retryable."""
    found = from_pending(
        replace(QUESTION, outcome=outcome),
        pending(attempt=2, last_failure_by=str(OWN), last_failure_type=type_name),
    )
    assert isinstance(found, Decided)
    assert found.disposition is Disposition.APPLIED
    assert found.in_its_stead is (type_name == "ResultTooLarge")


@pytest.mark.parametrize(
    ("by", "type_name", "in_its_stead", "of_another"),
    [
        (OWN, "ResultTooLarge", True, False),
        (OWN, "CalleeCanceled", False, False),
        # What another record of the event did is a duplicate, whatever it was.
        (SAME_EVENT, "ResultTooLarge", False, True),
        (SAME_EVENT, "CalleeCanceled", False, False),
        (OTHER_EVENT, "ResultTooLarge", False, False),
    ],
)
def test_what_failed_an_activity_for_its_size_is_told_from_what_failed_it(
    by: object, type_name: str, *, in_its_stead: bool, of_another: bool
) -> None:
    failure = Failure(application_failure_info=ApplicationFailureInfo(type=type_name))
    end = End(
        event_id=7, kind="ACTIVITY_TASK_FAILED", outcomes=failed_as(failure), identity=str(by)
    )
    found = end.judged(replace(QUESTION, outcome="canceled"))
    assert (found.in_its_stead, found.of_another_in_its_stead) == (in_its_stead, of_another)


@pytest.mark.parametrize("last_failure_by", [None, OTHER_EVENT, A_WORKER])
def test_a_newer_attempt_supersedes_the_event(last_failure_by: str | None) -> None:
    found = from_pending(QUESTION, pending(attempt=2, last_failure_by=last_failure_by))
    assert isinstance(found, Decided)
    assert found.disposition is Disposition.SUPERSEDED


def test_an_attempt_that_is_known_to_be_newer_supersedes_an_event_without_one() -> None:
    found = from_pending(BY_IDS, pending(attempt=2), is_newer=True)
    assert isinstance(found, Decided)
    assert found.disposition is Disposition.SUPERSEDED


@pytest.mark.parametrize("attempt", [0, 2])
@pytest.mark.parametrize("is_started", [True, False])
def test_an_activity_that_waits_with_the_events_attempt_is_pending(
    *, attempt: int, is_started: bool
) -> None:
    question = replace(QUESTION, attempt=attempt)
    found = from_pending(
        question, pending(attempt=2, last_failure_by=A_WORKER, is_started=is_started)
    )
    assert found == Pending(attempt=2, is_started=is_started)


TWO_OF_ONE_ID = (
    scheduled(5, at=100),
    started(6, of=5),
    ended(7, "completed", of=5, by=str(OWN)),
    scheduled(11, at=300),
)
"""A run that used the activity id again; the later activity is pending."""


def test_by_ids_the_earlier_activity_of_an_id_is_the_events() -> None:
    """The event occurred before the later one was scheduled."""
    read_back = conclusion(BY_IDS, *TWO_OF_ONE_ID)
    assert read_back.end is not None
    assert read_back.end.disposition is Disposition.APPLIED
    assert not read_back.is_early


def test_by_ids_the_later_activity_of_an_id_is_a_later_events() -> None:
    read_back = conclusion(replace(BY_IDS, occurred_at=301), *TWO_OF_ONE_ID)
    assert read_back == Conclusion(
        end=None, was_scheduled=True, is_early=False, has_read_enough=True
    )


def test_by_ids_an_activity_may_be_scheduled_at_the_very_time_of_the_event() -> None:
    read_back = conclusion(replace(BY_IDS, occurred_at=300), *TWO_OF_ONE_ID)
    assert (read_back.end, read_back.is_early) == (None, False)


def test_by_ids_an_event_may_be_earlier_than_its_only_activity() -> None:
    read_back = conclusion(BY_IDS, scheduled(5, "b", at=50), scheduled(11, at=300))
    assert read_back == Conclusion(
        end=None, was_scheduled=True, is_early=True, has_read_enough=True
    )


def test_by_ids_an_activity_that_history_does_not_know_was_not_scheduled() -> None:
    read_back = conclusion(BY_IDS, scheduled(5, "b", at=50))
    assert read_back == Conclusion(
        end=None, was_scheduled=False, is_early=False, has_read_enough=True
    )


def test_what_is_older_than_the_scheduled_event_need_not_be_read() -> None:
    for question in (QUESTION, BY_IDS):
        reader = HistoryReader(question)
        assert not reader.read([ended(7, "completed", of=5)])
        assert not reader.has_read_enough
        assert reader.read([scheduled(5, at=100)])
        assert reader.has_read_enough


def test_by_place_an_end_with_its_start_is_enough() -> None:
    """A workflow may have had thousands of signals while its activity waited."""
    reader = HistoryReader(QUESTION)
    assert not reader.read([ended(7, "completed", of=5, start=6)])
    assert reader.read([started(6, of=5)])
    assert reader.has_read_enough


def test_by_place_the_end_of_what_never_started_is_enough() -> None:
    reader = HistoryReader(QUESTION)
    assert reader.read([ended(7, "timed out", of=5, start=0)])
    assert reader.has_read_enough


@settings(deadline=None)
@given(
    history=histories(),
    question=st.builds(
        replace,
        st.just(QUESTION),
        outcome=st.sampled_from(["completed", "failed", "canceled", "heartbeat"]),
        attempt=st.integers(0, 2),
        scheduled_event_id=st.integers(0, 20),
        occurred_at=st.integers(0, 260),
    ),
    cuts=st.lists(st.integers(0, 25), max_size=8).map(sorted),
)
def test_how_a_history_is_paged_changes_nothing(
    history: list[HistoryEvent], question: Question, cuts: list[int]
) -> None:
    newest_first = list(reversed(history))
    pages = [newest_first[start:end] for start, end in pairwise([0, *cuts, len(newest_first)])]
    assert read(question, pages) == read(question, [newest_first])


@settings(deadline=None)
@given(history=histories(), occurred_at=st.integers(1, 260))
def test_by_ids_the_newest_activity_that_was_not_too_late_is_the_events(
    history: list[HistoryEvent], occurred_at: int
) -> None:
    """Against a model that has all of the history at once."""
    of_the_id = [
        event
        for event in history
        if event.activity_task_scheduled_event_attributes.activity_id == "a"
    ]
    in_time = [event for event in of_the_id if event.event_id * 10 <= occurred_at]
    meant = in_time[-1] if in_time else (of_the_id[0] if of_the_id else None)
    question = replace(BY_IDS, occurred_at=occurred_at)
    by_place = replace(QUESTION, attempt=0, scheduled_event_id=meant.event_id if meant else 10**6)
    read_back = conclusion(question, *history)
    assert read_back.was_scheduled == (meant is not None)
    assert read_back.is_early == (meant is not None and not in_time)
    assert read_back.end == conclusion(by_place, *history).end
