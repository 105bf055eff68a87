"""Room `replay`: writes export files. Touches files.

They hold task tokens: only their owner may read them, and none is written over.
One that `--from-file` is to take is there as a whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import Final

from completion_relay.part_file import gone_at_error, part_of
from completion_relay.replay.again import Kept
from completion_relay.replay.line import to_line
from completion_relay.replay.source import FileError

_OWNER_ONLY: Final = 0o600
_OTHERS: Final = 0o077


def check_free(option: str, path: Path) -> None:
    """Refuse a place at which a new file cannot be made, because something is there.

    Args:
        option: Which option named it, for the error's text.
        path: The place.

    Raises:
        FileError: a folder is there, or a file.
    """
    # Not `Path.is_dir`, which raises where the path itself is refused: making the file says why.
    if os.path.isdir(path):  # noqa: PTH112
        raise FileError(f"{option} {path}: it is a folder, and no file: name a file in it")
    if os.path.lexists(path):
        raise FileError(
            f"{option} {path}: it is there already, and is not written over: name another"
        )


class Export:
    """A file that is being written."""

    def __init__(self, file: BufferedWriter, what: str, *, is_kept: bool) -> None:
        """Take an open file; `create` and `add_to` make one.

        Args:
            file: Where to write.
            what: What names it, for the error's text.
            is_kept: Whether what is in it stays when there is no room for more.
        """
        self._file = file
        self._what = what
        self._left = "what is in it so far is not all of it" if is_kept else "nothing of it is kept"

    @classmethod
    @contextmanager
    def create(cls, option: str, path: Path) -> Iterator[Export]:
        """Make a new file, which is there when all of it is written.

        It is written beside its place, as `FILE.part`, and takes its place at the end of the
        context, unless that ends with an error: then nothing is left of it.

        Args:
            option: Which option named it, for the error's text.
            path: Where.

        Raises:
            FileError: it is there already, at the end too, or cannot be made.
        """
        what, part = f"{option} {path}", part_of(path)
        with ExitStack() as opened:
            try:
                export = opened.enter_context(cls._open(what, part, os.O_EXCL, is_kept=False))
            except FileExistsError:
                raise FileError(
                    f"{what}: {part.name} is there, of an export that is under way or was killed: "
                    "wait for it, or delete that file"
                ) from None
            with gone_at_error(part):
                # Asked with the part in hand: of two exports to one file the other one is over.
                check_free(option, path)
                yield export
                # And again: somebody else may have made one meanwhile.
                check_free(option, path)
                export.move(part, path)

    @classmethod
    @contextmanager
    def add_to(cls, option: str, path: Path) -> Iterator[Export]:
        """Write behind what a file has, or make it: an interrupted replay goes on with it.

        Raises:
            FileError: it cannot be written, or others may read it.
        """
        with cls._open(f"{option} {path}", path, os.O_APPEND, is_kept=True) as export:
            yield export

    @classmethod
    @contextmanager
    def _open(cls, what: str, path: Path, how: int, *, is_kept: bool) -> Iterator[Export]:
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | how, _OWNER_ONLY)
        except FileExistsError:
            raise
        except OSError as error:
            raise FileError(f"{what}: {error.strerror}: name a file that can be made") from None
        file = os.fdopen(number, "wb")
        try:
            if os.fstat(number).st_mode & _OTHERS:
                raise FileError(
                    f"{what}: others may read it, and it would hold task tokens: chmod 600 it, or "
                    "name another"
                )
            export = cls(file, what, is_kept=is_kept)
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

    def move(self, part: Path, path: Path) -> None:
        """Give the file, of which all is written, its place.

        Raises:
            FileError: there is no room for all of it, or that cannot be its place.
        """
        self.flush()
        with self._named():
            part.rename(path)

    @contextmanager
    def _named(self) -> Iterator[None]:
        # A full disk is not Kafka's fault, as which every other OSError counts here.
        try:
            yield
        except OSError as error:
            raise FileError(
                f"{self._what}: {error.strerror}: {self._left}; name a file on another disk"
            ) from None
