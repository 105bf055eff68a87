"""Room `cli`: a task token from a file or standard input. Touches those; shows nothing of what it reads (promise 4)."""

from __future__ import annotations

import base64
import binascii
import errno
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Final

from completion_schemas.errors import CompletionError

STDIN: Final = "-"

_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


class InputError(CompletionError):
    """What a command was given to send cannot be sent; the message never repeats a token."""


class TokenFormat(StrEnum):
    """How a token is written in its file."""

    AUTO = "auto"
    """Base64 if it reads as Base64, else raw: a raw token holds bytes that no Base64 has."""
    BASE64 = "base64"
    RAW = "raw"


def read_input(option: str, source: str) -> bytes:
    """Return the bytes of a file, or of standard input for `-`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return _read(source)
    except OSError as error:
        raise InputError(
            f"{option} {source}: {error.strerror}: give an existing file, or - for standard input"
        ) from None


def read_token(source: str, written_as: TokenFormat) -> bytes:
    """Return the task token that a file holds.

    Raises:
        InputError: there is none, or it is not written as `written_as` says.
    """
    try:
        content = _read(source)
    except OSError as error:
        # Not what was given: it may be the token itself (promise 4).
        missing = error.errno in {errno.ENOENT, errno.ENAMETOOLONG}
        raise InputError(
            f"--token-file: {'no such file' if missing else error.strerror}: it takes a FILE (or "
            "-), not the token itself"
        ) from None
    return parse_token(content, written_as)


def parse_token(content: bytes, written_as: TokenFormat) -> bytes:
    """Return the task token that the content of a file is.

    Raises:
        InputError: it is empty, or not written as `written_as` says.
    """
    if not content.strip():
        raise InputError("--token-file: it is empty: give a file with the activity's task token")
    if written_as is TokenFormat.RAW:
        return content
    token = _base64(content)
    if token is None and written_as is TokenFormat.BASE64:
        raise InputError(
            "--token-file: the content is not Base64: give --token-format raw if it is the token's "
            "own bytes"
        )
    return content if token is None else token


def _read(source: str) -> bytes:
    return sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()


def _base64(content: bytes) -> bytes | None:
    """Return what Base64 of either alphabet, broken into lines or not, stands for; None if it is none."""
    joined = b"".join(content.split()).translate(_TO_STANDARD)
    if not _BASE64.fullmatch(joined):
        return None
    try:
        return base64.b64decode(joined.rstrip(b"=") + b"=" * (-len(joined.rstrip(b"=")) % 4))
    except binascii.Error:
        return None
