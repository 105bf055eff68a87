"""What was decided of an event, where the index answers and the topic does not."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from tests.unit.relay.trails import MemoryTrail, decision

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index.known import Known
from completion_relay.audit_index.store import Progress, Source
from completion_relay.audit_trail import AuditEntry
from completion_relay.cli.audit import decisions
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicError
from completion_schemas.audit import AuditRecord

WANTED = AuditFilter(event_id="e")
OF_INDEX, OF_TOPIC = decision("e", decided=1), decision("e", decided=2)


def entries(*records: AuditRecord) -> tuple[AuditEntry, ...]:
    """Return them as an index has them that begins with the topic."""
    return tuple(AuditEntry(record, 0, offset) for offset, record in enumerate(records))


def has(
    monkeypatch: pytest.MonkeyPatch, *records: AuditRecord, trail: MemoryTrail | Exception
) -> None:
    """Have the index hold these records, of the first as many offsets, and the topic be this."""

    async def ask_index(*_: Any) -> Known:
        return Known(
            "x", Source("audit", ""), entries(*records), {0: Progress(begin=0, next=len(records))}
        )

    @contextlib.asynccontextmanager
    async def opened_trail(_: Any) -> AsyncIterator[MemoryTrail]:
        if isinstance(trail, Exception):
            raise trail
        yield trail

    monkeypatch.setattr(decisions, "ask_index", ask_index)
    monkeypatch.setattr(decisions, "opened_trail", opened_trail)
    monkeypatch.setattr(decisions, "_latest", lambda _: 7)


@pytest.mark.parametrize("away", [KafkaConnectionError(), TopicError("not there")])
async def test_where_the_topic_cannot_be_read_the_index_says_how_far_it_goes(
    monkeypatch: pytest.MonkeyPatch, away: Exception
) -> None:
    has(monkeypatch, OF_INDEX, trail=away)
    found = await decisions.decisions_on(Settings(), WANTED)
    assert (found.records, found.index_until) == ([OF_INDEX], 7)


async def test_what_the_index_has_not_is_nowhere_only_where_the_topic_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has(monkeypatch, trail=TopicError("not there"))
    with pytest.raises(TopicError):
        await decisions.decisions_on(Settings(), WANTED)


async def test_nothing_is_read_on_the_topic_that_the_index_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trail = MemoryTrail()
    for record in (OF_INDEX, OF_TOPIC):
        trail.append(record, written=1)
    has(monkeypatch, OF_INDEX, trail=trail)
    found = await decisions.decisions_on(Settings(), WANTED)
    assert (found.records, found.index_until) == ([OF_INDEX, OF_TOPIC], None)
    assert trail.read_offsets == [(0, 1)]


async def test_from_a_record_on_that_the_index_could_not_read_the_topic_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An indexer of an older version takes what a newer relay writes for no audit record."""
    trail = MemoryTrail()
    for record in (OF_INDEX, OF_TOPIC):
        trail.append(record, written=1)
    progress = {0: Progress(begin=0, next=2, unreadable=1, first_unreadable=1)}
    has(monkeypatch, trail=trail)

    async def ask_index(*_: Any) -> Known:
        return Known("x", Source("audit", ""), entries(OF_INDEX, OF_TOPIC), progress)

    monkeypatch.setattr(decisions, "ask_index", ask_index)
    found = await decisions.decisions_on(Settings(), WANTED)
    assert found.records == [OF_INDEX, OF_TOPIC]
    assert trail.read_offsets == [(0, 1)]
    assert "could not read 1 record of partition 0" in capsys.readouterr().err


UNREADABLE = Progress(begin=0, next=3, records=2, unreadable=1, first_unreadable=1)
"""Of `OF_INDEX` at offset 0 and `OF_TOPIC` at offset 2."""
ENTRIES = (AuditEntry(OF_INDEX, 0, 0), AuditEntry(OF_TOPIC, 0, 2))


async def test_what_retention_took_is_in_the_index_behind_an_unreadable_record_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trail = MemoryTrail()
    for number in range(4):
        trail.append(decision("other", decided=number), written=number)
    trail.begins = 3
    has(monkeypatch, trail=trail)

    async def ask_index(*_: Any) -> Known:
        return Known("x", Source("audit", ""), ENTRIES, {0: UNREADABLE})

    monkeypatch.setattr(decisions, "ask_index", ask_index)
    found = await decisions.decisions_on(Settings(), WANTED)
    assert found.records == [OF_INDEX, OF_TOPIC]


async def test_where_the_topic_cannot_be_read_the_index_gives_all_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has(monkeypatch, trail=KafkaConnectionError())

    async def ask_index(*_: Any) -> Known:
        return Known("x", Source("audit", ""), ENTRIES, {0: UNREADABLE})

    monkeypatch.setattr(decisions, "ask_index", ask_index)
    found = await decisions.decisions_on(Settings(), WANTED)
    assert found.records == [OF_INDEX, OF_TOPIC]


@pytest.mark.parametrize(
    ("source", "of_trail"),
    [(Source("another", ""), ""), (Source("audit", "production"), "staging")],
)
async def test_what_the_index_of_another_topic_or_kafka_has_is_no_answer(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: Source,
    of_trail: str,
) -> None:
    trail = MemoryTrail()
    trail.cluster = of_trail
    trail.append(OF_TOPIC, written=1)
    has(monkeypatch, trail=trail)

    async def ask_index(*_: Any) -> Known:
        return Known("x", source, entries(OF_INDEX), {0: Progress(begin=0, next=1)})

    monkeypatch.setattr(decisions, "ask_index", ask_index)
    found = await decisions.decisions_on(Settings(), WANTED)
    assert found.records == [OF_TOPIC]
    assert "The index cannot be asked" in capsys.readouterr().err
