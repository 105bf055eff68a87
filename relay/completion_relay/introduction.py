"""Room `consumer`: how a replica introduces itself to its group, so that `status` finds it. Touches nothing.

A member's subscription has room for data of its own (`user_data` of Kafka's
consumer protocol). Whoever may describe the group reads there where to ask the
replica itself: no registry, and nothing that stays behind when a replica is gone.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field

_FORMAT = 1
_MOST_BYTES = 16 * 1024
"""Of another program's that are looked at; ours are some two hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What a replica says of itself."""

    relay_id: str
    version: str
    http: str
    """HOST:PORT of its pages as bound; of one process of several: of all of them together."""
    instance: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    """Of this process alone: relay ids may be alike, and an address may be another machine's too."""


def encode_introduction(introduction: Introduction) -> bytes:
    """Return the introduction as a member's user data."""
    said = {"format": _FORMAT, **asdict(introduction)}
    return json.dumps(said, separators=(",", ":")).encode()


def decode_introduction(user_data: bytes | None) -> Introduction | None:
    """Return what a member says of itself; None: nothing that this version reads."""
    if not user_data or len(user_data) > _MOST_BYTES:
        return None
    try:
        said = json.loads(user_data)
    except (ValueError, RecursionError):
        return None
    names = ("relay_id", "version", "http", "instance")
    if not isinstance(said, dict) or not all(isinstance(said.get(name), str) for name in names):
        return None
    return Introduction(**{name: said[name] for name in names})
