"""Room `replay`: one record as a line of an export file. Core: touches nothing.

JSON Lines; bytes are Base64, so that what comes back is what was there. A line has
the event with its task token: whoever may read the file may end the activity.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from completion_relay.replay.again import Kept
from completion_relay.replay.headers import Position
from completion_schemas.errors import CompletionError
from completion_schemas.record import KafkaRecord

_TIMES: Final = range(-1, 2**63)


class LineError(CompletionError, ValueError):
    """A line of an export file that holds no record; the message quotes nothing of it (promise 4)."""


def to_line(kept: Kept) -> bytes:
    """Return the record as a line, with its line break."""
    record, position = kept.record, kept.position
    fields = {
        "topic": position.topic,
        "partition": position.partition,
        "offset": position.offset,
        "timestamp": kept.timestamp_ms,
        "key": _text(record.key),
        "value": _text(record.value),
        "headers": [[name, _text(value)] for name, value in record.headers],
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes, number: int) -> Kept:
    """Return the record that a line holds.

    Args:
        line: As `to_line` wrote it.
        number: Which one of the file, from 0.

    Raises:
        LineError: it holds none.
    """
    try:
        fields: Any = json.loads(line)
        position = Position.parse(f"{fields['topic']}/{fields['partition']}/{fields['offset']}")
        stamp = fields["timestamp"]
        if position is None or type(stamp) is not int or stamp not in _TIMES:
            raise ValueError  # noqa: TRY301 - one place says what is wrong
        headers = tuple((_name(name), _bytes(value)) for name, value in fields["headers"])
        record = KafkaRecord(_bytes(fields["key"]), _bytes(fields["value"]), headers)
    except (KeyError, TypeError, ValueError, RecursionError, binascii.Error):
        raise LineError(
            f"line {number + 1} is not a record that `replay --to-file` has written: leave the file "
            "as it was written"
        ) from None
    return Kept(position, stamp, record, (0, number))


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode("ascii")


def _bytes(text: object) -> bytes | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError
    return base64.b64decode(text, validate=True)


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError
    name.encode()  # no lone surrogate: Kafka's header names are UTF-8
    return name
