"""Room `cli`: the event loop that a relay runs in, and its garbage collector. Touches the interpreter's settings."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any

try:
    import uvloop
except ImportError:  # it is not made for every system, Windows for one
    _new_event_loop = asyncio.new_event_loop
else:
    _new_event_loop = uvloop.new_event_loop

_COLLECT_AFTER = (10_000, 10, 3)
"""Objects, and collections of the younger generation, until each generation is looked through. An
event leaves no cycles behind; Python's own 700, 10 and 10 took an eighth of its time (measured). With
the oldest looked through seldom (20 and 50), memory grew by 400 bytes an event; with this not at all."""


def run_relay(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end, as `asyncio.run` does, as a process whose work it is."""
    # What was imported lives as long as the process does.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        runner.run(main)
