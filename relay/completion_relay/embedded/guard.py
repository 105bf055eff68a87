"""Room `embedded`: runs one server and ends it when whoever asked for it is gone.

Started as a program of its own, by file, with the server's command line as
arguments and the read end of a pipe as standard input; it imports only the
standard library, so that it starts in milliseconds. The write end is held by
the process that wants the server. However that process goes, `kill -9`
included, the kernel closes the pipe, and the guard stops the server: SIGTERM
first, so that data is written (noida-db writes within about a second), SIGKILL
when that takes too long.

A pipe, and not Linux's `PR_SET_PDEATHSIG`: that one follows the *thread* that
forked, which asyncio and test runners end at will, and other systems lack it.
"""

import os
import select
import signal
import subprocess
import sys
from types import FrameType

STOP_SECONDS = 10.0
"""How long a server may take to write its data before it is killed."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(command: list[str]) -> int:
    """Run `command` until it ends or the pipe on standard input closes.

    Returns:
        The server's exit code, 128 + n when signal n ended it (the shells'
        convention), 127 when it cannot be started; the reason is then on
        standard error.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in _STOP_SIGNALS:
        signal.signal(number, stop)
    # Only a Python handler makes the wake-up descriptor speak; the exit code is read below.
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    try:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - that is the job
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - the log file
        return 127
    try:
        while server.poll() is None and not stopping:
            readable, _, _ = select.select([0, woken], [], [])
            if woken in readable:
                os.read(woken, 4096)
            if 0 in readable and not os.read(0, 4096):
                break
    finally:
        code = _end(server)
    return code if code >= 0 else 128 - code


def _end(server: subprocess.Popen[bytes]) -> int:
    if server.poll() is None:
        server.terminate()
    try:
        return server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        return server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
