"""Each command of `relay/RUNBOOK.md`, typed where events have come to each end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from temporalio.client import Client
from tests.integration.cli.conftest import Commands, configuration
from tests.integration.cli.trail import decision, write
from tests.integration.relay.each import Each, End
from tests.integration.relay.test_operator import early, emit
from tests.integration.relay.waiting import Scene, completed, event, relay
from tests.pages import Section, filled_in, sections
from tests.support import Topics, create_topics, produce

from completion_relay.dead_letter import dead_letter
from completion_relay.decision import Decision, Delivery
from completion_schemas.audit import AuditRecord
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos

pytestmark = pytest.mark.source_tree

BY_HAND = (DeadLetterReason.UNVERIFIED, DeadLetterReason.EXHAUSTED)
"""What no relay says within a test: of one it never does, of the other only after an hour."""


REPLAYED: Mapping[End, Disposition] = {
    Disposition.UNKNOWN: Disposition.UNKNOWN,
    Disposition.SKIPPED: Disposition.APPLIED,
    DeadLetterReason.FORBIDDEN: Disposition.APPLIED,
    DeadLetterReason.EXHAUSTED: Disposition.APPLIED,
}
"""What becomes of what a section tells to replay; of `unknown` nobody knows more than before, and what was
skipped is replayed by its id alone."""


WAITING, PARKED, UNDECIDED = (
    "not decided: waiting",
    "not decided: parked",
    "not decided: undecided in status",
)
NOT_WELL = {"status", "audit"}
"""Commands that may exit 1 while an event waits: `status` where it is stuck, `audit show` as it is not decided."""

BECOMES = {"park": "parked until ", "skip": "skipped."}


@cache
def page() -> dict[str, Section]:
    return sections("relay/RUNBOOK.md")


def section_of(end: End) -> Section:
    return page()[str(end) if isinstance(end, Disposition) else f"dead letter: {end}"]


def test_each_disposition_and_each_reason_has_its_section_and_says_what_to_do() -> None:
    assert list(page()) == [
        *Disposition,
        *(f"dead letter: {reason}" for reason in DeadLetterReason),
        *(WAITING, PARKED, UNDECIDED),
    ]
    for section in page().values():
        assert "**Means** " in section.text, section.title
        assert "**Look** " in section.text, section.title
        assert section.commands, section.title


@dataclass(frozen=True, slots=True)
class Ended:
    """Where an event has come to each end, and a relay of which nothing is wrong any more runs."""

    commands: Commands
    records: Mapping[End, AuditRecord]
    plain_garbage: AuditRecord
    """Of a record that has no header at all, and so shows no id."""


@pytest.fixture(scope="module")
async def ended(
    kafka_address: str, temporal_address: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Ended]:
    """Once for all sections: it takes as long as any of them."""
    topics = Topics.unique()
    sizes = topics.max_message_bytes()
    await create_topics(
        kafka_address, {name: {"max.message.bytes": str(size)} for name, size in sizes.items()}
    )
    config = tmp_path_factory.mktemp("runbook") / "relay.toml"
    config.write_text(configuration(kafka_address, temporal_address, topics))
    client = await Client.connect(temporal_address)
    scene = Scene(client, kafka_address, temporal_address, topics, topics.completions)
    async with scene.worker():
        emitted = await Each(scene).emit()
        garbage = await produce(kafka_address, topics.completions, b"garbage")
        async with relay(scene.settings()):
            plain_garbage = await scene.decided(garbage)
            records = {end: await scene.decided(one.at) for end, one in emitted.items()}
        for reason in BY_HAND:
            records[reason] = await dead_lettered_by_hand(scene, reason)
        records[Disposition.DEAD_LETTERED] = records[DeadLetterReason.INVALID]
        async with relay(scene.settings()):
            yield Ended(Commands(config), records, plain_garbage)


@pytest.mark.parametrize("end", [*Disposition, *DeadLetterReason])
async def test_each_command_of_a_section_finds_the_event_that_ended_so(
    ended: Ended, end: End, tmp_path: Path
) -> None:
    await type_each(ended, end, ended.records[end], tmp_path)


async def test_the_section_on_what_is_undecodable_finds_what_shows_no_id(
    ended: Ended, tmp_path: Path
) -> None:
    assert ended.plain_garbage.event_id == ""
    await type_each(ended, DeadLetterReason.UNDECODABLE, ended.plain_garbage, tmp_path)


async def type_each(ended: Ended, end: End, record: AuditRecord, tmp_path: Path) -> None:
    """Type each command of a section, as who looks for what became of this record."""
    assert end in {record.disposition, record.reason}
    place = f"{record.topic}/{record.partition}/{record.offset}"
    values = {
        **({"EVENT_ID": record.event_id} if record.event_id else {}),
        "PARTITION": str(record.partition),
        "OFFSET": str(record.offset),
        "WORKFLOW_ID": record.workflow_id,
        "RUN_ID": record.run_id,
        "ACTIVITY_ID": record.activity_id,
        "MISSPELT": "not-served",
        "RIGHT": "default",
        "FILE": str(tmp_path / "kept.jsonl"),
    }
    for command in section_of(end).commands:
        done = await ended.commands(*filled_in(command, values))
        assert done.code == 0, (command, done.out, done.err)
        if command[1] == "audit":
            assert record.event_id in done.out, (command, done.out)
            assert place in done.out, (command, done.out)
        if command[1] == "replay" and "--yes" in command:
            assert done.out.split()[-2:] == ["1", REPLAYED[end]]


@pytest.mark.parametrize("title", [WAITING, PARKED, UNDECIDED])
async def test_each_command_of_a_section_finds_the_event_that_is_not_decided(
    commands: Commands, scene: Scene, title: str
) -> None:
    """Of an activity that its workflow does not come to."""
    settings = scene.settings(
        kafka={"group_id": f"{scene.topics.completions}.group"},
        relay={
            "early_timeout": 600.0,
            "stuck_after": 0.5,
            "drain_timeout": 0.5,
        },
    )
    async with relay(settings):
        at = await emit(scene, await early(scene, "e-1"))
        if title == PARKED:
            by = ("--by", "ann", "--why", "ticket 8", "--yes")
            assert (await commands("park", "e-1", "--for", "1h", *by)).code == 0
        values = {"EVENT_ID": "e-1", "PARTITION": str(at.partition), "OFFSET": str(at.offset)}
        for command in page()[title].commands:
            done = await commands(*filled_in(command, values))
            assert done.code == 0 or (done.code == 1 and command[1] in NOT_WELL), (command, done)
            if command[1] in NOT_WELL:
                assert "e-1" in done.out, (command, done.out)
            if became := BECOMES.get(command[1]):
                assert done.out.splitlines()[-1].startswith(became), (command, done.out)


async def dead_lettered_by_hand(scene: Scene, reason: DeadLetterReason) -> AuditRecord:
    """Leave what a relay leaves that dead-letters an event for this reason; its activity waits."""
    _, reference = await scene.waiting(timeout=3_600)
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
