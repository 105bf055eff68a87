"""Looks at what became of an activity: what each costs, and what is remembered of it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.api.history.v1 import (
    ActivityTaskCompletedEventAttributes,
    History,
    HistoryEvent,
)
from temporalio.api.workflow.v1 import PendingActivityInfo, WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryReverseRequest,
    GetWorkflowExecutionHistoryReverseResponse,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from tests.unit.relay import ways
from tests.unit.relay.fakes import NOW, Script, VirtualClock
from tests.unit.relay.histories import (
    BY_IDS,
    OTHER_EVENT,
    OWN,
    QUESTION,
    SAME_EVENT,
    ended,
    histories,
    pending,
    scheduled,
    started,
)

from completion_relay.calls import Calls
from completion_relay.decide import decide
from completion_relay.decision import Decision
from completion_relay.evidence import Decided, Finding, Pending, Question, Undetermined
from completion_relay.identity import RecordMark
from completion_relay.known_ends import SECONDS
from completion_relay.triage import Triage
from completion_relay.verdict import Answer
from completion_schemas.dispositions import Disposition

RUNNING = Status.WORKFLOW_EXECUTION_STATUS_RUNNING


class Server:
    """Tells one run's history and pending activities, and counts how often it is asked."""

    def __init__(
        self,
        *history: HistoryEvent,
        pending: Sequence[PendingActivityInfo] = (),
        status: Status.ValueType = RUNNING,
        page: int = 200,
    ) -> None:
        self.history: Sequence[HistoryEvent] = history
        self.pending = pending
        self.status = status
        self.asked: Counter[str] = Counter()
        self.page_sizes: list[int] = []
        """Events asked for, page by page."""
        self.page_bytes: list[int] = []
        self.limit = 10**9
        """Bytes that whoever is in between lets through, of an answer."""
        self._page = page

        self.when_described: Callable[[], None] = lambda: None
        """Called after each description; a test may put something there."""

    def _let_through(self, answer: Message) -> None:
        if answer.ByteSize() > self.limit:
            said = f"grpc: received message larger than max ({answer.ByteSize()} vs. {self.limit})"
            raise RPCError(said, RPCStatusCode.RESOURCE_EXHAUSTED, b"")

    async def describe_workflow_execution(
        self, _request: DescribeWorkflowExecutionRequest, **_: Any
    ) -> DescribeWorkflowExecutionResponse:
        self.asked["describe"] += 1
        answer = DescribeWorkflowExecutionResponse(
            workflow_execution_info=WorkflowExecutionInfo(
                execution=WorkflowExecution(workflow_id="w", run_id="r"), status=self.status
            ),
            pending_activities=self.pending,
        )
        self.when_described()
        self._let_through(answer)
        return answer

    async def get_workflow_execution_history_reverse(
        self, request: GetWorkflowExecutionHistoryReverseRequest, **_: Any
    ) -> GetWorkflowExecutionHistoryReverseResponse:
        self.asked["page"] += 1
        assert request.execution.run_id == "r"
        newest_first = list(reversed(self.history))
        start = int(request.next_page_token or b"0")
        end = start + min(self._page, request.maximum_page_size)
        answer = GetWorkflowExecutionHistoryReverseResponse(
            history=History(events=newest_first[start:end]),
            next_page_token=str(end).encode() if end < len(newest_first) else b"",
        )
        self.page_sizes.append(request.maximum_page_size)
        self.page_bytes.append(answer.ByteSize())
        self._let_through(answer)
        return answer


def triage(server: Server, clock: VirtualClock | None = None) -> Triage:
    client = cast("Client", SimpleNamespace(workflow_service=server))
    return Triage(client, Calls(at_once=100, seconds=10), clock or VirtualClock())


def became(found: Finding | Answer) -> Disposition:
    assert isinstance(found, Decided)
    return found.disposition


def duplicate(number: int, question: Question = QUESTION) -> Question:
    return replace(question, mark=RecordMark("e-1", "completions", 5, number))


ENDED = (scheduled(5, at=100), started(6, of=5), ended(7, "completed", of=5, by=str(OWN), at=300))


async def test_a_hundred_duplicates_by_token_cost_one_look() -> None:
    server = Server(*ENDED)
    looks = triage(server)
    found = [await looks.find("orders", duplicate(number)) for number in range(100)]
    assert {became(each) for each in found} == {Disposition.DUPLICATE}
    assert server.asked == {"describe": 1, "page": 1}


async def test_what_is_known_is_known_without_asking_and_nothing_else_is() -> None:
    server = Server(*ENDED)
    looks = triage(server)
    assert looks.known("orders", QUESTION) is None
    await looks.find("orders", QUESTION)
    asked = dict(server.asked)
    known = looks.known("orders", duplicate(1))
    assert known is not None
    assert became(known) is Disposition.DUPLICATE
    assert looks.known("orders", duplicate(1, BY_IDS)) is None
    assert looks.known("billing", QUESTION) is None
    assert server.asked == asked


async def test_a_hundred_duplicates_by_ids_are_described_and_cost_one_history() -> None:
    """A run may use the id again, which only a description tells."""
    server = Server(*ENDED)
    looks = triage(server)
    found = [await looks.find("orders", duplicate(number, BY_IDS)) for number in range(100)]
    assert {became(each) for each in found} == {Disposition.DUPLICATE}
    assert server.asked == {"describe": 100, "page": 1}


async def test_an_end_that_was_learned_for_one_event_is_judged_anew_for_another() -> None:
    server = Server(*ENDED)
    looks = triage(server)
    other = replace(QUESTION, mark=RecordMark("e-2", "completions", 3, 8))
    assert became(await looks.find("orders", QUESTION)) is Disposition.APPLIED
    assert became(await looks.find("orders", duplicate(1))) is Disposition.DUPLICATE
    assert became(await looks.find("orders", other)) is Disposition.CONFLICT
    failed = await looks.find("orders", replace(duplicate(1), outcome="failed"))
    assert became(failed) is Disposition.CONFLICT
    assert server.asked["describe"] == 1


async def test_an_end_of_one_namespace_is_not_that_of_another() -> None:
    server = Server(*ENDED)
    looks = triage(server)
    await looks.find("orders", QUESTION)
    await looks.find("billing", QUESTION)
    assert server.asked["describe"] == 2


async def test_an_end_is_forgotten_after_a_while() -> None:
    server, clock = Server(*ENDED), VirtualClock()
    looks = triage(server, clock)
    await looks.find("orders", QUESTION)
    await clock.sleep(SECONDS + 1)
    await looks.find("orders", QUESTION)
    assert server.asked["describe"] == 2


@pytest.mark.parametrize("question", [QUESTION, BY_IDS])
async def test_what_may_still_change_is_looked_at_again(question: Question) -> None:
    """Pending, then buffered, then ended: nothing is remembered before the end."""
    server = Server(scheduled(5, at=100), pending=[pending()])
    looks = triage(server)
    assert isinstance(await looks.find("orders", question), Pending)
    server.pending = []
    assert isinstance(await looks.find("orders", question), Undetermined)
    server.history = ENDED
    assert became(await looks.find("orders", question)) is Disposition.APPLIED


async def test_a_run_that_uses_the_id_again_is_not_mistaken_for_the_earlier_activity() -> None:
    later = (*ENDED, scheduled(11, at=400), started(12, of=11))
    server = Server(*ENDED)
    looks = triage(server)
    after = replace(BY_IDS, mark=RecordMark("e-2", "completions", 3, 8), occurred_at=500)
    assert became(await looks.find("orders", BY_IDS)) is Disposition.APPLIED
    server.history = (*later, ended(13, "completed", of=11, by=str(after.mark), start=12, at=600))
    assert became(await looks.find("orders", after)) is Disposition.APPLIED
    assert became(await looks.find("orders", BY_IDS)) is Disposition.APPLIED


@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_tokens_end_is_not_hidden_by_a_later_activity_of_its_id(attempt: int) -> None:
    """The later one is pending under the same id: it says nothing of the token's."""
    server = Server(*ENDED, scheduled(11, at=400), pending=[pending(attempt=attempt)])
    assert became(await triage(server).find("orders", duplicate(1))) is Disposition.DUPLICATE


async def test_a_newer_attempt_of_the_tokens_own_activity_supersedes_it() -> None:
    server = Server(scheduled(5, at=100), pending=[pending(attempt=2)])
    assert became(await triage(server).find("orders", QUESTION)) is Disposition.SUPERSEDED


async def test_the_activity_of_a_paused_workflow_is_pending() -> None:
    server = Server(
        scheduled(5, at=100),
        pending=[pending()],
        status=Status.WORKFLOW_EXECUTION_STATUS_PAUSED,
    )
    assert isinstance(await triage(server).find("orders", BY_IDS), Pending)


async def test_a_look_reads_a_large_history_no_further_than_the_end_it_asks_for() -> None:
    signals = [HistoryEvent(event_id=number) for number in range(6, 5_000)]
    history = (
        scheduled(5, at=100),
        *signals,
        started(5_000, of=5),
        ended(5_001, "completed", of=5, by=OTHER_EVENT, start=5_000, at=300),
    )
    server = Server(*history)
    assert became(await triage(server).find("orders", QUESTION)) is Disposition.CONFLICT
    assert server.asked["page"] == 1


def nothing_of_it(count: int, size: int = 0) -> list[HistoryEvent]:
    """Return so many completions of other activities, of that many bytes each."""
    result = Payloads(payloads=[Payload(data=b"x" * size)])
    attributes = ActivityTaskCompletedEventAttributes(scheduled_event_id=1, result=result)
    return [
        HistoryEvent(
            event_id=number,
            event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
            activity_task_completed_event_attributes=attributes,
        )
        for number in range(10, 10 + count)
    ]


async def test_a_history_of_large_results_is_read_in_small_pages() -> None:
    """Sixteen looks at once, each with a page of 200 results, were 1 GB."""
    server = Server(*ENDED, *nothing_of_it(200, 250_000))
    assert became(await triage(server).find("orders", QUESTION)) is Disposition.APPLIED
    first, *later = server.page_bytes
    assert server.page_sizes[0] == 20
    assert first < 5_100_000
    assert max(later) < 1_100_000
    assert server.asked["page"] < 60


@pytest.mark.parametrize(("others", "pages"), [(15, 1), (50, 2), (290, 4), (1_000, 8), (9_900, 53)])
async def test_a_history_of_small_events_takes_few_pages(others: int, pages: int) -> None:
    server = Server(*ENDED, *nothing_of_it(others))
    assert became(await triage(server).find("orders", QUESTION)) is Disposition.APPLIED
    assert server.asked["page"] == pages


async def test_one_large_result_does_not_make_all_pages_after_it_small() -> None:
    server = Server(*ENDED, *nothing_of_it(900), *nothing_of_it(1, 2_000_000), *nothing_of_it(300))
    assert became(await triage(server).find("orders", QUESTION)) is Disposition.APPLIED
    assert server.page_sizes[-2:] == [200, 200]
    assert server.asked["page"] < 12


@pytest.mark.parametrize(("in_a_page", "pages", "read"), [(200, 53, 10_000), (1, 200, 200)])
async def test_a_look_ends_somewhere_however_long_the_history_is(
    in_a_page: int, pages: int, read: int
) -> None:
    server = Server(*ENDED, *nothing_of_it(20_000), page=in_a_page)
    found = await triage(server).find("orders", QUESTION)
    assert isinstance(found, Decided)
    assert found.disposition is Disposition.UNKNOWN
    assert found.detail == f"not among the newest {read} events"
    assert server.asked["page"] == pages


async def test_a_page_that_is_too_large_to_come_through_is_asked_for_with_fewer_events() -> None:
    server = Server(*ENDED, *nothing_of_it(40, 250_000))
    server.limit = 4 * 1024 * 1024
    assert became(await triage(server).find("orders", QUESTION)) is Disposition.APPLIED
    assert server.page_sizes[:3] == [20, 5, 4]


async def test_one_event_that_is_too_large_to_come_through_tells_nothing() -> None:
    server = Server(*ENDED, *nothing_of_it(1, 5_000_000))
    server.limit = 4 * 1024 * 1024
    found = await triage(server).find("orders", QUESTION)
    assert isinstance(found, Undetermined)
    assert "larger than max" in found.detail
    assert server.page_sizes == [20, 5, 1]


async def way_of_an_event(server: Server) -> Decision:
    """Let an event go whose activity is not pending any more."""
    script = Script([ways.NOT_FOUND])
    means = dataclasses.replace(script.means, triage=triage(server, script.clock))
    return await decide(means, ways.event(), "orders", ways.mark())


async def test_a_look_that_is_too_large_once_is_repeated() -> None:
    """It was called the event's fault, and dead-lettered what had been applied."""
    over = pending(last_failure_by="x" * 5_000_000)
    over.activity_id = "b"
    applied = ended(7, "completed", of=5, by=str(ways.mark()), at=NOW)
    server = Server(*ENDED[:2], applied, pending=[over])
    server.limit = 4 * 1024 * 1024

    def shrink() -> None:
        server.pending = []

    server.when_described = shrink
    assert (await way_of_an_event(server)).disposition is Disposition.APPLIED
    assert server.asked["describe"] == 2


async def test_looks_that_are_always_too_large_end_in_unknown() -> None:
    server = Server(*ENDED, pending=[pending(last_failure_by="x" * 5_000_000)])
    server.limit = 4 * 1024 * 1024
    decision = await way_of_an_event(server)
    assert decision.disposition is Disposition.UNKNOWN
    assert "larger than max" in decision.detail
    assert server.asked["describe"] > 1


@st.composite
def questions(draw: st.DrawFn) -> Question:
    by_place = draw(st.booleans())
    return Question(
        mark=draw(st.sampled_from([OWN, RecordMark("e-1", "completions", 3, 99)])),
        outcome=draw(st.sampled_from(["completed", "failed", "canceled", "heartbeat"])),
        workflow_id="w",
        run_id="r" if by_place else draw(st.sampled_from(["r", ""])),
        activity_id=draw(st.sampled_from(["a", "b"])),
        attempt=draw(st.integers(0, 3)),
        scheduled_event_id=draw(st.integers(1, 20)) if by_place else 0,
        occurred_at=0 if by_place else draw(st.integers(0, 260)),
    )


@st.composite
def pending_at(draw: st.DrawFn, history: Sequence[HistoryEvent]) -> list[PendingActivityInfo]:
    """Return what is open at the end of a history; a retry may have moved its scheduled time."""
    open_activities: dict[int, PendingActivityInfo] = {}
    for event in history:
        activity_id = event.activity_task_scheduled_event_attributes.activity_id
        if activity_id:
            attempt = draw(st.integers(1, 3))
            source = draw(st.none() | st.sampled_from([str(OWN), SAME_EVENT, OTHER_EVENT]))
            info = pending(attempt=attempt, last_failure_by=source if attempt > 1 else None)
            info.activity_id = activity_id
            moved = draw(st.integers(0, 40)) if attempt > 1 else 0
            info.scheduled_time.FromNanoseconds(event.event_id * 10 + moved)
            open_activities[event.event_id] = info
    for event in history:
        for name in ("completed", "failed", "canceled", "timed_out"):
            attributes = getattr(event, f"activity_task_{name}_event_attributes")
            open_activities.pop(attributes.scheduled_event_id, None)
    return list(open_activities.values())


@settings(deadline=None, max_examples=150)
@given(data=st.data(), history=histories("ab"), page=st.integers(1, 8))
async def test_what_is_remembered_finds_what_a_fresh_look_finds(
    data: st.DataObject, history: list[HistoryEvent], page: int
) -> None:
    """For any questions in any order, while the history grows between them."""
    remembering = Server(page=page)
    looks = triage(remembering)
    lengths = data.draw(st.lists(st.integers(1, len(history)), min_size=1, max_size=6).map(sorted))
    for length in lengths:
        open_now = data.draw(pending_at(history[:length]))
        status = (
            RUNNING
            if length < len(history) or open_now
            else data.draw(st.sampled_from([RUNNING, Status.WORKFLOW_EXECUTION_STATUS_COMPLETED]))
        )
        fresh = Server(*history[:length], pending=open_now, status=status, page=page)
        remembering.history, remembering.pending = history[:length], open_now
        remembering.status = status
        for question in data.draw(st.lists(questions(), min_size=1, max_size=6)):
            expected = await triage(fresh).find("orders", question)
            assert await looks.find("orders", question) == expected
