"""A call whose answer was lost and that lands when the event's deadline is over, on a real server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from tests.integration.relay.waiting import Far, completed, event, failed, relay
from tests.support import eventually

from completion_relay.completer import Completer
from completion_relay.evidence import Finding, Pending, Question
from completion_relay.triage import Triage
from completion_relay.verdict import Answer
from completion_schemas.dispositions import Disposition
from completion_schemas.events import ActivityReference, Outcome, unix_nanos

LONG = 30.0
"""Seconds that no test needs."""


class Spy:
    """Holds the first call back until the test lets it go, and tells of looks that find it pending."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.called = asyncio.Event()
        self.goes = asyncio.Event()
        self.answered = asyncio.Event()
        self.found_pending = asyncio.Event()
        send, find = Completer.send, Triage.find

        async def held_send(
            completer: Completer,
            namespace: str,
            reference: ActivityReference,
            outcome: Outcome,
            identity: str,
        ) -> Answer:
            self.called.set()
            await self.goes.wait()
            answer = await send(completer, namespace, reference, outcome, identity)
            self.answered.set()
            return answer

        async def told_find(triage: Triage, namespace: str, question: Question) -> Finding | Answer:
            found = await find(triage, namespace, question)
            if isinstance(found, Pending):
                self.found_pending.set()
            return found

        monkeypatch.setattr(Completer, "send", held_send)
        monkeypatch.setattr(Triage, "find", told_find)


@pytest.mark.parametrize("outcome", [completed(), failed()], ids=["completed", "failed"])
async def test_a_call_that_lands_after_a_look_has_found_its_activity_pending_is_applied(
    far: Far, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    """The connection ends, and what was sent over it arrives only after the look."""
    spy = Spy(monkeypatch)
    async with relay(far.scene.settings(relay={"look_timeout": LONG})):
        _, reference = await far.scene.waiting()
        at = await far.scene.emit(event(reference, outcome, deadline=unix_nanos(datetime.now(UTC))))
        await asyncio.wait_for(spy.called.wait(), LONG)
        far.link.stall()
        spy.goes.set()
        await eventually(lambda: far.link.held, what="the call in the link")
        far.link.strand()
        await asyncio.wait_for(spy.found_pending.wait(), LONG)
        far.link.mend()
        audit = await far.scene.decided(at)
    assert (audit.disposition, audit.tries) == (Disposition.APPLIED, 1)


async def test_a_call_that_never_lands_is_expired_after_a_bounded_time(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch)
    async with relay(far.scene.settings()):
        _, reference = await far.scene.waiting()
        at = await far.scene.emit(
            event(reference, completed(), deadline=unix_nanos(datetime.now(UTC)))
        )
        await asyncio.wait_for(spy.called.wait(), LONG)
        far.link.cut()
        spy.goes.set()
        await asyncio.wait_for(spy.answered.wait(), LONG)
        far.link.mend()
        audit = await far.scene.decided(at)
    assert (audit.disposition, audit.tries) == (Disposition.EXPIRED, 1)
