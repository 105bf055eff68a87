"""Room `replay`: what each event would do now: a bounded number of looks at Temporal. Touches temporalio.

As the relay looks, and with its own words; nothing is changed there. A look says
how it is now: when the event is sent, it may have become otherwise, and what the
relay then finds is what counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from completion_relay.calls import Calls
from completion_relay.clock import SystemClock
from completion_relay.connections import (
    TemporalConnection,
    connect_reason,
    routes_of,
    temporal_connections,
)
from completion_relay.evidence import Decided, Finding, Pending, Question
from completion_relay.identity import RecordMark
from completion_relay.instead import is_called_too_large
from completion_relay.replay.again import Changes
from completion_relay.replay.plan import Treated
from completion_relay.route import Destination
from completion_relay.settings import Settings
from completion_relay.triage import Triage, question_for
from completion_relay.verdict import FAULT, Answer, DeadLetter, Fault, Status
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import Heartbeat

_NOWHERE: Final = -1
"""An offset that no record has: a mark in history that has another is of another record."""
_AT_ONCE: Final = 16
_NO_ANSWER: Final = frozenset({Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.CANCELLED})
"""What the client says itself where there was no answer; the others are a server's own."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would become of an event."""

    would: str
    """A disposition, or that it is not known yet."""
    detail: str


NOT_KNOWN: Final = "not known yet"
FAILED: Final = "look failed"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about one event, without the event: its result may have megabytes."""

    to: Destination
    question: Question
    is_heartbeat: bool
    is_called_too_large: bool = False
    """Whether it is itself a failure of the type that stands for an outcome that is too large."""


class LookUps:
    """Looks at what became of activities, one after the other and some side by side."""

    def __init__(self, settings: Settings, changes: Changes) -> None:
        """Connect to nothing yet.

        Args:
            settings: Which clusters and namespaces are served.
            changes: What the replay changes of the events.

        Raises:
            ConfigurationError: Temporal's profile cannot be read.
        """
        self._connections = temporal_connections(settings.temporal)
        self._routes = routes_of(settings, self._connections)
        self._changes = changes
        self._triages: dict[str, Triage] = {}
        self._away: dict[str, str] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    @property
    def away(self) -> tuple[str, ...]:
        """What is to be said of clusters that were asked in vain; they are not asked again."""
        return tuple(self._away.values())

    def asked(self, treated: Treated) -> Asked | Outlook:
        """Return what to ask about an event, or what is known of it without asking."""
        event = treated.event
        if event is None:
            return _dead_letter(DeadLetterReason.UNDECODABLE, "the record holds no event")
        event = self._changes.applied_to(event)
        to = self._routes.destination_of(event)
        if isinstance(to, DeadLetter):
            return _dead_letter(to.reason, to.detail)
        # Of another record than any that may be in history: the same event id there is a duplicate.
        mark = RecordMark(event.event_id, self._changes.topic, 0, _NOWHERE)
        question = question_for(event, mark)
        if question is None:
            return Outlook(Disposition.UNKNOWN, "there are no ids, and the token cannot be read")
        return Asked(
            to,
            question,
            isinstance(event.outcome, Heartbeat),
            is_called_too_large=is_called_too_large(event.outcome),
        )

    async def look(self, asked: Asked) -> Outlook | None:
        """Return what would become of an event; None: its cluster cannot be asked."""
        async with self._at_once:
            if asked.to.cluster in self._away:
                return None
            triage = await self._triage(asked.to.cluster)
            found = await triage.find(asked.to.namespace, asked.question)
        if isinstance(found, Answer) and FAULT[found.status] is Fault.WEATHER:
            self._away[asked.to.cluster] = _away(self._connection(asked.to.cluster), found)
            return None
        return _outlook(found, asked)

    async def look_at(
        self, questions: Sequence[Asked], step: Callable[[int], None]
    ) -> list[Outlook | None]:
        """Return what would become of each; `step` is told of each look that is done."""

        async def one(asked: Asked) -> Outlook | None:
            found = await self.look(asked)
            step(1)
            return found

        return await asyncio.gather(*(one(asked) for asked in questions))

    async def _triage(self, cluster: str) -> Triage:
        if cluster not in self._triages:
            connection = self._connection(cluster)
            client = await connection.client(lazy=True)
            calls = Calls(at_once=_AT_ONCE, seconds=connection.rpc_timeout)
            self._triages[cluster] = Triage(client, calls, SystemClock())
        return self._triages[cluster]

    def _connection(self, cluster: str) -> TemporalConnection:
        return next(one for one in self._connections if one.name == cluster)


def _outlook(found: Finding | Answer, asked: Asked) -> Outlook:
    match found:
        case Pending(attempt):
            return Outlook(
                Disposition.APPLIED, f"the activity waits for it, with attempt {attempt}"
            )
        case Decided(Disposition.CONFLICT, detail) if asked.is_heartbeat:
            return Outlook(Disposition.COALESCED, detail)
        case Decided(detail=detail) if _is_too_large(found, asked):
            return _dead_letter(
                DeadLetterReason.TOO_LARGE,
                f"failed in its stead, and unless the limit was raised since it is too large again: {detail}",
            )
        case Decided(disposition, detail):
            return Outlook(disposition, detail)
        case Answer():
            return Outlook(FAILED, f"{found.status}: {found.message}")
        case _:
            return Outlook(NOT_KNOWN, found.detail)


def _is_too_large(found: Decided, asked: Asked) -> bool:
    # A heartbeat fails nothing, and a failure of the callee's own may be of the type of ours.
    in_its_stead = found.in_its_stead or found.of_another_in_its_stead
    return in_its_stead and not asked.is_called_too_large


def _dead_letter(reason: DeadLetterReason, detail: str) -> Outlook:
    return Outlook(f"{Disposition.DEAD_LETTERED} ({reason})", detail)


def _away(connection: TemporalConnection, answer: Answer) -> str:
    if answer.status not in _NO_ANSWER:
        return (
            f"Temporal at {connection.address} answered {answer.status}: {answer.message}: try again "
            "later, or with fewer --look-ups"
        )
    return (
        f"Temporal at {connection.address} could not be reached: {connect_reason(answer.message)}: check "
        f"that it runs, {connection.help}"
    )
