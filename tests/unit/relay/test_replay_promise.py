"""Promise 2 under any replay: what is decided stays decided, and no event is applied twice.

Against a model of what Temporal does with one activity (by token and by ids, retries,
answers that are lost), with the relay's own pipeline, and records as `again` makes them.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflow.v1 import PendingActivityInfo
from tests.unit.relay.fakes import NOW, OK, Script

from completion_relay.decision import Decision, Delivery
from completion_relay.evidence import Decided, End, Finding, Question, failed_as, from_pending
from completion_relay.health import Health
from completion_relay.identity import event_id_in
from completion_relay.observe import Observer
from completion_relay.pipeline import Pipeline
from completion_relay.replay.again import Changes, Kept, again
from completion_relay.replay.headers import Position
from completion_relay.route import Routes
from completion_relay.settings import TopicSettings
from completion_relay.verdict import Answer, Status
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import Disposition
from completion_schemas.events import (
    ActivityReference,
    Completed,
    CompletionEvent,
    Failed,
    Outcome,
    UnixNanos,
)

TOPIC = "completions"
ATTEMPTS = 3
"""That the activity's retry policy allows."""
_STEP = 10**9


def token(attempt: int) -> str:
    return base64.b64encode(f"token of attempt {attempt}".encode()).decode()


class Activity:
    """Temporal's side: one activity, its retries and its end; and an answer lost now and then."""

    def __init__(self, lost: list[bool]) -> None:
        self.attempt = 1
        self.end: End | None = None
        self.took: Counter[str] = Counter()
        """How often each event took effect."""
        self.wrong: list[str] = []
        """What took effect for an attempt that it was not meant for."""
        self.meant: dict[str, int] = {}
        """For which attempt each event is."""
        self._lost = iter(lost)
        self._last_failure = Failure()
        self._scheduled_at = int(NOW)

    async def describe_namespace(self, namespace: str) -> Answer:
        del namespace
        return OK

    def why_guessed(self, namespace: str) -> str:
        del namespace
        return ""

    async def blob_limit(self, namespace: str, size: int) -> int:
        del namespace, size
        return 2**21

    async def send(
        self, namespace: str, reference: ActivityReference, outcome: Outcome, identity: str
    ) -> Answer:
        del namespace
        by_token = reference.task_token
        if self.end is not None or (by_token and by_token != token(self.attempt)):
            return Answer(Status.NOT_FOUND, "invalid activityID or activity already timed out")
        event_id = event_id_in(identity)
        assert event_id is not None
        self.took[event_id] += 1
        if self.meant[event_id] != self.attempt:
            self.wrong.append(event_id)
        if isinstance(outcome, Failed) and self.attempt < ATTEMPTS:
            self._last_failure.CopyFrom(outcome.failure)
            self._last_failure.source = identity
            self.attempt += 1
            self._scheduled_at += 100 * _STEP
        else:
            self.end = End(
                event_id=9,
                kind="ACTIVITY_TASK_ENDED",
                outcomes=failed_as(outcome.failure)
                if isinstance(outcome, Failed)
                else (outcome.type,),
                identity=identity,
                attempt=self.attempt,
                retried_from=self._last_failure.source,
            )
        return Answer(Status.UNAVAILABLE, "lost") if next(self._lost, False) else OK

    def known(self, namespace: str, question: Question) -> Decided | None:
        del namespace, question
        return None

    async def find(self, namespace: str, question: Question) -> Finding | Answer:
        del namespace
        if self.end is not None:
            return self.end.judged(question)
        pending = PendingActivityInfo(
            activity_id="a",
            attempt=self.attempt,
            state=PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
            last_failure=self._last_failure,
        )
        is_newer = not question.attempt and question.is_too_late(self._scheduled_at)
        return from_pending(question, pending, is_newer=is_newer)


def pipeline(activity: Activity) -> Pipeline:
    script = Script()
    means = dataclasses.replace(script.means, completer=activity, triage=activity)
    return Pipeline(
        routes=Routes(namespaces=("orders",)),
        means={"": means},
        topics=TopicSettings(),
        group="g",
        relay_id="r",
        observer=Observer(namespaces=("orders",), health=Health()),
        clock=script.clock,
    )


@st.composite
def events(draw: st.DrawFn) -> list[tuple[CompletionEvent, int]]:
    """Up to four outcomes of one activity, each meant for an attempt, by token or by ids."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        attempt = draw(st.integers(1, ATTEMPTS))
        by_token = draw(st.booleans())
        info = ApplicationFailureInfo(type="SomeError")
        outcome: Outcome = Completed()
        if draw(st.booleans()):
            outcome = Failed(Failure(application_failure_info=info))
        event = CompletionEvent(
            event_id=f"e-{number}",
            # After its attempt was scheduled, before the next one is.
            occurred_at=UnixNanos(NOW + (100 * (attempt - 1) + 50) * _STEP),
            activity=ActivityReference(
                task_token=token(attempt) if by_token else "",
                workflow_id="w",
                run_id="r",
                activity_id="a",
                attempt=attempt if draw(st.booleans()) else 0,
            ),
            outcome=outcome,
        )
        made.append((event, attempt))
    return made


@settings(max_examples=300)
@given(
    events(),
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=12),
    st.lists(st.booleans(), max_size=6),
)
def test_whatever_is_replayed_no_event_is_applied_twice_nor_for_another_attempt(
    made: list[tuple[CompletionEvent, int]], deliveries: list[tuple[int, bool]], lost: list[bool]
) -> None:
    """`deliveries` are of any record so far, the same one again or a replay of it."""
    activity = Activity(lost)
    meant = activity.meant = {event.event_id: attempt for event, attempt in made}
    pipe = pipeline(activity)
    log = [
        Kept(Position(TOPIC, 0, offset), 0, encode_record(event))
        for offset, (event, _) in enumerate(made)
    ]
    applied_by: dict[str, Position] = {}

    async def deliver(kept: Kept) -> None:
        place = kept.position
        plan = pipe.plan(Delivery(place.topic, place.partition, place.offset, 0, kept.record, NOW))
        assert plan.event is not None
        if meant[plan.event.event_id] > activity.attempt:
            return  # the attempt that hands off comes before what is said of it
        decision = await pipe.decide(plan)
        assert isinstance(decision, Decision)
        if decision.disposition is Disposition.APPLIED:
            # The record that did it may say so again; no other record of the event may.
            assert applied_by.setdefault(plan.event.event_id, place) == place

    async def all_of_them() -> None:
        for which, is_replay in deliveries:
            kept = log[which % len(log)]
            if is_replay:
                record = again(kept, Changes(TOPIC), count=kept.replays + 1)
                kept = Kept(Position(TOPIC, 0, len(log)), 0, record)
                log.append(kept)
            await deliver(kept)

    asyncio.run(all_of_them())
    assert max(activity.took.values(), default=0) <= 1
    assert activity.wrong == []
