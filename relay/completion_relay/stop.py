"""Room `cli`: how a process of the relay is told to end, and how it ends. Touches signals of the process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn


def stop_on_signals(on_second: Callable[[], None] = lambda: None) -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets; a second one ends the process at once.

    Args:
        on_second: Called before the process ends at once.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():
            on_second()
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def leave(code: int) -> NoReturn:
    """End the process without taking the interpreter apart.

    Threads of Temporal's client outlive it and now and then abort a process
    that had done its work: "PyGILState_Release: thread state must be current",
    exit code -6, 4 of 150 runs on one CPU (temporalio/sdk-python#300).
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader of a pipe has gone
            stream.flush()
    os._exit(code)
