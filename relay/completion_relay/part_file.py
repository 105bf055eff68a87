"""Room `part_file`: a file that is there as a whole or not at all. Touches files.

What stops in the middle would leave a short file, and who finds it cannot tell: what
is missing in an export of events would never be replayed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_OPEN_FILES: Final = "/proc"
"""Where Linux has links to what a process has open, under names that nothing else may have."""


def part_of(path: Path) -> Path:
    """Return where a file is written until all of it is: beside its place, as `FILE.part`."""
    # Not `with_name`, which refuses `.` and `/`: whoever writes says better what is wrong with them.
    return path.parent / f"{path.name}.part"


def place_of(path: Path) -> Path | None:
    """Return which place a file can take that is written beside it: what a link leads to, not the link.

    Returns:
        The place; None: what is there is to be written to, and nothing can take its place: a device, a FIFO,
        or what a process has open, as `/dev/stdout` is.

    Raises:
        OSError: it is a folder, or nobody can tell.
    """
    mode = _mode(path)  # first: of links that lead to each other it is an error
    here = path
    while here.is_symlink():
        if Path(os.path.realpath(here.parent)).is_relative_to(_OPEN_FILES):
            return None
        here = here.parent / here.readlink()
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return here if mode is None or stat.S_ISREG(mode) else None


def _mode(path: Path) -> int | None:
    """Return the mode of what is there; None: nothing is."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def gone_at_error(part: Path) -> Iterator[None]:
    """Delete the part if the context ends with an error; to give it its place is the context's own last step."""
    try:
        yield
    except BaseException:
        part.unlink(missing_ok=True)
        raise
