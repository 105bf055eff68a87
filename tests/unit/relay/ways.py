"""Room `tests`: events on their way in one partition, on a manual clock, to see how they wait."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterable
from itertools import repeat

from tests.unit.relay.fakes import NOW, OK, ManualClock, Script

from completion_relay.decide import decide
from completion_relay.decision import Decision, Former, Park
from completion_relay.evidence import Finding, Pending
from completion_relay.identity import RecordMark
from completion_relay.lanes import Lane
from completion_relay.place import Place
from completion_relay.verdict import Answer, Status
from completion_schemas.events import (
    ActivityReference,
    Completed,
    CompletionEvent,
    Heartbeat,
    UnixNanos,
)

PLENTY = 60.0
"""Seconds that no test needs."""
UNAVAILABLE = Answer(Status.UNAVAILABLE, "shard unavailable, please backoff and retry")
THROTTLED = Answer(
    Status.RESOURCE_EXHAUSTED, "too many", frozenset({"ResourceExhaustedFailure"}), "RPS_LIMIT"
)
DENIED = Answer(Status.PERMISSION_DENIED, "Request unauthorized.")
NOT_FOUND = Answer(Status.NOT_FOUND, "workflow execution already completed")
STARTED = Pending(attempt=1, is_started=True)
BY_IDS = ActivityReference(workflow_id="w", run_id="r", activity_id="a")
BY_TOKEN = dataclasses.replace(
    BY_IDS, task_token=base64.b64encode(b"no token that can be read").decode()
)


def event(number: int = 0, activity: ActivityReference = BY_TOKEN) -> CompletionEvent:
    return CompletionEvent(
        event_id=f"e-{number}",
        occurred_at=UnixNanos(NOW - 10**9),
        activity=activity,
        outcome=Completed(),
    )


def mark(number: int = 0) -> RecordMark:
    return RecordMark(f"e-{number}", "completions", 3, number)


class Ways:
    """Events on their way in one partition."""

    def __init__(
        self,
        answers: Iterable[Answer],
        *,
        findings: Iterable[Finding | Answer] = (),
        probes: Iterable[Answer] = (),
        served: Iterable[str] = ("orders", "billing"),
    ) -> None:
        self.clock = ManualClock()
        self.script = Script(
            answers, findings=findings, namespaces=probes, clock=self.clock, served=served
        )
        self.place = Place()
        self.tasks: list[asyncio.Task[Decision | Park]] = []

    def go(
        self,
        number: int = 0,
        former: Former | None = None,
        *,
        activity: ActivityReference = BY_TOKEN,
        lane: Lane | None = None,
    ) -> asyncio.Task[Decision | Park]:
        """Begin an event's way: a heartbeat's where there is a lane."""
        going_event = event(number, activity)
        if lane is not None:
            going_event = dataclasses.replace(going_event, outcome=Heartbeat())
        going = decide(
            self.script.means,
            going_event,
            "orders",
            mark(number),
            place=self.place,
            former=former or Former(),
            lane=lane,
        )
        self.tasks.append(asyncio.create_task(going))
        return self.tasks[-1]

    async def waits(self, number: int = 0, former: Former | None = None) -> None:
        """Let an event go that comes to wait."""
        before = len(self.clock.pending)
        self.go(number, former)
        await self.clock.until_pending(before + 1)

    def let_all_come_through(self) -> None:
        self.script.sends.answers = repeat(OK)

    def put_on_trial(self) -> None:
        """Have calls throttled until one at a time tries."""
        bulkhead = self.script.means.bulkheads["orders"]
        made = 0.0
        while not bulkhead.is_on_trial:
            made += 1e-3
            self.clock.advance(1e-3)
            bulkhead.throttled(started=made)

    async def outage(self) -> None:
        """Have three events fail, and the probe as well: two wait by a timer, the last at the gate."""
        for number in range(3):
            self.go(number)
        await self.clock.until_pending(4)  # and one that tells when the namespace is sick for long
        assert self.script.means.gate.is_away

    @property
    def calls(self) -> int:
        return len(self.script.sends.calls)

    async def result(self, number: int = 0) -> Decision | Park:
        return await asyncio.wait_for(self.tasks[number], PLENTY)

    async def parked(self, number: int = 0) -> Park:
        park = await self.result(number)
        assert isinstance(park, Park)
        return park

    async def decided(self, number: int = 0) -> Decision:
        decision = await self.result(number)
        assert isinstance(decision, Decision)
        return decision


@contextlib.asynccontextmanager
async def ways(
    answers: Iterable[Answer],
    *,
    findings: Iterable[Finding | Answer] = (),
    probes: Iterable[Answer] = (),
    served: Iterable[str] = ("orders", "billing"),
) -> AsyncIterator[Ways]:
    there = Ways(answers, findings=findings, probes=probes, served=served)
    try:
        yield there
    finally:
        there.script.means.gate.close()
        for task in there.tasks:
            task.cancel()
        await asyncio.gather(*there.tasks, return_exceptions=True)
