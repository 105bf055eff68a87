"""Progress bars: shown where a person watches, and nowhere else."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

_SCAN: Final = """
import sys
from completion_relay.cli.progress import scanning
from completion_relay.topic_reader import Progress

with scanning("reading the trail") as told:
    told(Progress(offsets=200, done=100, records=1_234))
    sys.stdin.read()
"""
"""A scan that is half done until its standard input ends."""
_FORCING: Final = {"FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
"""Variables by which a file counts as a terminal, or a terminal as none."""
_ENVIRONMENT: Final = {
    **{name: value for name, value in os.environ.items() if name not in _FORCING},
    "TERM": "xterm",
    "COLUMNS": "120",
}
_LONGEST_SECONDS: Final = 60.0


def read_until(terminal: int, wanted: Sequence[str]) -> str:
    """Return what is printed on a terminal, as soon as all of these are in it, or the time is over."""
    seen, give_up = "", time.monotonic() + _LONGEST_SECONDS
    while not all(text in seen for text in wanted):
        ready, _, _ = select.select([terminal], [], [], max(0.0, give_up - time.monotonic()))
        if not ready:
            break
        try:
            seen += os.read(terminal, 4_096).decode("utf-8", "replace")
        except OSError:  # what Linux says when nobody has the other end any more
            break
    return seen


def test_a_scan_shows_on_a_terminal_how_far_it_is() -> None:
    terminal, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", _SCAN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=_ENVIRONMENT,
        ) as scan:
            os.close(theirs)
            wanted = ("reading the trail", "50%", "1,234 records")
            try:
                seen = read_until(terminal, wanted)
            finally:
                out, _ = scan.communicate()
    finally:
        os.close(terminal)
    assert [text for text in wanted if text not in seen] == [], seen
    assert (scan.returncode, out) == (0, b"")


def test_a_scan_shows_nothing_where_nobody_watches() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCAN], input=b"", capture_output=True, env=_ENVIRONMENT, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
