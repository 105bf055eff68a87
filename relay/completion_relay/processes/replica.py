"""Room `cli`: one child from the outside: started, listened to, started again, stopped. Touches processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import sys

import structlog

from completion_relay.cli.boundary import REFUSED
from completion_relay.first_of import first_of
from completion_relay.processes.wire import (
    Failed,
    Listening,
    Ready,
    Report,
    decode_report,
    encode_settings,
    settings_of,
)
from completion_relay.service import Serving
from completion_relay.settings import Settings
from completion_schemas.errors import CompletionError

_DRAINING = "draining"
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_STEADY_SECONDS = 60.0
"""A process that lived for so long is started again as if it had never died."""

# Safe path: the folder that the relay was started in is no place to import from.
_COMMAND = (sys.executable, "-P", "-m", "completion_relay.processes.child")


class RefusedError(CompletionError):
    """A child ended with exit code 2: a wrong setting, a missing topic; its text says which."""


def restart_wait(deaths: int, rng: random.Random) -> float:
    """Return how long to wait before a process is started again, seconds.

    Doubled from half a second to half a minute, with up to half of it taken
    away: processes that one cause has killed shall not all join the group anew
    in the same moment.

    Args:
        deaths: How often it died in a row, from 1.
        rng: The jitter.
    """
    doubled = _FIRST_WAIT * 2.0 ** min(deaths - 1, 16)
    return float(min(_LONGEST_WAIT, doubled) * rng.uniform(0.5, 1.0))


def how_it_ended(code: int) -> str:
    """Return an exit code in words: `exit code 70`, `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


class Replica:
    """The child of one number, and whoever comes after it under that number.

    Args:
        settings: The relay's.
        number: From 1.
        rng: The jitter of its restarts.

    Raises:
        ConfigurationError: `relay.relay_id` leaves no room for the number.
    """

    def __init__(self, settings: Settings, number: int, rng: random.Random) -> None:
        self.number = number
        self.name = f"process {number}"
        self.http: str | None = None
        """HOST:PORT of its pages while it can be asked."""
        self.problem: str | None = "starting"
        """Why it cannot be asked."""
        self.restarts = 0
        """How often it was started again."""
        self.serving: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
        """What is served, once it was ready for the first time."""
        self._settings = settings_of(settings, number)
        self.relay_id = self._settings.relay.relay_id
        """By which audit records and /status know it."""
        self._rng = rng
        self._process: asyncio.subprocess.Process | None = None
        self._failure: Failed | None = None
        self._has_listened = False
        self._log = structlog.stdlib.get_logger("completion_relay")

    @property
    def is_up(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    async def run(self, stop: asyncio.Event, *, pages: str) -> bool:
        """Keep a child running until `stop` is set, then let it drain.

        Args:
            stop: Ends it.
            pages: HOST:PORT of the supervisor's pages.

        Returns:
            Whether the last one ended as it should.

        Raises:
            RefusedError: it refuses to start; another one would too.
        """
        deaths = 0
        told = encode_settings(self._settings, pages)
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            code = await self._live(stop, told)
            if self._failure is not None and self._failure.code == REFUSED:
                raise RefusedError(self._failure.error)
            if stop.is_set():
                return self._has_drained(code)
            deaths = 1 if loop.time() - started > _STEADY_SECONDS else deaths + 1
            wait = restart_wait(deaths, self._rng)
            self._died(code, wait)
            await first_of(stop.wait(), asyncio.sleep(wait))
            if stop.is_set():
                return True  # nothing of its was under way any more
            self.restarts += 1
            self.problem = "starting again"

    def kill(self) -> None:
        """End the child at once."""
        if self._process is not None and self.is_up:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _live(self, stop: asyncio.Event, told: bytes) -> int | OSError:
        """Start a child, see to it until it has ended, and return its exit code."""
        self._failure, self._has_listened = None, False
        try:
            process = await self._start(told)
        except OSError as error:
            return error  # the machine has no memory or no process id left
        self._log.info("process started", process=self.number, pid=process.pid)
        listening = asyncio.create_task(self._listen(process))
        try:
            await first_of(stop.wait(), process.wait())
            if process.returncode is None:
                self.problem = _DRAINING
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
            code = await process.wait()
            await listening  # its last words
        finally:
            listening.cancel()
        return code

    async def _start(self, told: bytes) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal goes to its whole foreground group. The children are told by
            # the supervisor; hearing it twice would end them at once.
            start_new_session=True,
        )
        self._process = process
        assert process.stdin  # noqa: S101 - narrows the type
        process.stdin.write(told)
        with contextlib.suppress(ConnectionError):  # it has died already
            await process.stdin.drain()
        return process

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout  # noqa: S101 - narrows the type
        async for line in process.stdout:
            with contextlib.suppress(ValueError):  # a .pth file may print before the child begins
                self._heard(decode_report(line))
        self.http = None

    def _heard(self, report: Report) -> None:
        match report:
            case Listening(http):
                self._has_listened = True
                self.http = http
                if self.problem != _DRAINING:
                    self.problem = None
            case Ready(serving):
                if not self.serving.done():
                    self.serving.set_result(serving)
            case Failed():
                self._failure = report

    def _died(self, code: int | OSError, wait: float) -> None:
        how = how_it_ended(code) if isinstance(code, int) else f"cannot be started: {code.strerror}"
        error = self._failure.error if self._failure else None
        self.problem = f"ended ({how}); starts again in {wait:.1f} s" + (
            f": {error}" if error else ""
        )
        self._log.log(
            logging.ERROR,
            "process ended",
            process=self.number,
            how=how,
            error=error,
            starts_again_in=round(wait, 1),
        )

    def _has_drained(self, code: int | OSError) -> bool:
        # One that has not come to handling signals yet had nothing to drain.
        was_starting = code == -signal.SIGTERM and not self._has_listened
        if code == 0 or isinstance(code, OSError) or was_starting:
            return True
        self._log.error(
            "process did not drain",
            process=self.number,
            how=how_it_ended(code),
            error=self._failure.error if self._failure else None,
        )
        return False
