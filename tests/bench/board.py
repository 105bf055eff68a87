"""Room `tests/bench`: what the null frontend and the bench know in common, in one mapped file.

Touches that file. Shared memory and not calls: the bench reads when each token
came in, and makes tokens fail, without costing the frontend anything.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from types import TracebackType
from typing import Self

_COUNTERS = 4
_CALLS, _APPLIED, _REPEATED, _ALL_FAIL = range(_COUNTERS)


class Board:
    """One number a token from 0: when it came in, and whether it is to fail.

    Times are `time.monotonic_ns()`, which on Linux and macOS all processes of a
    machine share.

    Args:
        path: The file; made with zeros unless it has the right size.
        tokens: How many there are.
    """

    def __init__(self, path: Path, tokens: int) -> None:
        self.path = path
        self.tokens = tokens
        size = 8 * (_COUNTERS + tokens) + tokens
        if not path.exists() or path.stat().st_size != size:
            with path.open("wb") as file:
                file.truncate(size)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        whole = memoryview(self._map)
        self._counters = whole[: 8 * _COUNTERS].cast("q")
        self.applied_at = whole[8 * _COUNTERS : 8 * (_COUNTERS + tokens)].cast("q")
        """When the first call of a token was answered OK, ns; 0: not yet. Written by the frontend."""
        self.fails = whole[8 * (_COUNTERS + tokens) :]
        """Whether a token is answered UNAVAILABLE now, 0 or 1. Written by the bench."""
        self._views = [self.fails, self.applied_at, self._counters, whole]

    def called(self, number: int, at: int) -> bool:
        """Note a call of the frontend's for a token; return whether it is answered OK."""
        counters = self._counters
        counters[_CALLS] += 1
        if counters[_ALL_FAIL] or self.fails[number]:
            return False
        if self.applied_at[number]:
            counters[_REPEATED] += 1
        else:
            counters[_APPLIED] += 1
            self.applied_at[number] = at
        return True

    @property
    def calls(self) -> int:
        """Calls by token so far, refused ones included."""
        return self._counters[_CALLS]

    @property
    def applied(self) -> int:
        """Tokens that were answered OK."""
        return self._counters[_APPLIED]

    @property
    def repeated(self) -> int:
        """Calls for tokens that had been answered OK before: each is a fault of whoever called."""
        return self._counters[_REPEATED]

    @property
    def all_fail(self) -> bool:
        """Whether every call is answered UNAVAILABLE now: an outage. Written by the bench."""
        return bool(self._counters[_ALL_FAIL])

    @all_fail.setter
    def all_fail(self, value: bool) -> None:
        self._counters[_ALL_FAIL] = int(value)

    def close(self) -> None:
        """Let go of the file."""
        for view in self._views:
            view.release()
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
