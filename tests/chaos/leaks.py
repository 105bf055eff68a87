"""Room `tests/chaos`: did anybody show a token? Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

_SHOWN: Final = 15
"""Bytes at the beginning of a token that its preview has (contract section 5, promise 4)."""
_WINDOW: Final = 12
"""Bytes of a token, anywhere in it, that nobody writes by chance."""
_STEP: Final = 4
"""Of what a text shows, not every window is looked at: a few bytes more, and one of them is found."""

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}")
"""The URL's alphabet, too."""
_HEX: Final = re.compile(r"[0-9A-Fa-f]{24,}")
_ESCAPE: Final = re.compile(
    r"\\+(?:x([0-9A-Fa-f]{2})|u00([0-9A-Fa-f]{2})|([0-3][0-7]{2})|([bfnrt]))"
)
"""Of Python, JSON and protobuf's text; of each also where it was escaped once more."""
_NAMED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_NOT_TEXT: Final = re.compile(r"[^\n -~\u0100-\U0010ffff]")


def leaks(tokens: Iterable[bytes], said: Mapping[str, str]) -> list[str]:
    """Return the names of the texts that show more of a token than its preview.

    Found is some 16 bytes of one, from anywhere in it, in Base64, in hex, or as they are, with or
    without escapes. As they are, its ids may be shown: a token has them as plain text.

    Args:
        tokens: The run's.
        said: What relays wrote for people and other programs, by where.
    """
    windows = {
        token[at : at + _WINDOW]
        for token in tokens
        for at in range(_SHOWN - _WINDOW + 1, len(token) - _WINDOW + 1)
    }
    return [name for name, text in said.items() if any(one in windows for one in _windows_in(text))]


def _windows_in(text: str) -> Iterator[bytes]:
    for shown in (*_from_base64(text), *_from_hex(text)):
        for at in range(0, len(shown) - _WINDOW + 1, _STEP):
            yield shown[at : at + _WINDOW]
    yield from _around_what_is_no_text(_ESCAPE.sub(_unescaped, text))


def _from_base64(text: str) -> Iterator[bytes]:
    for found in _BASE64.finditer(text):
        run = found[0].translate({ord("-"): "+", ord("_"): "/"})
        # Where the token's own groups of four begin is not known.
        for begin in range(4):
            whole = (len(run) - begin) // 4 * 4
            yield base64.b64decode(run[begin : begin + whole])


def _from_hex(text: str) -> Iterator[bytes]:
    for found in _HEX.finditer(text):
        run = found[0]
        for begin in range(2):
            whole = (len(run) - begin) // 2 * 2
            yield bytes.fromhex(run[begin : begin + whole])


def _unescaped(found: re.Match[str]) -> str:
    python, json, protobuf, named = found.groups()
    if named:
        return _NAMED[named]
    return chr(int(protobuf, 8) if protobuf else int(python or json, 16))


def _around_what_is_no_text(text: str) -> Iterator[bytes]:
    for found in _NOT_TEXT.finditer(text):
        for at in range(max(0, found.start() - _WINDOW + 1), found.start() + 1):
            yield text[at : at + _WINDOW].encode("latin-1", "replace")
