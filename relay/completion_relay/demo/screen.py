"""Room `demo`: what a person sees while the scene is played. Touches the terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from completion_relay.demo.board import Board
from completion_relay.demo.script import HANDED_OFF, SLOTS

_NEWS: Final = 12
_BAR: Final = 30
_STYLES: Final = {"alive": "green", "killed": "bold red"}


@contextlib.contextmanager
def shown(board: Board, console: Console) -> Iterator[None]:
    """Show the board for the length of the context: live on a terminal, as lines anywhere else."""
    if not console.is_terminal:
        board.on_news = lambda line: console.print(Text(line), soft_wrap=True)
        yield
        return
    with Live(_Face(board), console=console, refresh_per_second=8, transient=True):
        yield


class _Face:
    """The board as rich draws it, anew at each refresh."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        board = self._board
        numbers = Table.grid(padding=(0, 2))
        numbers.add_row(
            "waiting",
            ProgressBar(HANDED_OFF, board.waiting, width=_BAR),
            f"{board.waiting} of {HANDED_OFF} activities; the caller's worker has "
            f"{board.free_slots} of {SLOTS} slots free",
        )
        said = ", ".join(f"{count} {name}" for name, count in board.dispositions.items())
        numbers.add_row(
            "decided",
            ProgressBar(max(board.expected, 1), board.decided, width=_BAR),
            f"{board.decided} of {board.expected} events" + (f": {said}" if said else ""),
        )
        yield Text(f"completion-relay demo   {board.seconds:.0f} s", style="bold")
        yield Text()
        yield numbers
        for name, state in board.relays.items():
            yield Text.assemble(
                f"{name}  ",
                (state, _STYLES.get(state, "dim")),
                f", decided {board.decided_by(name)}",
            )
        yield Text()
        for line in list(board.news)[-_NEWS:]:
            yield Text(line, overflow="ellipsis", no_wrap=True)
