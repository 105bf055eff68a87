"""Room `replay`: which records are asked for. Core: touches nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from completion_relay import dead_letter
from completion_relay.replay.again import Kept
from completion_relay.replay.headers import text_of
from completion_relay.task_token import read_token, seems_to_name
from completion_schemas.cloudevents import claim
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.errors import CompletionError, DecodeError
from completion_schemas.events import CompletionEvent
from completion_schemas.times import UnixNanos

END: Final = 2**63 - 1
"""An offset beyond all others."""

_GAP: Final = 1_000
"""Offsets between two records that are wanted, up to which those between are read and dropped: a seek
throws away what has been fetched already."""
_OFFSETS = re.compile(r"(\d{1,10}):(\d{1,18})(?:(-)(\d{1,18})?)?", re.ASCII)


class SelectionError(CompletionError):
    """What was asked for cannot be meant; the message names it, the problem and the fix."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Offsets of one partition, or lines of a file, in a row."""

    begin: int
    end: int
    """Behind the last one."""

    def __contains__(self, offset: int) -> bool:
        """Whether it is one of them."""
        return self.begin <= offset < self.end

    def within(self, other: Span) -> Span:
        """Return what of it is in the other one, too."""
        begin = max(self.begin, other.begin)
        return Span(begin, max(begin, min(self.end, other.end)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which events are asked for; what is left out asks for nothing."""

    dead_letters: bool = False
    """Of the dead-letter topic, and not of the events' own."""
    since: UnixNanos | None = None
    """Put on the topic at this time or later."""
    until: UnixNanos | None = None
    """Before this time."""
    offsets: tuple[tuple[int, Span], ...] = ()
    """Partitions and offsets of the topic; empty: all of them."""
    event_ids: frozenset[str] = frozenset()
    workflow_ids: frozenset[str] = frozenset()
    """Of the waiting workflows."""
    dispositions: frozenset[Disposition] = frozenset()
    """How the event ended, with the latest of its replays."""
    reasons: frozenset[DeadLetterReason] = frozenset()
    heartbeats: bool = False
    """Whether these are replayed, too."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was asked for, which would be everything."""
        return not (
            self.dead_letters
            or self.offsets
            or self.needs_trail
            or (self.since, self.until) != (None, None)
        )

    @property
    def needs_trail(self) -> bool:
        """Whether the audit trail tells, without the topic being read, which records they are."""
        return bool(
            self.event_ids
            or self.workflow_ids
            or self.dispositions
            or (self.reasons and not self.dead_letters)
        )

    def spans(self, partition: int, there: Span) -> list[Span]:
        """Return which offsets of a partition may be meant, in their order and without overlap.

        Args:
            partition: Whose.
            there: What the partition holds.
        """
        if not self.offsets:
            return [there]
        asked = sorted(span.within(there) for number, span in self.offsets if number == partition)
        return joined([span for span in asked if span.begin < span.end])

    def may_be_of(self, occurred_at: UnixNanos | None, received_at: UnixNanos) -> bool:
        """Return whether a record may have been put on the topic within the times, as the trail tells.

        Args:
            occurred_at: When its event was made, before that; None: nobody knows.
            received_at: When a relay took it, after that.
        """
        is_before = self.since is not None and received_at < self.since
        is_after = self.until is not None and occurred_at is not None and occurred_at >= self.until
        return not (is_before or is_after)

    def matches(self, kept: Kept, event: CompletionEvent | None) -> bool:
        """Return whether a record is asked for, as far as it says itself.

        Args:
            kept: The record.
            event: What is in it; None where that is none.
        """
        stamp = kept.timestamp_ms * 10**6
        if self.since is not None and stamp < self.since:
            return False
        if self.until is not None and stamp >= self.until:
            return False
        if self.dead_letters and self.reasons:
            reason = text_of(kept.record.headers, dead_letter.PREFIX + "reason")
            if reason not in self.reasons:
                return False
        if self.event_ids:
            record = kept.record
            found = event.event_id if event else claim(record.headers, record.value).event_id
            if found not in self.event_ids:
                return False
        return not self.workflow_ids or bool(
            event and _waiting_workflow(event) in self.workflow_ids
        )


def parse_offsets(text: str) -> tuple[int, Span]:
    """Return a partition and the offsets of it that the text names, both ends included.

    Args:
        text: `PARTITION:FROM-TO`, `PARTITION:FROM-` to the end, or `PARTITION:OFFSET`.

    Raises:
        SelectionError: it is none of these.
    """
    found = _OFFSETS.fullmatch(text)
    if found is None:
        raise SelectionError(
            f"--offsets {text!r}: not offsets: write PARTITION:FROM-TO, for example 3:1200-1300, or "
            "3:1200- to the end"
        )
    partition, begin = int(found[1]), int(found[2])
    if not found[3]:
        return partition, Span(begin, begin + 1)
    end = int(found[4]) + 1 if found[4] else END
    if end <= begin:
        raise SelectionError(
            f"--offsets {text!r}: ends before it begins: write the lower offset first"
        )
    return partition, Span(begin, end)


def runs_of(offsets: Iterable[int]) -> list[Span]:
    """Return what to read for single offsets: those near each other in one go."""
    runs: list[Span] = []
    for offset in sorted(offsets):
        if runs and offset - runs[-1].end <= _GAP:
            runs[-1] = Span(runs[-1].begin, offset + 1)
        else:
            runs.append(Span(offset, offset + 1))
    return runs


def after(spans: Sequence[Span], offset: int) -> list[Span]:
    """Return what is left of the spans from an offset on."""
    return [Span(max(span.begin, offset), span.end) for span in spans if span.end > offset]


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return spans, given in the order of their beginnings, with those that touch as one."""
    found: list[Span] = []
    for span in spans:
        if found and span.begin <= found[-1].end:
            found[-1] = Span(found[-1].begin, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def decoded(kept: Kept) -> CompletionEvent | None:
    """Return the event in a record, None where there is none."""
    try:
        return kept.event()
    except DecodeError:
        return None


def _waiting_workflow(event: CompletionEvent) -> str:
    # As the audit record names it: the token decides, the ids explain.
    token = event.activity.token_bytes()
    if token and not seems_to_name(token, event.activity):
        hint = read_token(token)
        if hint is not None:
            return hint.workflow_id
    return event.activity.workflow_id
