"""Room `cli`: tables for a person, JSON lines for a program, error lines for both. Touches the terminal.

On a terminal a table folds long ids, so that it fits; anywhere else a row is
one line of whatever length, without colour, so that `grep` and `awk` find whole ids.
"""

from __future__ import annotations

import codecs
import errno
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TextIO, TypeGuard

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNBOUNDED = 100_000


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def is_unwritable(error: BaseException) -> TypeGuard[OSError]:
    """Whether what was printed could not be written: no connection ends with these, though all are OSErrors."""
    return isinstance(error, OSError) and error.errno in _FULL


def console(*, stderr: bool = False) -> Console:
    """Return where text goes, made anew each time: the streams may have been redirected."""
    out = Console(stderr=stderr, highlight=False, emoji=False, markup=False, soft_wrap=False)
    if not out.is_terminal:
        out = Console(
            file=sys.stderr if stderr else sys.stdout,
            highlight=False,
            emoji=False,
            markup=False,
            color_system=None,
            width=_UNBOUNDED,
        )
    return out


def printable(text: str) -> str:
    """Return the text with control characters spelt out.

    Ids come from whoever may write to the topic: an escape sequence in one must
    not reach the terminal.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plural(count: int, one: str, many: str = "") -> str:
    """Return `1 topic`, `2 topics`."""
    return f"{count} {one}" if count == 1 else f"{count} {many or one + 's'}"


def stacked(*lines: str | Text) -> Text:
    """Return one cell of several lines."""
    return Text("\n").join(_cell(line) for line in lines)


def print_line(text: str | Text = "") -> None:
    """Print a line of text as it is."""
    console().print(_cell(text), soft_wrap=True)


def print_error(text: str) -> None:
    """Print each line of an error's text to standard error, with `error: ` before it."""
    out = console(stderr=True)
    for line in text.splitlines() or [""]:
        out.print(Text.assemble(("error: ", "bold red"), printable(line)), soft_wrap=True)


def print_note(text: str) -> None:
    """Print a remark to standard error, where it does not mix with what a program reads."""
    console(stderr=True).print(Text(printable(text), style="dim"), soft_wrap=True)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line.

    JSON is UTF-8: where standard output has another encoding, what is not ASCII is spelt as JSON spells it.
    """
    text = json.dumps(value, ensure_ascii=not _is_utf8(sys.stdout), separators=(",", ":"))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table: what is in it is text and never markup."""
    out = console()
    if not out.is_terminal:
        _print_aligned([list(headings), *([_plain(cell) for cell in row] for row in rows)])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(cell) for cell in row))
    out.print(table)


def print_fields(fields: Iterable[tuple[str, str | Text]], *, indent: int = 0) -> None:
    """Print names and values below one another, the values aligned."""
    pairs = list(fields)
    width = max((len(name) for name, _ in pairs), default=0)
    out = console()
    for name, value in pairs:
        out.print(
            Text.assemble(" " * indent, (name.ljust(width), "dim"), "  ", _cell(value)),
            soft_wrap=True,
        )


def is_terminal() -> bool:
    """Return whether standard output is read by a person."""
    return console().is_terminal


def _is_utf8(stream: TextIO) -> bool:
    try:
        return codecs.lookup(stream.encoding).name == "utf-8"
    except (LookupError, TypeError):
        return False


def _cell(value: str | Text) -> Text:
    # Line breaks of our own are meant; those of others were spelt out before.
    return value if isinstance(value, Text) else Text(printable(value))


def _plain(cell: str | Text) -> str:
    text = _cell(cell).plain
    # A value with a line break would look like two rows, an empty one shift the columns.
    return " ".join(text.split("\n")) or "-"


def _print_aligned(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")
