"""Room `cli`: the command line as a whole; each command is a module of its own. Touches no server."""

from __future__ import annotations

from typing import Annotated

import typer

from completion_relay import __version__
from completion_relay.cli import audit, topics
from completion_relay.cli.boundary import TRACEBACK, Boundary
from completion_relay.cli.check import check
from completion_relay.cli.demo import demo
from completion_relay.cli.emit import emit
from completion_relay.cli.output import print_line
from completion_relay.cli.replay import replay
from completion_relay.cli.run import run
from completion_relay.cli.up import up

app = typer.Typer(
    name="completion-relay",
    cls=Boundary,
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
    **70** a mistake of this program · **130** Ctrl-C.
    """


app.command("demo")(demo)
app.command("up")(up)
app.command("run")(run)
app.command("check")(check)
app.add_typer(topics.app, name="topics")
app.command("emit")(emit)
app.add_typer(audit.app, name="audit")
app.command("replay")(replay)
