"""Room `audit_trail`, the choosing: which audit records are asked for. Core: touches nothing.

A scan goes over far more records than it keeps, so they are told apart by what
is cheapest first: the record's key, then its bytes, then the few fields that are
asked about. Only what is left is decoded as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from completion_schemas.avro_binary import put_string
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos

_PLACE: Final = ("topic", "partition", "offset")


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """Which audit records are asked for; what is left out asks for nothing."""

    since: UnixNanos | None = None
    """Decided at this time or later."""
    until: UnixNanos | None = None
    """Decided before this time."""
    event_id: str = ""
    workflow_id: str = ""
    """The waiting workflow's."""
    activity_id: str = ""
    namespace: str = ""
    """As the audit trail calls it: `west/orders` is that of a further cluster."""
    key_id: str = ""
    """Of the key that signed the event."""
    dispositions: frozenset[Disposition] = frozenset()
    reasons: frozenset[DeadLetterReason] = frozenset()
    place: tuple[str, int, int] | None = None
    """Topic, partition and offset of the event's own record."""

    @cached_property
    def fields(self) -> frozenset[str]:
        """The fields that `matches` needs."""
        asked = {
            "decided_at": self.since is not None or self.until is not None,
            "disposition": self.dispositions,
            "reason": self.reasons,
            **dict.fromkeys(_PLACE, self.place),
        }
        return frozenset(
            {name for name, is_asked in asked.items() if is_asked} | self._texts.keys()
        )

    @cached_property
    def _texts(self) -> dict[str, str]:
        names = ("event_id", "workflow_id", "activity_id", "namespace", "key_id")
        return {name: text for name in names if (text := getattr(self, name))}

    @cached_property
    def _key(self) -> bytes | None:
        return self.event_id.encode("utf-8", "replace") or None

    @cached_property
    def _parts(self) -> tuple[bytes, ...]:
        """What the bytes of every record that matches have in them: texts as Avro writes them."""
        parts = []
        for text in self._texts.values():
            part = bytearray()
            put_string(part, text.encode("utf-8", "replace").decode())
            parts.append(bytes(part))
        # The longest first: the one that is in the fewest records.
        return tuple(sorted(parts, key=len, reverse=True))

    def may_match(self, key: bytes | None, value: bytes | None) -> bool:
        """Return whether a record of the topic may be one of those asked for, undecoded.

        Args:
            key: The Kafka record's, the event's id.
            value: Its value, whatever it is: one that is no audit record may match a filter
                that asks for nothing in it.
        """
        if self._key is not None and key != self._key:
            return False
        if value is None:
            return True
        for part in self._parts:  # noqa: SIM110 - a generator costs as much as the search
            if part not in value:
                return False
        return True

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Return whether the record is one of those asked for.

        Args:
            fields: Those that `fields` names, or more, by the contract's names.
        """
        for name, text in self._texts.items():
            if fields[name] != text:
                return False
        return (
            (self.since is None or fields["decided_at"] >= self.since)
            and (self.until is None or fields["decided_at"] < self.until)
            and (not self.dispositions or fields["disposition"] in self.dispositions)
            and (not self.reasons or fields["reason"] in self.reasons)
            and (self.place is None or self.place == tuple(fields[name] for name in _PLACE))
        )
