"""Room `triage`: finds out what became of an activity, by Describe and reverse history.

Touches temporalio. Only a NOT_FOUND costs these calls, and an event by ids,
which is described before it is sent. Looking decides nothing here: `evidence`
judges what was seen, the pipeline acts on it.
"""

from __future__ import annotations

import dataclasses

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryReverseRequest,
)
from temporalio.client import Client

from completion_relay.calls import Calls
from completion_relay.clock import Clock
from completion_relay.evidence import (
    Decided,
    Finding,
    NotScheduled,
    Question,
    Undetermined,
    from_pending,
)
from completion_relay.history import HistoryReader
from completion_relay.identity import RecordMark
from completion_relay.known_ends import KnownEnds
from completion_relay.task_token import read_token
from completion_relay.verdict import NAMESPACE_NOT_FOUND, Answer, Status, is_message_limit
from completion_schemas.dispositions import Disposition
from completion_schemas.events import CompletionEvent

_OPEN = (
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING,
    # An operator's pause of a workflow; its activities still end.
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED,
)

_FIRST_PAGE, _LARGEST_PAGE = 20, 200
"""Events that are asked for at once: few before it is known how large they are."""
_PAGE_BYTES = 1024 * 1024
"""What a page should have: it is held in memory as a whole, one for each look under way. Temporal limits a
page by events alone, so one behind many small ones may be larger; the next is sized by it."""
_MAX_EVENTS, _MAX_PAGES = 10_000, 200
"""Temporal ends a workflow at 51,200 events, but no look should cost that much."""


def question_for(event: CompletionEvent, mark: RecordMark) -> Question | None:
    """Return what to look for, or None when neither ids nor a readable token tell."""
    reference = event.activity
    hint = read_token(reference.token_bytes()) if reference.task_token else None
    if hint is not None:
        # The token decides, the ids explain: a contradicting id is not looked for.
        return Question(
            mark=mark,
            outcome=event.type,
            workflow_id=hint.workflow_id,
            run_id=hint.run_id,
            activity_id=hint.activity_id,
            attempt=hint.attempt,
            scheduled_event_id=hint.scheduled_event_id,
        )
    if not reference.has_ids:
        return None
    return Question(
        mark=mark,
        outcome=event.type,
        workflow_id=reference.workflow_id,
        run_id=reference.run_id,
        activity_id=reference.activity_id,
        attempt=reference.attempt,
        occurred_at=event.occurred_at,
    )


class Triage:
    """Looks on Temporal's side, and remembers what cannot change any more."""

    def __init__(self, client: Client, calls: Calls, clock: Clock) -> None:
        """Make no call yet.

        Args:
            client: Of the cluster.
            calls: How calls are made. A limit of its own would be one for all namespaces: the relay's
                has none, the bulkheads limit looks (`permits.py`).
            clock: Time.
        """
        self._service = client.workflow_service
        self._call = calls
        self._known = KnownEnds(clock.monotonic)

    def known(self, namespace: str, question: Question) -> Decided | None:
        """Return what an earlier look has proved for good; Temporal is not asked, and says nothing by it.

        Args:
            namespace: Where.
            question: Of which activity, and for which event.
        """
        end = self._known.by_place(namespace, question)
        return None if end is None else end.judged(question)

    async def find(self, namespace: str, question: Question) -> Finding | Answer:
        """Return what is known of the activity, or the answer of a look that failed.

        Args:
            namespace: Where.
            question: Of which activity, and for which event.
        """
        known = self.known(namespace, question)
        return await self._look(namespace, question) if known is None else known

    async def _look(self, namespace: str, question: Question) -> Finding | Answer:
        described = await self._call(
            self._service.describe_workflow_execution,
            DescribeWorkflowExecutionRequest(
                namespace=namespace,
                execution=WorkflowExecution(
                    workflow_id=question.workflow_id, run_id=question.run_id
                ),
            ),
        )
        if isinstance(described, Answer):
            return _said_by(described)
        info = described.workflow_execution_info
        is_running = info.status in _OPEN
        # A terminated workflow still shows its activities as pending (seen on
        # server 1.32.0).
        pending = next(
            (
                activity
                for activity in described.pending_activities
                if is_running and activity.activity_id == question.activity_id
            ),
            None,
        )
        if pending and _is_the_one(question, pending):
            return from_pending(question, pending)
        # Without a run id, history must be that of the run that was described.
        question = dataclasses.replace(question, run_id=info.execution.run_id or question.run_id)
        end = self._known.by_id(namespace, question)
        if end is not None:
            return end.judged(question)
        reader = await self._read_history(namespace, question)
        if isinstance(reader, Answer):
            return _said_by(reader)
        found = reader.found()
        if found is not None:
            self._known.learn(namespace, question, found)
        if pending and reader.was_scheduled and reader.end() is None:
            # No later activity of the id: an attempt that is named decides, and
            # only one that is not is judged by the clocks.
            is_newer = (
                not reader.is_early
                and not question.attempt
                and question.is_too_late(pending.scheduled_time.ToNanoseconds())
            )
            return from_pending(question, pending, is_newer=is_newer)
        return _conclusion(question, reader, is_running=is_running)

    async def _read_history(self, namespace: str, question: Question) -> HistoryReader | Answer:
        reader = HistoryReader(question)
        page_token, events = b"", _FIRST_PAGE
        for _ in range(_MAX_PAGES):
            page = await self._call(
                self._service.get_workflow_execution_history_reverse,
                GetWorkflowExecutionHistoryReverseRequest(
                    namespace=namespace,
                    execution=WorkflowExecution(
                        workflow_id=question.workflow_id, run_id=question.run_id
                    ),
                    maximum_page_size=min(events, _MAX_EVENTS - reader.events),
                    next_page_token=page_token,
                ),
            )
            if isinstance(page, Answer):
                if events == 1 or not is_message_limit(page):
                    return page
                events = max(1, events // 4)  # a proxy's limit is smaller than Temporal's own
                continue
            if reader.read(page.history.events):
                return reader
            page_token = page.next_page_token
            if not page_token:
                reader.conclude()
                return reader
            if reader.events >= _MAX_EVENTS:
                break
            events = _next_page(events, page.ByteSize())
        return reader


def _next_page(events: int, size: int) -> int:
    """Return how many events to ask for next, after a page of so many had that many bytes."""
    return max(1, min(2 * events, _LARGEST_PAGE, events * _PAGE_BYTES // max(1, size)))


def _is_the_one(question: Question, pending: PendingActivityInfo) -> bool:
    """Whether the pending activity is the question's, and no later one of the same id.

    Describe does not tell an activity's place in history, so for a token, which
    names that alone, only history can tell: a run may use an activity id again.
    By ids time tells. A retry moves the pending activity's scheduled time to its
    current attempt (seen on server 1.32.0); history keeps that of the first.
    """
    if question.scheduled_event_id:
        return False
    return not question.is_too_late(pending.scheduled_time.ToNanoseconds())


def _conclusion(question: Question, reader: HistoryReader, *, is_running: bool) -> Finding:
    end = reader.end()
    if end is not None:
        return end.judged(question)
    if not reader.has_read_enough:
        return Decided(Disposition.UNKNOWN, f"not among the newest {reader.events} events")
    if reader.was_scheduled and is_running:
        # What happens while a workflow task is in flight is buffered, and is
        # written to history only when that task ends (facts A).
        return Undetermined("the activity is not pending, and history does not tell yet")
    if reader.was_scheduled:
        return Decided(Disposition.CLOSED, "the workflow closed with the activity still open")
    if is_running:
        return NotScheduled("the workflow has not scheduled this activity")
    return Decided(Disposition.UNKNOWN, "the workflow is closed and never scheduled this activity")


def _said_by(refusal: Answer) -> Finding | Answer:
    """Return what a question's refusal says of the activity, or the refusal where it says nothing."""
    if refusal.status is Status.NOT_FOUND and NAMESPACE_NOT_FOUND not in refusal.details:
        return Decided(Disposition.UNKNOWN, f"the workflow run is gone: {refusal.message}")
    if is_message_limit(refusal):
        # By what the workflow has become, and by no fault of the event's: it may be less by the next look.
        return Undetermined(f"what Temporal tells of the workflow is too large: {refusal.message}")
    return refusal
