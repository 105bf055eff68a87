"""Room `tests`: a PostgreSQL of this session's own. Touches processes, a temporary folder and a port."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from completion_relay.embedded.process import HOST, ServerProcess, connectable, free_port

_READY_SECONDS = 60.0
_USER = "postgres"
_PLACES = "/usr/lib/postgresql/*/bin"
"""Where Debian has it; elsewhere it is on the PATH."""


def programs() -> Path | None:
    """Return the folder with `initdb` and `postgres`; None: there is none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    places = sorted(glob.glob(_PLACES))  # noqa: PTH207 - an absolute pattern
    return Path(places[-1]) if places else None


@contextlib.asynccontextmanager
async def postgres(programs: Path) -> AsyncIterator[str]:
    """Start a server with an empty database; yield its URL."""
    # Not pytest's folder: only its owner may go into that, and PostgreSQL refuses to run as root.
    with tempfile.TemporaryDirectory(prefix="completion-relay-postgres-") as name:
        folder = Path(name)
        as_user: list[str] = []
        if os.getuid() == 0:
            user = pwd.getpwnam(_USER)
            os.chown(folder, user.pw_uid, user.pw_gid)
            as_user = ["setpriv", f"--reuid={_USER}", f"--regid={user.pw_gid}", "--clear-groups"]
        data = folder / "data"
        await asyncio.to_thread(
            _run,
            [
                *as_user,
                programs / "initdb",
                *("--pgdata", data, "--username", _USER, "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
            ],
        )
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="completion-relay-postgres-log-") as log:
            server = ServerProcess("PostgreSQL", Path(log) / "postgres.log")
            await server.start(
                [
                    *as_user,
                    programs / "postgres",
                    *("-D", data, "-p", str(port), "-k", "", "-h", HOST),
                    # What is tested outlives no crash of the machine.
                    *("-c", "fsync=off", "-c", "shared_buffers=32MB"),
                ]
            )
            try:
                await server.ready(lambda: connectable(port), within=_READY_SECONDS)
                yield f"postgresql://{_USER}@{HOST}:{port}/postgres"
            finally:
                await server.stop()


def _run(command: list[str | Path]) -> None:
    subprocess.run(command, check=True, capture_output=True)
