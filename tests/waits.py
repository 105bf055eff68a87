"""Room `tests`: what the tasks of a test that hangs wait for. Touches nothing."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

_FRAMES = ("cr_frame", "gi_frame", "ag_frame")
_AWAITED = ("cr_await", "gi_yieldfrom", "ag_await")


def print_waits(tasks: Iterable[asyncio.Task[Any]], file: TextIO) -> None:
    """Print for each task where it stands, from the outermost `await` to the innermost.

    `Task.print_stack` shows the outermost alone: of a fixture, pytest's own line.
    """
    for task in tasks:
        print(f"{task!r}", *_places(task.get_coro()), sep="\n  ", file=file)


def _places(awaited: Any) -> Iterator[str]:
    seen = set()
    while awaited is not None and id(awaited) not in seen:
        seen.add(id(awaited))
        frame = _first(awaited, _FRAMES)
        if frame is None:
            # The step of an async generator names its generator to nobody but the collector.
            inner = [one for one in gc.get_referents(awaited) if hasattr(one, "ag_frame")]
            awaited = inner[0] if inner else None
            continue
        code = frame.f_code
        yield f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"
        awaited = _first(awaited, _AWAITED)


def _first(owner: object, names: Iterable[str]) -> Any:
    return next(
        (found for name in names if (found := getattr(owner, name, None)) is not None), None
    )
