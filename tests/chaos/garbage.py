"""Room `tests/chaos`: records that are no events. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from completion_schemas.record import KafkaRecord

GARBAGE_HEADER: Final = "chaos-garbage"
"""Holds the number of one."""


def garbage(rng: random.Random, number: int) -> KafkaRecord:
    """Return a record that is no event; the number tells them apart and gives its shape."""
    noise = rng.randbytes(rng.randrange(1, 400))
    mark = (GARBAGE_HEADER, str(number).encode())
    claims = (
        ("ce_specversion", b"1.0"),
        ("ce_source", b"/chaos"),
        ("ce_id", b"garbage-%d" % number),
        ("ce_type", b"completion.activity.completed.v1"),
    )
    # 0xFF begins a tag of wire type 7, which there is not: noise that never is an event.
    broken = b"\xff" + noise
    shapes: tuple[Callable[[], KafkaRecord], ...] = (
        lambda: KafkaRecord(None, noise, (mark,)),
        lambda: KafkaRecord(noise[:16], None, (mark,)),
        lambda: KafkaRecord(
            noise[:16], broken, (mark, ("content-type", b"application/protobuf"), *claims)
        ),
        lambda: KafkaRecord(b"k", b"{" + noise, (mark, ("content-type", b"application/json"))),
        lambda: KafkaRecord(b"", b"", (mark, ("content-type", b"avro/binary"), *claims)),
        lambda: KafkaRecord(noise, noise, (mark, ("ce_type", None), ("ce_type", noise))),
    )
    return shapes[number % len(shapes)]()
