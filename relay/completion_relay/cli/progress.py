"""Room `cli`: progress bars where a person watches, none where a program does. Touches standard error."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from completion_relay.cli.output import console

if TYPE_CHECKING:
    from completion_relay.topic_reader import Progress as HowFar


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


@contextlib.contextmanager
def scanning(what: str = "reading") -> Iterator[Callable[[HowFar], None]]:
    """Show how far a scan of a topic is, for the length of the context; give what is told that.

    Args:
        what: What is done.
    """
    err = console(stderr=True)
    if not err.is_terminal:
        yield lambda _: None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=None, said="")
        started = time.monotonic()

        def show(progress: HowFar) -> None:
            rate = progress.records / max(0.001, time.monotonic() - started)
            bar.update(
                task,
                total=progress.offsets,
                completed=progress.done,
                said=f"{progress.records:,} records, {rate:,.0f} a second",
            )

        yield show


def _nobody(_: int) -> None:
    pass
