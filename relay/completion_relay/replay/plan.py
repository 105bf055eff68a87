"""Room `replay`: what is done with each record that was read, and the plan that it adds up to. Core: touches nothing.

Asked twice of each record, when it is planned and when it is sent, `Sieve` gives the
same answer: what it remembers of the first reading decides the second one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from completion_relay.replay.again import Kept
from completion_relay.replay.decisions import Decisions
from completion_relay.replay.headers import Position
from completion_relay.replay.selection import Selection, decoded
from completion_schemas.dispositions import Disposition
from completion_schemas.events import CompletionEvent, Heartbeat


class Treatment(StrEnum):
    """What a replay does with a record."""

    SEND = "send"
    NOT_ASKED = "not asked for"
    HEARTBEAT = "heartbeat"
    """Left out unless asked for: it decides nothing, and says something of then."""
    COPY = "copy"
    """A replay, or a dead letter, of an event of which another record is taken."""
    SINCE = "decided otherwise since"
    """Asked for by how it ended, and a replay has ended otherwise."""
    OTHERWISE = "decided otherwise"
    """The same, and it was never replayed: a dead letter did not end as applied."""
    SKIPPED = "skipped by an operator"
    """A person decided not to apply it: sent only if asked for by name, or by that end."""
    OVER_CAP = "over the cap"
    """Replayed so often that a person should look at it."""


@dataclass(frozen=True, slots=True)
class Treated:
    """A record, and what is done with it."""

    kept: Kept
    event: CompletionEvent | None
    """What is in it; None where that is none."""
    treatment: Treatment
    count: int
    """How often it has been replayed so far."""


class Sieve:
    """Decides what is done with a record."""

    def __init__(
        self,
        selection: Selection,
        decisions: Decisions,
        *,
        max_replays: int,
        is_read: Callable[[Position], bool],
        is_wanted: Callable[[Kept], bool] = lambda _: True,
    ) -> None:
        """Have read nothing yet.

        Args:
            selection: What is asked for.
            decisions: What the audit trail says.
            max_replays: How often an event may be replayed in all.
            is_read: Whether the record that was first is itself among those that are read.
            is_wanted: Whether the audit trail has named this record, where it was asked.
        """
        self._selection = selection
        self._decisions = decisions
        self._max_replays = max_replays
        self._is_read = is_read
        self._is_wanted = is_wanted
        self._taken: dict[Position, tuple[int, int]] = {}
        """Which record is taken of an event whose first one is not read: the first of them."""

    def treat(self, kept: Kept) -> Treated:
        """Return what is done with a record."""
        origin = kept.origin
        count = max(kept.replays, self._decisions.replays(origin))
        event = decoded(kept)
        return Treated(kept, event, self._treatment(kept, event, origin, count), count)

    def _treatment(
        self, kept: Kept, event: CompletionEvent | None, origin: Position, count: int
    ) -> Treatment:
        if not (self._is_wanted(kept) and self._selection.matches(kept, event)):
            return Treatment.NOT_ASKED
        if (
            not self._selection.heartbeats
            and event is not None
            and isinstance(event.outcome, Heartbeat)
        ):
            return Treatment.HEARTBEAT
        if not self._ended_as_asked(origin):
            return Treatment.SINCE if self._decisions.replays(origin) else Treatment.OTHERWISE
        is_read = self._is_read(origin)
        if is_read and origin != kept.position:
            return Treatment.COPY
        if not is_read and self._taken.setdefault(origin, kept.at) != kept.at:
            return Treatment.COPY
        if self._stays_skipped(origin):
            return Treatment.SKIPPED
        return Treatment.OVER_CAP if count >= self._max_replays else Treatment.SEND

    def _stays_skipped(self, origin: Position) -> bool:
        # Temporal knows nothing of a skip, so its activity may wait: whoever replays a range has not
        # thought of this event, whoever names it has.
        asked, last = self._selection, self._decisions.last(origin)
        if last is None or last.disposition is not Disposition.SKIPPED:
            return False
        return not (asked.event_ids or Disposition.SKIPPED in asked.dispositions)

    def _ended_as_asked(self, origin: Position) -> bool:
        asked = self._selection
        by_reason = bool(asked.reasons) and not asked.dead_letters
        if not (asked.dispositions or by_reason):
            return True
        last = self._decisions.last(origin)
        return last is not None and (
            (not asked.dispositions or last.disposition in asked.dispositions)
            and (not by_reason or last.reason in asked.reasons)
        )


NOT_DECIDED = "not decided"


@dataclass(slots=True)
class Plan:
    """What a replay would do, added up."""

    treatments: Counter[Treatment] = field(default_factory=Counter)
    by_last: Counter[str] = field(default_factory=Counter)
    """Events to send, by how they ended last."""
    outlook: Counter[str] = field(default_factory=Counter)
    """Events to send that were looked at, by what would become of each of them alone now."""
    away: int = 0
    """Events to send that were not looked at because Temporal could not be asked."""
    not_alone: int = 0
    """Events that would be applied alone, for an activity that an earlier one of these may end."""
    gone: int = 0
    """Events that the audit trail names and the topic has no more."""
    cut: int = 0
    """Offsets of its range, events at most, that were deleted before an interrupted replay came to them."""
    sent_before: int = 0
    """Events that this replay has sent before it was interrupted."""
    bytes: int = 0
    """Of the records to send."""
    first_ms: int | None = None
    """Time of the oldest of them, milliseconds since the epoch."""
    last_ms: int | None = None
    """Of the newest."""
    _activities: set[str] = field(default_factory=set, repr=False)
    """Those that an event would end: as many as looks are made, at most."""

    def add(self, treated: Treated, decisions: Decisions) -> None:
        """Add a record."""
        self.treatments[treated.treatment] += 1
        if treated.treatment is not Treatment.SEND:
            return
        kept = treated.kept
        last = decisions.last(kept.origin)
        self.by_last[str(last) if last else NOT_DECIDED] += 1
        self.bytes += kept.size
        stamp = kept.first_timestamp_ms
        self.first_ms = stamp if self.first_ms is None else min(self.first_ms, stamp)
        self.last_ms = stamp if self.last_ms is None else max(self.last_ms, stamp)

    def look(self, treated: Treated, would: str | None) -> None:
        """Add what would become of an event to send.

        Args:
            treated: The event's record.
            would: A disposition, or that it is not known; None: Temporal could not be asked.
        """
        if would is None:
            self.away += 1
            return
        self.outlook[would] += 1
        event = treated.event
        if event is None or would != Disposition.APPLIED:
            return
        self.not_alone += event.activity_key in self._activities
        if not isinstance(event.outcome, Heartbeat):
            self._activities.add(event.activity_key)

    @property
    def to_send(self) -> int:
        """How many events would be sent."""
        return self.treatments[Treatment.SEND]

    @property
    def selected(self) -> int:
        """How many events were found that are asked for."""
        return sum(self.treatments.values())

    @property
    def has_news(self) -> bool:
        """Whether anything was found but what is there of events that were taken before."""
        return bool(self.gone) or self.selected > self.treatments[Treatment.COPY]

    @property
    def not_looked_at(self) -> int:
        """How many events to send were not looked at."""
        return self.to_send - sum(self.outlook.values())
