"""One stack per data folder."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tests.support import eventually

from completion_relay.embedded import DataInUseError, EmbeddedError, EmbeddedStack
from completion_relay.embedded.lock import DataLock, _alive

_HOLDS_IT = """
import asyncio, os, subprocess, sys
from pathlib import Path
from completion_relay.embedded.lock import DataLock

lock = DataLock(Path(sys.argv[1]))
asyncio.run(lock.acquire())
heir = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
subprocess.Popen(heir, pass_fds=[lock.descriptor])
os._exit(0)
"""


async def test_a_folder_in_use_is_refused_with_the_process_that_has_it(tmp_path: Path) -> None:
    first, second = DataLock(tmp_path), DataLock(tmp_path)
    await first.acquire()

    with pytest.raises(DataInUseError) as refused:
        await second.acquire()
    first.release()

    assert str(refused.value) == (
        f"data folder {tmp_path}: in use by process {os.getpid()}: stop that one, or choose "
        "another folder"
    )


async def test_a_released_folder_can_be_locked_again(tmp_path: Path) -> None:
    first, second = DataLock(tmp_path / "made" / "when-missing"), DataLock(tmp_path / "other")
    await first.acquire()
    first.release()

    await first.acquire()
    await second.acquire()

    assert first.descriptor != second.descriptor
    first.release()
    second.release()


async def test_the_servers_of_a_stack_that_died_are_waited_for(tmp_path: Path) -> None:
    dead = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _HOLDS_IT, str(tmp_path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert dead.stdout is not None
    assert dead.stdin is not None
    assert await dead.stdout.readline() == b"up\n"
    # The heir may be up before the stack is dead, and reaped: until then it is in use.
    await eventually(lambda: not _alive(str(dead.pid)), what="the stack to be dead")
    dead.stdin.close()  # now the heir ends, soon

    lock = DataLock(tmp_path)
    await lock.acquire()

    assert await dead.wait() == 0
    assert (tmp_path / "lock").read_text() == str(os.getpid())
    lock.release()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(EmbeddedError, match=r"^data folder .*/file/data: Not a directory: choose "):
        await DataLock(tmp_path / "file" / "data").acquire()


def test_a_lock_that_is_not_held_has_no_descriptor(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="not locked"):
        _ = DataLock(tmp_path).descriptor


@pytest.mark.parametrize("attribute", ["kafka", "temporal", "ui"])
def test_a_stack_that_was_not_entered_has_no_addresses(tmp_path: Path, attribute: str) -> None:
    with pytest.raises(EmbeddedError, match="use `async with`"):
        getattr(EmbeddedStack(tmp_path), attribute)
