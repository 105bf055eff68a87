"""Room `tests/chaos`: a run as a command: progress, figures, exit code. Touches the terminal."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.chaos.report import Report

from completion_relay.embedded import EmbeddedError

CANNOT_RUN = 2
_CANNOT = (
    # What is missing on this machine, as the tests of Apache Kafka say it.
    pytest.skip.Exception,
    pytest.fail.Exception,
    # A server that does not start, a tool that refuses, a wait that is over; in a group
    # where it happened amid the faults.
    EmbeddedError,
    RuntimeError,
    AssertionError,
    ExceptionGroup,
)


def progress() -> Callable[[str], None]:
    """Return what prints a line of progress with its time, to standard error."""
    # It logs each reconnect to a broker that was killed on purpose.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console(stderr=True, highlight=False)
    begun = time.monotonic()

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:6.1f}[/dim]  {line}")

    return say


def finish(
    work: Coroutine[Any, Any, Report], *, say: Callable[[str], None], figures: Path | None
) -> int:
    """Do a run, print its table and return the exit code.

    Args:
        work: The run.
        say: Told why there is no table, where there is none.
        figures: A file for the same as JSON.

    Returns:
        0: all is as it should be; 1: it is not; 2: it could not run on this machine;
        130: interrupted, as shells say it.
    """
    try:
        report = asyncio.run(work)
    except _CANNOT as error:
        for reason in error.exceptions if isinstance(error, ExceptionGroup) else (error,):
            say(f"cannot run: {reason}")
        return CANNOT_RUN
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    Console().print(report.as_table())
    if figures:
        figures.write_text(json.dumps(report.as_json(), indent=2) + "\n", "utf-8")
    return 0 if report.is_well else 1


def positive(text: str) -> float:
    """Return the number that an option has.

    Raises:
        argparse.ArgumentTypeError: it is not above 0.
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: give a number above 0")
    return number


def count(text: str) -> int:
    """Return the whole number that an option has.

    Raises:
        argparse.ArgumentTypeError: it is not 1 or more.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of 1 or more")
    return int(text)


def setting(text: str) -> tuple[str, str]:
    """Return the name and the value of a setting of the relays.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    name, equals, value = text.partition("=")
    if not name.startswith("COMPLETION_RELAY_") or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: give COMPLETION_RELAY_SECTION__NAME=VALUE")
    return name, value
