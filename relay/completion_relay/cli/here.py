"""Room `cli`: how the commands that a hint names are called here. Touches the environment.

`make demo` neither activates the `.venv` nor changes PATH: a hint must name the
program by its path then, or the first thing a new user types does not work.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

_NAME = "completion-relay"


def program() -> str:
    """Return what to type for this program."""
    beside = Path(sys.executable).parent / _NAME
    found = shutil.which(_NAME)
    if not beside.is_file() or (found and Path(found).samefile(beside)):
        return _NAME
    return _from_here(beside)


def python() -> str:
    """Return what to type for the Python that has this program."""
    found = shutil.which("python")
    same = found is not None and Path(found).parent == Path(sys.executable).parent
    return "python" if same else _from_here(Path(sys.executable))


def _from_here(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
