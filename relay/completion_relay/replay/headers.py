"""Room `replay`: the headers by which a replayed record says that it is one. Core: touches nothing.

The only ones that a replay adds; those of the original stay as they are, so that
whatever was signed or checked of it is still there. What a replay changes it says
here and nowhere else. Anybody may write such headers to the topic: what cannot be
read counts as not there, except where it would change what happens to the event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from completion_relay.own_headers import number_in
from completion_schemas.errors import DecodeError
from completion_schemas.record import Headers

PREFIX: Final = "completion-replay-"
REPLAY_OF: Final = PREFIX + "of"
"""The position of the record that was first there, however often it has been replayed."""
TIMESTAMP: Final = PREFIX + "timestamp"
"""That record's own time, milliseconds since the epoch."""
COUNT: Final = PREFIX + "count"
"""How often it has been replayed, this time included."""
NAMESPACE: Final = PREFIX + "namespace"
"""The namespace that it is for now, where a replay has changed that."""
TO_TOPIC: Final = PREFIX + "to-topic"
"""The topic that it was put to, where that is not the one it was first on."""

MOST: Final = 10**9
"""A count beyond it is nobody's."""

_POSITION = re.compile(r"([A-Za-z0-9._-]{1,249})/(\d{1,10})/(\d{1,19})", re.ASCII)
_PARTITION = 2**31 - 1
_OFFSET = 2**63 - 1


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a record is: `topic/partition/offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Return the position that the text says; None where it says none."""
        found = _POSITION.fullmatch(text)
        if found is None or int(found[2]) > _PARTITION or int(found[3]) > _OFFSET:
            return None
        return cls(found[1], int(found[2]), int(found[3]))


def text_of(headers: Headers, name: str) -> str | None:
    """Return the first value of a header; None where there is none, or it is not UTF-8."""
    for header, value in headers:
        if header == name and value is not None:
            try:
                return value.decode()
            except UnicodeDecodeError:
                return None
    return None


def number_of(headers: Headers, name: str, *, most: int = MOST) -> int | None:
    """Return the number that a header says; None where it says none from 0 to `most`."""
    return number_in(text_of(headers, name) or "", most=most)


def replay_of(headers: Headers) -> Position | None:
    """Return the position of the record that a replayed one is of; None: it is not replayed."""
    text = text_of(headers, REPLAY_OF)
    return None if text is None else Position.parse(text)


def namespace_of(headers: Headers) -> str | None:
    """Return the namespace that a replay has given an event; None: that of the event itself.

    Raises:
        DecodeError: it cannot be told which one is meant.
    """
    found = {value for name, value in headers if name == NAMESPACE}
    if not found:
        return None
    if len(found) > 1:
        raise DecodeError(f"header {NAMESPACE} is there twice and says different things")
    try:
        text = (found.pop() or b"").decode()
    except UnicodeDecodeError:
        raise DecodeError(f"header {NAMESPACE} is not UTF-8") from None
    if not text:
        raise DecodeError(f"header {NAMESPACE} names no namespace")
    return text
