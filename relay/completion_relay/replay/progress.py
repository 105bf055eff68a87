"""Room `replay`: how far a replay has come, as it stands in the offsets that Kafka keeps. Core: touches nothing.

The committed offset of a partition says what has been replayed of it; its metadata
say of what. A replay's range is fixed when it begins, or one of a topic into itself
would never end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from completion_relay.replay.selection import Span
from completion_schemas.times import UnixNanos

_VERSION: Final = 1
_NUMBERS: Final = range(2**63)


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

    @property
    def is_done(self) -> bool:
        """Whether nothing is left of the partition."""
        return self.reached >= self.span.end

    def at(self, reached: int, *, sent: int) -> Mark:
        """Return the mark after so many more events have been sent, and all up to an offset read."""
        return replace(self, reached=max(self.reached, reached), sent=self.sent + sent)

    @property
    def metadata(self) -> str:
        """What is written beside the offset; Kafka takes 4,096 bytes, this has some 250 at most."""
        fields = {
            "v": _VERSION,
            "digest": self.digest,
            "begin": self.span.begin,
            "end": self.span.end,
            "sent": self.sent,
            "since": self.since,
            "until": self.until,
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
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    given = [number for number in (since, until) if number is not None]
    if not all(type(n) is int and n in _NUMBERS for n in (offset, begin, end, sent, *given)):
        return None
    return Mark(fields["digest"], Span(begin, end), offset, sent, since, until)


def digest_of(parts: Mapping[str, Any]) -> str:
    """Return what tells one replay from another: 32 hex digits of SHA-256.

    Args:
        parts: All that decides which events are sent and what is changed, as JSON has it.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
