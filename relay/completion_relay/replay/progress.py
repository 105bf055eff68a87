"""Room `replay`: how far a replay has come, as it stands in the offsets that Kafka keeps. Core: touches nothing.

The committed offset of a partition says what has been replayed of it; its metadata
say of what. A replay's range is fixed when it begins, or one of a topic into itself
would never end. What comes later is for the next one of the same words, once this one
is done: that begins where this one ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from completion_relay.replay.selection import Span, joined
from completion_schemas.times import UnixNanos

_VERSION: Final = 1
_NUMBERS: Final = range(2**63)
_MOST_SPANS: Final = 8
"""Of those before: beyond that, two are taken for one with what lies between them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a replay has come in one partition of its source."""

    digest: str
    """Of what is replayed, and how."""
    span: Span
    """What of the partition is replayed."""
    reached: int
    """The next offset."""
    sent: int = 0
    """Events sent so far."""
    since: UnixNanos | None = None
    """`--from`, as it was when the replay began: `1h` is another time each time it is typed."""
    until: UnixNanos | None = None
    """`--to`, likewise."""
    before: tuple[Span, ...] = ()
    """What earlier replays of the same words have had of the partition."""
    sent_earlier: int = 0
    """Events that those have sent."""
    partitions: int = 0
    """How many marks the replay has, one a partition; 0: a version that did not write it began it."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left of the partition."""
        return self.reached >= self.span.end

    def at(self, reached: int, *, sent: int) -> Mark:
        """Return the mark after so many more events have been sent, and all up to an offset read."""
        return replace(self, reached=max(self.reached, reached), sent=self.sent + sent)

    def beyond(
        self, span: Span, *, since: UnixNanos | None, until: UnixNanos | None, partitions: int
    ) -> Mark:
        """Return the mark with which the next replay of the same words begins: behind all that this one had.

        Args:
            span: What the partition has now of what the words ask for.
            since: `--from`, as it is now.
            until: `--to`, likewise.
            partitions: How many there are now.
        """
        # Of two runs of one replay the later one may have gone further than the range of the first.
        had = Span(self.span.begin, max(self.span.end, self.reached))
        begin = max(span.begin, had.end)
        before = joined([*self.before, had])
        while len(before) > _MOST_SPANS:
            before[:2] = [Span(before[0].begin, before[1].end)]
        return Mark(
            self.digest,
            Span(begin, max(begin, span.end)),
            begin,
            0,
            since,
            until,
            tuple(before),
            self.sent_earlier + self.sent,
            partitions,
        )

    def covers(self, other: Mark) -> bool:
        """Whether a run with this range reads all that one with the other range would read.

        It may go further: without a time, what has come since is in the later one's range.
        """
        return (self.digest, self.since, self.until, self.before, self.span.begin) == (
            other.digest,
            other.since,
            other.until,
            other.before,
            other.span.begin,
        ) and self.span.end >= other.span.end

    @property
    def metadata(self) -> str:
        """What is written beside the offset; Kafka takes 4,096 bytes, this has some 700 at most."""
        fields = {
            "v": _VERSION,
            "digest": self.digest,
            "begin": self.span.begin,
            "end": self.span.end,
            "sent": self.sent,
            "since": self.since,
            "until": self.until,
            "before": [(span.begin, span.end) for span in self.before],
            "sent_earlier": self.sent_earlier,
            "partitions": self.partitions,
        }
        return json.dumps(fields, separators=(",", ":"))


def read_mark(offset: int, metadata: str) -> Mark | None:
    """Return the mark that a committed offset and its metadata are; None where they are none."""
    try:
        fields: Any = json.loads(metadata)
        if fields["v"] != _VERSION or not isinstance(fields["digest"], str):
            return None
        begin, end, sent = fields["begin"], fields["end"], fields["sent"]
        since, until = fields["since"], fields["until"]
        before, sent_earlier = fields.get("before", []), fields.get("sent_earlier", 0)
        partitions = fields.get("partitions", 0)
        spans = tuple(Span(begin_, end_) for begin_, end_ in before)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    numbers = [offset, begin, end, sent, sent_earlier, partitions]
    numbers += [number for number in (since, until) if number is not None]
    numbers += [number for span in spans for number in (span.begin, span.end)]
    if not all(type(number) is int and number in _NUMBERS for number in numbers):
        return None
    return Mark(
        fields["digest"],
        Span(begin, end),
        offset,
        sent,
        since,
        until,
        spans,
        sent_earlier,
        partitions,
    )


def missing(marks: Mapping[int, Mark]) -> list[int]:
    """Return the partitions of a replay whose marks Kafka has no more, while it has some of the others."""
    # Of a version that did not write how many there are, at least the gaps tell.
    there = max((max(mark.partitions, number + 1) for number, mark in marks.items()), default=0)
    return [number for number in range(there) if number not in marks]


def digest_of(parts: Mapping[str, Any]) -> str:
    """Return what tells one replay from another: 32 hex digits of SHA-256.

    Args:
        parts: All that decides which events are sent and what is changed, as JSON has it.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
