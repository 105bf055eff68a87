"""The guard: one server, ended whenever whoever asked for it is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from completion_relay.embedded import guard

_SAYS_HOW_IT_ENDS = """
import pathlib, signal, sys
def end(*_):
    pathlib.Path(sys.argv[1]).write_text("ended in good order")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
signal.pause()
"""
_IGNORES_SIGTERM = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()
"""


def _guarded(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-IS", guard.__file__, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _until_up(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"


def test_a_server_ends_in_good_order_when_the_pipe_closes(tmp_path: Path) -> None:
    note = tmp_path / "note"
    with _guarded(sys.executable, "-c", _SAYS_HOW_IT_ENDS, str(note)) as process:
        _until_up(process)

        process.communicate(timeout=20)

    assert (process.returncode, note.read_text()) == (0, "ended in good order")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_guard_that_is_told_to_stop_takes_its_server_along(
    tmp_path: Path, number: signal.Signals
) -> None:
    note = tmp_path / "note"
    with _guarded(sys.executable, "-c", _SAYS_HOW_IT_ENDS, str(note)) as process:
        _until_up(process)

        process.send_signal(number)
        process.wait(timeout=20)

    assert note.read_text() == "ended in good order"


def test_a_server_that_does_not_heed_sigterm_is_killed() -> None:
    impatient = (
        "import sys; from completion_relay.embedded import guard; "
        "guard.STOP_SECONDS = 0.1; sys.exit(guard.main(sys.argv[1:]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", impatient, sys.executable, "-c", _IGNORES_SIGTERM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        _until_up(process)

        process.communicate(timeout=20)

    assert process.returncode == 128 + signal.SIGKILL


def test_the_exit_code_of_a_server_that_ends_by_itself_is_the_guards() -> None:
    with _guarded(sys.executable, "-c", "raise SystemExit(7)") as process:
        assert process.wait(timeout=20) == 7


def test_a_program_that_does_not_exist_is_named() -> None:
    with _guarded("/no/such/server") as process:
        assert process.wait(timeout=20) == 127
        assert process.stderr is not None
        assert process.stderr.read() == "/no/such/server: No such file or directory\n"
