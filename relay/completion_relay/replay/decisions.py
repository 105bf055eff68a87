"""Room `replay`: what the audit trail says of the events that may be replayed. Core: touches nothing.

A trail has millions of records, and a plan wants two things of each: how the event
ended, and how often it has been replayed. So a byte an offset is kept, and more
only of what was replayed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from completion_relay.replay.headers import Position
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import DeadLetterReason, Disposition

_PAGE: Final = 4_096
_NEVER: Final = -(2**63)


class Ended(NamedTuple):
    """How an event ended."""

    disposition: Disposition
    reason: DeadLetterReason | None = None

    def __str__(self) -> str:
        return f"{self.disposition} ({self.reason})" if self.reason else str(self.disposition)


_ENDS: Final = (
    *(Ended(disposition) for disposition in Disposition),
    *(Ended(Disposition.DEAD_LETTERED, reason) for reason in DeadLetterReason),
)
_CODES: Final = {end: code for code, end in enumerate(_ENDS, 1)}


@dataclass(slots=True)
class _Replayed:
    positions: set[Position] = field(default_factory=set)
    decided_at: int = _NEVER
    end: Ended | None = None


class Decisions:
    """What became of events, by where they were first."""

    def __init__(self) -> None:
        """Know of none."""
        # In pages: offsets that are far apart, as after a topic was made anew, take no memory.
        self._own: defaultdict[tuple[str, int], dict[int, bytearray]] = defaultdict(dict)
        self._replayed: defaultdict[Position, _Replayed] = defaultdict(_Replayed)

    def note(self, record: AuditRecord) -> None:
        """Take note of an audit record; the same one again says nothing new."""
        position = Position(record.topic, record.partition, record.offset)
        origin = Position.parse(record.replay_of) if record.replay_of else None
        end = Ended(record.disposition, record.reason)
        if origin is None:
            page, place = divmod(position.offset, _PAGE)
            pages = self._own[position.topic, position.partition]
            pages.setdefault(page, bytearray(_PAGE))[place] = _CODES[end]
            return
        replayed = self._replayed[origin]
        replayed.positions.add(position)
        if record.decided_at >= replayed.decided_at:
            replayed.decided_at, replayed.end = record.decided_at, end

    def last(self, origin: Position) -> Ended | None:
        """Return how the event ended, with the latest of its replays; None: nothing tells."""
        replayed = self._replayed.get(origin)
        if replayed is not None:
            return replayed.end
        page, place = divmod(origin.offset, _PAGE)
        found = self._own.get((origin.topic, origin.partition), {}).get(page)
        return _ENDS[found[place] - 1] if found and found[place] else None

    def replays(self, origin: Position) -> int:
        """Return how many of its replays have been decided."""
        replayed = self._replayed.get(origin)
        return 0 if replayed is None else len(replayed.positions)
