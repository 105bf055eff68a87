"""Room `cli`: one process of several; the supervisor starts it, and nobody else. Touches file descriptors 0 and 1.

    python -m completion_relay.processes.child

It is a module of its own and no option of `run`: what it needs comes through
standard input (its settings, see `wire`), which stays open for as long as the
supervisor lives. Standard output takes its reports, and nothing else may.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import structlog

from completion_relay.cli.boundary import explain
from completion_relay.event_loop import run_relay
from completion_relay.observe import configure_logging
from completion_relay.processes.wire import (
    Failed,
    Listening,
    Ready,
    Report,
    decode_settings,
    encode_report,
)
from completion_relay.service import Relay
from completion_relay.settings import Settings
from completion_relay.stop import leave, stop_on_signals

_LEAVING_SECONDS = 15.0
"""Beyond the drain: the commit, leaving the group, closing connections to servers that are away."""


def main() -> NoReturn:
    """Run a relay with the settings on standard input until the supervisor stops it or goes."""
    reports = _Reports()
    code = 0
    if line := sys.stdin.buffer.readline():
        settings, pages = decode_settings(line)
        configure_logging(settings.log)
        structlog.contextvars.bind_contextvars(relay_id=settings.relay.relay_id)
        try:
            run_relay(_serve(settings, pages, reports))
        except Exception as error:  # noqa: BLE001 - as the boundary of the commands, which knows them all
            code, text = explain(error)
            reports.send(Failed(code, text))
    leave(code)


async def _serve(settings: Settings, pages: str, reports: _Reports) -> None:
    stop = stop_on_signals()
    loop = asyncio.get_running_loop()

    def stop_soon() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: this process is ending
            loop.call_soon_threadsafe(stop.set)

    # A thread, so that a process whose event loop hangs is not left behind either.
    threading.Thread(
        target=contextvars.copy_context().run,  # its log line has the relay_id too
        args=(_end_with_the_supervisor, stop_soon, settings.relay.drain_timeout + _LEAVING_SECONDS),
        daemon=True,
    ).start()
    await Relay(settings, pages=pages).run(
        stop,
        on_listening=lambda http: reports.send(Listening(http)),
        on_ready=lambda serving: reports.send(Ready(serving)),
    )


def _end_with_the_supervisor(stop_soon: Callable[[], None], within: float) -> None:
    """Wait for the end of standard input, then end the process: drained, or in `within` seconds."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    structlog.stdlib.get_logger("completion_relay").error("supervisor gone", draining=True)
    stop_soon()
    time.sleep(within)
    os._exit(1)


class _Reports:
    """Standard output, taken away from everybody else: what a library prints goes to the logs."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)

    def send(self, report: Report) -> None:
        """Tell the supervisor; if it has gone, nobody."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, encode_report(report))


if __name__ == "__main__":
    main()
