"""Room `part_file`: a file that is there as a whole or not at all. Touches files.

What stops in the middle would leave a short file, and who finds it cannot tell: what
is missing in an export of events would never be replayed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


def part_of(path: Path) -> Path:
    """Return where a file is written until all of it is: beside its place, as `FILE.part`."""
    return path.with_name(path.name + ".part")


@contextlib.contextmanager
def gone_at_error(part: Path) -> Iterator[None]:
    """Delete the part if the context ends with an error; to give it its place is the context's own last step."""
    try:
        yield
    except BaseException:
        part.unlink(missing_ok=True)
        raise
