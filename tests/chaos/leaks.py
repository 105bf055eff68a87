"""Room `tests/chaos`: did anybody show a token? Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Final

_SHOWN: Final = 15
"""Bytes at the beginning of a token that its preview has (contract section 5, promise 4)."""
_PIECE: Final = 18
"""Bytes behind these that nobody writes by chance: a whole number of Base64's groups of three."""


def leaks(tokens: Iterable[bytes], said: Mapping[str, str]) -> list[str]:
    """Return the names of the texts that show more of a token than its preview.

    Args:
        tokens: The run's. Those of a namespace begin with its id, so one piece may stand for all.
        said: What relays wrote for people and other programs, by where.
    """
    pieces = {token[_SHOWN : _SHOWN + _PIECE] for token in tokens}
    shown = [form for piece in pieces for form in (base64.b64encode(piece).decode(), piece.hex())]
    return [name for name, text in said.items() if any(form in text for form in shown)]
