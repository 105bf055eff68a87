"""Each command of `relay/RUNBOOK.md`, typed where events have come to each end."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from tests.integration.cli.conftest import Commands
from tests.integration.cli.trail import decision, write
from tests.integration.relay.each import SKIP, Each, End
from tests.integration.relay.waiting import Scene, completed, event, relay
from tests.pages import Section, filled_in, sections
from tests.support import produce

from completion_relay.dead_letter import dead_letter
from completion_relay.decision import Decision, Delivery
from completion_schemas.audit import AuditRecord
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos

pytestmark = pytest.mark.source_tree

PAGE = sections("relay/RUNBOOK.md")
BY_HAND = (DeadLetterReason.UNVERIFIED, DeadLetterReason.EXHAUSTED)
"""What no relay says within a test: of one it never does, of the other only after an hour."""

AT_ONCE = 3
"""Sections that are typed side by side: most of a command is its start."""


def section_of(end: End) -> Section:
    return PAGE[str(end) if isinstance(end, Disposition) else f"dead letter: {end}"]


def test_each_disposition_and_each_reason_has_its_section_and_says_what_to_do() -> None:
    assert list(PAGE) == [*Disposition, *(f"dead letter: {reason}" for reason in DeadLetterReason)]
    for section in PAGE.values():
        assert "**Means** " in section.text, section.title
        assert "**Look** " in section.text, section.title
        assert section.commands, section.title


@pytest.mark.parametrize("kind", [Disposition, DeadLetterReason])
async def test_each_command_of_the_runbook_does_what_it_is_there_for(
    commands: Commands, scene: Scene, tmp_path: Path, kind: type[End]
) -> None:
    async with relay(scene.settings(relay={"skip": (SKIP,)})):
        emitted = await Each(scene).emit()
        records = {end: await scene.decided(one.at) for end, one in emitted.items()}
    assert {end: record.reason or record.disposition for end, record in records.items()} == {
        end: end for end in emitted
    }
    for reason in BY_HAND:
        records[reason] = await dead_lettered_by_hand(scene, reason)
    records[Disposition.DEAD_LETTERED] = records[DeadLetterReason.INVALID]
    at_once = asyncio.Semaphore(AT_ONCE)
    # Whoever types has mended what was wrong: nothing is skipped any more.
    async with relay(scene.settings()), asyncio.TaskGroup() as typing:
        for end in kind:
            file = tmp_path / f"{end}.jsonl"
            typing.create_task(typed(commands, section_of(end), records[end], file, at_once))


async def typed(
    commands: Commands, section: Section, record: AuditRecord, file: Path, turn: asyncio.Semaphore
) -> None:
    """Type what a section says of an event, in its order."""
    values = {
        "EVENT_ID": record.event_id,
        "WORKFLOW_ID": record.workflow_id,
        "RUN_ID": record.run_id,
        "ACTIVITY_ID": record.activity_id,
        "MISSPELT": "not-served",
        "RIGHT": "default",
        "FILE": str(file),
    }
    async with turn:
        for command in section.commands:
            done = await commands(*filled_in(command, values))
            assert done.code == 0, (command, done.out, done.err)
            if command[1] == "audit":
                assert record.event_id in done.out, (command, done.out)


async def dead_lettered_by_hand(scene: Scene, reason: DeadLetterReason) -> AuditRecord:
    """Leave what a relay leaves that dead-letters an event for this reason; its activity waits."""
    _, reference = await scene.waiting()
    sent = event(reference, completed())
    # Far behind the end of its topic: no relay has it there.
    place = Delivery(
        record=encode_record(sent),
        topic=scene.topics.completions,
        partition=0,
        offset=10**6 + list(DeadLetterReason).index(reason),
        timestamp_ms=time.time_ns() // 10**6,
        received_at=UnixNanos(time.time_ns()),
    )
    letter = dead_letter(
        place,
        Decision(disposition=Disposition.DEAD_LETTERED, reason=reason),
        group="g",
        relay_id="relay-1",
        now=place.received_at,
    )
    await produce(
        scene.kafka,
        scene.topics.dead_letter,
        letter.value,
        key=letter.key,
        headers=[(name, value or b"") for name, value in letter.headers],
    )
    record = decision(
        sent.event_id,
        disposition=Disposition.DEAD_LETTERED,
        reason=reason,
        workflow_id=reference.workflow_id,
        run_id=reference.run_id,
        activity_id=reference.activity_id,
        topic=place.topic,
        partition=place.partition,
        offset=place.offset,
    )
    await write(scene.kafka, scene.topics, record)
    return record
