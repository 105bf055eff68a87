"""Room `tests/drills`: what came of a drill, from Temporal's history and the audit trail. Touches both servers.

The truth about an activity is Temporal's history; the relay's own word is held against it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from temporalio.client import Client
from tests.chaos.found import Ended
from tests.chaos.gather import read_history
from tests.chaos.script import Address, Event, Kind, event_id, returned
from tests.drills.stack import TOPICS, Stack
from tests.support import consume_all

from completion_schemas.audit import AuditRecord, decode_audit
from completion_schemas.dispositions import Disposition
from completion_schemas.times import UnixNanos

SEED = 0
"""Of the load: a drill has no chance in it but the order of what is emitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a drill comes to."""

    drill: str
    activities: int
    events: int
    """Records on the topic before the disaster."""
    replayed: int
    """How many of them were delivered or put again."""
    became: Mapping[str, int]
    """What became of those, by disposition."""
    doubled: int
    """Activities completed more than once, or by an event that is not theirs."""
    seconds: float
    """From the first command to the last decision."""


@dataclass(frozen=True, slots=True)
class Activities:
    """What Temporal's history has of the activities of a drill."""

    ends: Mapping[Address, list[Ended]]
    results: Mapping[Address, tuple[str, ...]]

    def doubled(self, addresses: Iterable[Address], trail: Iterable[AuditRecord]) -> list[str]:
        """Return each activity that has not exactly its own result, and each that trail and history tell otherwise.

        Args:
            addresses: Of those that were completed.
            trail: The audit records that are to agree with history.
        """
        applied: defaultdict[str, set[str]] = defaultdict(set)
        for record in trail:
            if record.disposition is Disposition.APPLIED:
                place = f"{record.topic}/{record.partition}/{record.offset}"
                applied[record.event_id].add(f"completion-relay/{record.event_id}@{place}")
        wrong = []
        for address in addresses:
            ends = self.ends.get(address, [])
            own = event_id(SEED, Event(Kind.COMPLETED, address))
            if [end.outcome for end in ends] != ["completed"]:
                wrong.append(f"{address} has the ends {ends}")
            elif self.results.get(address) != returned(SEED, address, Kind.COMPLETED):
                wrong.append(f"{address} has the result {self.results.get(address)!r}")
            elif applied[own] != {ends[0].identity}:
                wrong.append(f"{address} was ended by {ends[0]}, and the trail has {applied[own]}")
        return wrong


async def audit(stack: Stack) -> list[AuditRecord]:
    """Return the audit trail as a reader of committed records sees it."""
    records = await consume_all(stack.kafka.address, TOPICS.audit)
    return [decode_audit(record.value) for record in records if record.value is not None]


async def histories(client: Client, addresses: Iterable[Address]) -> Activities:
    """Return what Temporal's history has of activities, once their workflows have ended."""
    results: dict[Address, tuple[str, ...]] = {}
    ends: dict[Address, list[Ended]] = {}
    for workflow in sorted({workflow for workflow, _ in addresses}):
        handle = client.get_workflow_handle(workflow)
        await handle.result()
        read_history(workflow, (await handle.fetch_history()).events, results, ends)
    return Activities(ends, results)


def counted(records: Iterable[AuditRecord]) -> dict[str, int]:
    """Return how many ended how."""
    return dict(sorted(Counter(str(record.disposition) for record in records).items()))


def by_place(record: AuditRecord) -> tuple[int, int, str, str | None]:
    """Return where a record was, and how it ended."""
    return record.partition, record.offset, record.disposition, record.reason


@dataclass(frozen=True, slots=True)
class Round:
    """What all events of a drill came to, once each was decided."""

    everyone: Sequence[Address]
    """The activities that were completed."""
    trail: list[AuditRecord]
    history: Activities

    @classmethod
    async def first(cls, stack: Stack, client: Client, everyone: Sequence[Address]) -> Round:
        """Return the round before the disaster."""
        return cls(everyone, await audit(stack), await histories(client, everyone))

    async def second(self, stack: Stack, client: Client, *, since: UnixNanos) -> Round:
        """Return the round in which all of it was decided again, from this time on."""
        again = [record for record in await audit(stack) if record.decided_at >= since]
        return Round(self.everyone, again, await histories(client, self.everyone))

    def doubled(self, second: Round) -> list[str]:
        """Return each activity that has not exactly its own result by history and by both rounds."""
        return second.history.doubled(self.everyone, self.trail) + second.history.doubled(
            self.everyone, second.trail
        )

    def figures(self, second: Round, *, drill: str, seconds: float) -> Figures:
        """Return what the second round comes to."""
        return Figures(
            drill=drill,
            activities=len(self.everyone),
            events=len(self.trail),
            replayed=len(second.trail),
            became=counted(second.trail),
            doubled=len(self.doubled(second)),
            seconds=round(seconds, 1),
        )

    def hold(self, second: Round) -> None:
        """Hold that each position was decided once more, as it was, and that Temporal saw nothing of it."""
        assert {by_place(record) for record in second.trail} == {
            by_place(record) for record in self.trail
        }
        assert len(second.trail) == len(self.trail)
        assert self.doubled(second) == []
        assert second.history == self.history
