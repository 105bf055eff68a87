"""Room `cli`: where every error becomes lines and an exit code. Touches standard error.

0    done
1    the command's own "no": a check failed, nothing was found
2    used wrongly, a setting is wrong, a server cannot be reached or refuses
70   a mistake of this program's own (EX_SOFTWARE of sysexits.h)
130  Ctrl-C; 0 where it is the ordinary end, and what was under way is written
"""

from __future__ import annotations

import contextlib
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from completion_relay import __version__
from completion_relay.cli.output import is_unwritable, plural, print_error
from completion_schemas.errors import CompletionError

NO: Final = 1
REFUSED: Final = 2
BUG: Final = 70

TRACEBACK: Final = "--traceback"

_EXTRA_ARGUMENTS = re.compile(r"Got unexpected extra argument\(s\) \((.*)\)", re.DOTALL)
_LONG_WORD = re.compile(r"[^\s'\"]{65,}")
_SHOWN_OF_A_LONG_WORD: Final = 20


class Boundary(TyperGroup):
    """The group of all commands: no traceback leaves it unless it was asked for."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - the overridden signature
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002 - the same
        **extra: Any,
    ) -> Any:
        """Run the commands; see `typer.core.TyperGroup.main`."""
        given = list(sys.argv[1:] if args is None else args)
        inner = super().main

        def run() -> Any:
            return inner(given, prog_name, complete_var, False, windows_expand_args, **extra)

        return _exit(run, with_traceback=TRACEBACK in given) if standalone_mode else run()


def _exit(run: Callable[[], Any], *, with_traceback: bool) -> NoReturn:
    try:
        code = run()  # Ctrl-C comes back as 130, `raise typer.Exit(n)` as n
        with contextlib.suppress(BrokenPipeError, ValueError):  # the reader of a pipe has gone
            # Here, where it is told: the last of it may find the disk full.
            sys.stdout.flush()
    except typer.Abort:
        code = NO
    except ModuleNotFoundError:
        # A library of an extra: commands are imported when they are asked for. `__main__` says which.
        raise
    except Exception as error:  # noqa: BLE001 - the one place that must know them all
        code, text = explain(error)
        if text:
            print_error(text)
        # That of a wrong use says nothing more, and would quote what `_usage` leaves out.
        if with_traceback and not isinstance(error, TyperException):
            traceback.print_exc()
    sys.exit(code if isinstance(code, int) else 0)


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit code of an error and its lines, which quote nothing that may be secret."""
    if isinstance(error, CompletionError):
        return REFUSED, str(error)
    if is_unwritable(error):
        return REFUSED, (
            f"what this prints cannot be written: {error.strerror}: make room there, or write it "
            "elsewhere"
        )
    # Imported here: a command that asks an index needs neither, and they take half a second.
    from aiokafka.errors import KafkaError  # noqa: PLC0415
    from temporalio.service import RPCError  # noqa: PLC0415

    from completion_relay.cli.reach import kafka_reason  # noqa: PLC0415

    match error:
        case TyperException():
            command = getattr(getattr(error, "ctx", None), "command_path", "completion-relay")
            text = _usage(error.format_message()).rstrip(".")
            # Without a text it was no arguments at all, and the help has been printed.
            return error.exit_code, text and f"{text}: see {command} --help"
        case KafkaError():
            return REFUSED, f"Kafka: {kafka_reason(error)}"
        case RPCError():
            return REFUSED, f"Temporal: {error.status.name}: {error.message}"
        case _:
            # Not its text: that of a library may quote what it was given, a token too (promise 4).
            last = traceback.extract_tb(error.__traceback__)[-1]
            return BUG, (
                f"a mistake of completion-relay {__version__} itself: {type(error).__name__} at "
                f"{Path(last.filename).name}:{last.lineno}: run it again as completion-relay "
                f"{TRACEBACK} … and report what it prints"
            )


def _usage(message: str) -> str:
    """Return what was wrong, without what was given where that may be a task token (promise 4)."""
    if extra := _EXTRA_ARGUMENTS.search(message):
        return f"{plural(len(extra[1].split()), 'argument')} too many"
    # The parser's own library says so before every text that is not its own.
    message = message.replace("Value error, ", "")
    return _LONG_WORD.sub(lambda word: f"{word[0][:_SHOWN_OF_A_LONG_WORD]}...", message)
