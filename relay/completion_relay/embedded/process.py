"""Room `embedded`: one guarded server process, its log file and its ports.

Touches processes, loopback sockets and one log file.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NoReturn

from completion_relay.embedded import guard
from completion_relay.embedded.errors import PortTakenError, ServerFailedError

HOST = "127.0.0.1"
"""The stack speaks to this machine only: neither server asks for a password."""

_FREE_PORTS = range(20_000, 32_000)
"""Where no system chooses ports for outgoing connections, unless it was told to."""

_LAST_LINES = 8
_POLL_SECONDS = 0.05


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing uses right now.

    Not one of the system's own choice: it gives those to outgoing connections
    as well (Linux: 32768 to 60999), and some seconds may pass until a server
    binds what was chosen for it. Temporal's UI found its port taken that way,
    at three starts in a row.

    Raises:
        PortTakenError: every one of them is in use.
    """
    for port in random.SystemRandom().sample(_FREE_PORTS, len(_FREE_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise PortTakenError(
        f"ports {_FREE_PORTS.start} to {_FREE_PORTS.stop - 1} on {HOST}: all in use: end "
        "what listens there, or name the ports"
    )


def claim_port(name: str, port: int | None) -> int:
    """Return `port` if it can be listened on, or a free one when it is None.

    The check is made before anything starts, so that a taken port is one line
    and not a server's last words. Between the check and the server's own bind
    somebody else may come first; the server then ends and its log says so.

    Args:
        name: What the port is for, as a user knows it; it begins the error.
        port: 1 to 65535, or None for a free one.

    Raises:
        PortTakenError: something listens there already, or the system forbids the port.
    """
    if port is None:
        return free_port()
    with socket.socket() as probe:
        # As the servers do: without it, a port in TIME_WAIT after a restart looks taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OverflowError as error:
            raise PortTakenError(f"{name} port {port}: not a port: choose 1 to 65535") from error
        except OSError as error:
            problem = (
                "already in use"
                if error.errno == errno.EADDRINUSE
                else (error.strerror or str(error)).lower()
            )
            raise PortTakenError(
                f"{name} port {port} on {HOST}: {problem}: choose another port, or none for a "
                "free one"
            ) from error
    return port


class ServerProcess:
    """A server that runs under a guard, in a session of its own.

    In a session of its own because Ctrl-C in a terminal goes to the whole
    foreground group: the relay must be able to drain before its servers go.

    Args:
        name: What a user calls it; it begins every error.
        log: The file that takes standard output and standard error; appended to.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._guard: asyncio.subprocess.Process | None = None
        self._lifeline: int | None = None
        self._begins = 0
        """Where in the log the last start begins, bytes."""

    @property
    def pid(self) -> int | None:
        """The guard's process id while it runs; the server is in its process group."""
        running = self._guard is not None and self._guard.returncode is None
        return self._guard.pid if running and self._guard is not None else None

    async def start(self, command: Sequence[str | Path], *, keep_open: Sequence[int] = ()) -> None:
        """Start `command`; returns at once, see `ready`.

        Args:
            command: The server's command line.
            keep_open: File descriptors that stay open until the server has
                ended, whoever else closes them (a lock on the data folder).
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        reader, self._lifeline = os.pipe()
        try:
            with self.log.open("ab") as output:
                self._begins = output.tell()
                self._guard = await asyncio.create_subprocess_exec(
                    sys.executable,
                    # Isolated and without site-packages: nothing but the standard library.
                    "-IS",
                    guard.__file__,
                    *(str(argument) for argument in command),
                    stdin=reader,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=tuple(keep_open),
                )
        finally:
            os.close(reader)

    async def ready(self, probe: Callable[[], Awaitable[None]], *, within: float) -> None:
        """Return once `probe` returns without an error.

        Args:
            probe: Asks the server; any exception means "not yet".
            within: Seconds.

        Raises:
            ServerFailedError: the server ended, or the time is over.
        """
        give_up = time.monotonic() + within
        problem: BaseException | None = None
        while time.monotonic() < give_up:
            if self.pid is None:
                self._raise("ended while it was starting")
            try:
                await asyncio.wait_for(probe(), max(_POLL_SECONDS, give_up - time.monotonic()))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not ready
                problem = error
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return
        self._raise(f"was not ready within {within:.0f} s ({type(problem).__name__}: {problem})")

    async def ended(self) -> NoReturn:
        """Wait until the server ends by itself, which it should not.

        Raises:
            ServerFailedError: it did; the message has the last lines of its log.
        """
        if self._guard is not None:
            await self._guard.wait()
        self._raise("ended")

    async def stop(self) -> None:
        """End the server so that it writes its data, and wait until it is gone."""
        self._let_go()
        if self._guard is None:
            return
        if await self._guard.wait() < 0:
            # Somebody killed the guard itself: the server it left behind is in its group.
            self._kill_group(self._guard.pid)
        self._guard = None

    async def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash would, and wait until it is gone."""
        if self._guard is not None:
            self._kill_group(self._guard.pid)
            await self._guard.wait()
            self._guard = None
        self._let_go()

    def last_lines(self) -> str:
        """Return the end of the log file, empty when there is none."""
        try:
            text = self.log.read_text("utf-8", "replace")
        except OSError:
            return ""
        # The loader's remark about GLIBC_2.39 on Debian 12 is harmless and would mislead.
        lines = [line for line in text.splitlines() if line.strip() and "weak version" not in line]
        return "\n".join(f"    {_shortened(line)}" for line in lines[-_LAST_LINES:])

    def said(self, words: str) -> bool:
        """Whether the server has logged these words since it was started last."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._begins)
                return words.encode() in log.read()
        except OSError:
            return False

    @staticmethod
    def _kill_group(leader: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)

    def _let_go(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def _raise(self, problem: str) -> NoReturn:
        code = None if self._guard is None else self._guard.returncode
        exit_code = "" if code is None else f" with exit code {code}"
        last = self.last_lines()
        raise ServerFailedError(
            f"{self.name} {problem}{exit_code}: see {self.log}" + (f"\n{last}" if last else "")
        )


def _shortened(line: str) -> str:
    # Temporal's last line is one of nested causes: what happened stands at its end.
    return line if len(line) <= 200 else f"{line[:80]} … {line[-120:]}"


async def connectable(port: int) -> None:
    """Return if something accepts connections on the loopback port.

    Asked before a client library is, because aiokafka and Temporal's core log
    every failed attempt as an error.

    Raises:
        OSError: nothing does.
    """
    _, writer = await asyncio.open_connection(HOST, port)
    writer.close()
    await writer.wait_closed()
