"""Room `cli`: progress bars where a person watches, none where a program does. Touches standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from completion_relay.cli.output import console


@contextlib.contextmanager
def progress(
    *bars: tuple[str, int | None], is_shown: bool = True
) -> Iterator[tuple[Callable[[int], None], ...]]:
    """Show bars for the length of the context; give what is told how many more are done, for each.

    Args:
        bars: What is done, and of how many; None: nobody knows.
        is_shown: False: not even on a terminal.
    """
    out = console(stderr=True)
    if not (out.is_terminal and is_shown):
        yield tuple(_nobody for _ in bars)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=out, transient=True) as shown:
        tasks = [shown.add_task(what, total=total) for what, total in bars]
        yield tuple(partial(shown.advance, task) for task in tasks)


def _nobody(_: int) -> None:
    pass
