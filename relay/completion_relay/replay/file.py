"""Room `replay`: writes export files. Touches files.

They hold task tokens: only their owner may read them, and none is written over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import Final

from completion_relay.replay.again import Kept
from completion_relay.replay.line import to_line
from completion_relay.replay.source import FileError

_OWNER_ONLY: Final = 0o600
_OTHERS: Final = 0o077


class Export:
    """A file that is being written."""

    def __init__(self, file: BufferedWriter, what: str) -> None:
        """Take an open file, and what names it; `create` and `add_to` make one."""
        self._file = file
        self._what = what

    @classmethod
    @contextmanager
    def create(cls, option: str, path: Path) -> Iterator[Export]:
        """Make a new file for the length of the context.

        Args:
            option: Which option named it, for the error's text.
            path: Where.

        Raises:
            FileError: it is there already, or cannot be made.
        """
        yield from cls._open(option, path, os.O_EXCL)

    @classmethod
    @contextmanager
    def add_to(cls, option: str, path: Path) -> Iterator[Export]:
        """Write behind what a file has, or make it: an interrupted replay goes on with it.

        Raises:
            FileError: it cannot be written, or others may read it.
        """
        yield from cls._open(option, path, os.O_APPEND)

    @classmethod
    def _open(cls, option: str, path: Path, how: int) -> Iterator[Export]:
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | how, _OWNER_ONLY)
        except FileExistsError:
            raise FileError(
                f"{option} {path}: it is there already, and is not written over: name another"
            ) from None
        except OSError as error:
            raise FileError(
                f"{option} {path}: {error.strerror}: name a file that can be made"
            ) from None
        file = os.fdopen(number, "wb")
        try:
            if os.fstat(number).st_mode & _OTHERS:
                raise FileError(
                    f"{option} {path}: others may read it, and it would hold task tokens: chmod 600 "
                    "it, or name another"
                )
            export = cls(file, f"{option} {path}")
            yield export
            export.flush()
        finally:
            with suppress(OSError):  # it would write once more what there was no room for
                file.close()

    def write(self, kept: Kept) -> None:
        """Write one record.

        Raises:
            FileError: there is no room for it.
        """
        with self._named():
            self._file.write(to_line(kept))

    def flush(self) -> None:
        """Bring what was written to the disk.

        Raises:
            FileError: there is no room for it.
        """
        with self._named():
            self._file.flush()
            os.fsync(self._file.fileno())

    @contextmanager
    def _named(self) -> Iterator[None]:
        # A full disk is not Kafka's fault, as which every other OSError counts here.
        try:
            yield
        except OSError as error:
            raise FileError(
                f"{self._what}: {error.strerror}: what is in it so far is not all of it; name a file "
                "on another disk"
            ) from None
