"""Room `embedded`: one stack per data folder. Touches the folder's `lock` file."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path

from completion_relay.embedded.errors import DataInUseError, EmbeddedError
from completion_relay.embedded.guard import STOP_SECONDS

_POLL_SECONDS = 0.05


class DataLock:
    """An exclusive lock on a data folder, held until every holder of its descriptor is gone.

    The servers' guards inherit the descriptor: a stack that is killed keeps
    the folder until its servers have written their data.

    Args:
        folder: Made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The file descriptor to hand on.

        Raises:
            EmbeddedError: the lock is not held.
        """
        if self._descriptor is None:
            raise EmbeddedError(f"data folder {self._folder}: not locked")
        return self._descriptor

    async def acquire(self) -> None:
        """Take the lock; waits only for the servers of a stack that has died.

        Raises:
            DataInUseError: a living process has it.
            EmbeddedError: the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise EmbeddedError(
                f"data folder {self._folder}: {error.strerror}: choose another folder"
            ) from error
        try:
            await self._flock(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; the folder is free once no guard holds it either."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def _flock(self, descriptor: int) -> None:
        give_up = time.monotonic() + STOP_SECONDS + 5
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace")
                if _alive(holder) or time.monotonic() > give_up:
                    raise DataInUseError(
                        f"data folder {self._folder}: in use by process {holder or '?'}: stop "
                        "that one, or choose another folder"
                    ) from None
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
