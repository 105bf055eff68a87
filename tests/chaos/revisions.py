"""Room `tests/chaos`: earlier revisions of this tree. Touches git and files."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

from completion_schemas import avro

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("relay", "workflow", "schemas")


class NoRevisionError(Exception):
    """There is no earlier revision here; the text says why."""


class NoHistoryError(NoRevisionError):
    """Nor can there be: this is no clone, or its history was cut off or begins later."""


def before_the_newest_schema() -> str:
    """Return the last revision whose relay writes audit records by the former schema.

    Found by what it lacks: what is landed may get another name.

    Raises:
        NoHistoryError: this is no clone, or one without that part of the history.
        NoRevisionError: the history has not that schema.
    """
    schema = f"schemas/completion_schemas/avro/audit/v{avro.latest('audit').version}.avsc"
    added = _git("log", "--diff-filter=A", "--max-count=1", "--format=%H", "--", schema)
    if not added:
        raise NoRevisionError(f"no revision added {schema}")
    return previous(added.decode().strip())


def previous(revision: str = "HEAD") -> str:
    """Return the full name of the revision before.

    Raises:
        NoHistoryError: there is none in this clone, as in a shallow one.
        NoRevisionError: there is no such revision.
    """
    _, *parents = _git("rev-list", "--parents", "--max-count=1", revision).split()
    if not parents:
        raise NoHistoryError(f"the history of this clone begins with {revision}: is it shallow?")
    return parents[0].decode()


def resolved(revision: str) -> str:
    """Return a revision's full name.

    Raises:
        NoRevisionError: there is no such revision in this clone.
    """
    try:
        return _git("rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()
    except NoRevisionError as error:
        raise NoRevisionError(f"revision {revision}: {error}: name one of this clone") from None


def unpack(revision: str, folder: Path) -> str:
    """Write a revision's sources into a folder; return the PYTHONPATH that runs them.

    Raises:
        NoRevisionError: there is no such revision.
    """
    archive = _git("archive", "--format=tar", revision, *_SOURCES)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return ":".join(str(folder / source) for source in _SOURCES)


def git_environment() -> dict[str, str]:
    """Return one in which git has no other repository in mind, as it has within a hook, and speaks English."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**others, "LC_ALL": "C"}


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(
            ["git", "-C", ROOT, *arguments],
            env=git_environment(),
            capture_output=True,
            check=True,
        ).stdout
    except FileNotFoundError:
        raise NoHistoryError("there is no git on PATH") from None
    except subprocess.CalledProcessError as error:
        # Also a clone that git does not read, for being somebody else's.
        clone = subprocess.run(
            ["git", "-C", ROOT, "rev-parse", "--git-dir"],
            env=git_environment(),
            capture_output=True,
            check=False,
        )
        kind = NoHistoryError if clone.returncode else NoRevisionError
        raise kind(f"git {arguments[0]}: {error.stderr.decode().strip()}") from None
