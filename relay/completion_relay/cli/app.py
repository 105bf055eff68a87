"""Room `cli`: the command line as a whole; each command is a module of its own. Touches no server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from completion_relay import __version__
from completion_relay.cli.boundary import TRACEBACK, Boundary
from completion_relay.cli.lazy import LazyGroup
from completion_relay.cli.output import print_line


class Commands(LazyGroup, Boundary):
    """All commands, in the order of the help."""

    places: ClassVar[Mapping[str, str]] = {
        "demo": "completion_relay.cli.demo:demo",
        "up": "completion_relay.cli.up:up",
        "run": "completion_relay.cli.run:run",
        "check": "completion_relay.cli.check:check",
        "status": "completion_relay.cli.status:status",
        "topics": "completion_relay.cli.topics:app",
        "emit": "completion_relay.cli.emit:emit",
        "audit": "completion_relay.cli.audit:app",
        "replay": "completion_relay.cli.replay:replay",
        "skip": "completion_relay.cli.hands:skip",
        "park": "completion_relay.cli.hands:park",
    }


app = typer.Typer(
    name="completion-relay",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        print_line(f"completion-relay {__version__}")
        raise typer.Exit


@app.callback()
def main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    show_traceback: Annotated[
        bool, typer.Option(TRACEBACK, help="After an error, print where it came from.")
    ] = False,
) -> None:
    """Complete waiting Temporal activities from events on Kafka.

    Settings come from the command line, then `COMPLETION_RELAY_*` variables, then the TOML file
    of `--config`; Temporal's own from its profile and `TEMPORAL_*` variables.

    Exit codes: **0** done · **1** the command's own "no" (a check failed, nothing was found) ·
    **2** used wrongly, a wrong setting, a server that cannot be reached or refuses ·
    **70** a mistake of this program · **130** Ctrl-C (`run`, `up`, `audit index`: **0**, once they
    have written what was under way).
    """
