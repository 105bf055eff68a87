"""The console command `completion-relay`, also `python -m completion_relay`. Touches nothing itself."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import NoReturn

from completion_relay.stop import leave


def main() -> NoReturn:
    """Run the command line and exit; see `completion-relay --help` for the exit codes."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as with `>&-`: who prints would fail
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
            setattr(sys, name, nowhere)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack the marks used
    try:
        # A worker installs this distribution without the service's libraries and
        # finds the command on its PATH all the same.
        from completion_relay.cli.app import app  # noqa: PLC0415

        app()
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library.startswith("completion_"):
            raise
        sys.stderr.write(
            f"error: the library {library} is not installed, which the commands need: "
            "pip install 'completion-relay[relay]'\n"
        )
        leave(2)
    except KeyboardInterrupt:
        leave(130)
    except SystemExit as error:
        leave(error.code if isinstance(error.code, int) else int(error.code is not None))
    leave(0)


if __name__ == "__main__":
    main()
