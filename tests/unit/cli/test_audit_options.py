"""What the `audit` commands refuse before they ask anybody."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from completion_relay.cli.app import app

FILTERS = ("--event-id", "--workflow-id", "--activity-id", "--namespace", "--key-id")
COMMANDS = ("list", "tail", "export", "report")


def invoke(*args: str) -> Result:
    """Type an `audit` command where there is no Kafka."""
    args = ("audit", *args, "--kafka", "127.0.0.1:1")
    return CliRunner().invoke(app, list(args), prog_name="completion-relay")


@pytest.mark.parametrize("text", ["", " "])
@pytest.mark.parametrize(
    ("command", "option"),
    [(command, option) for command in COMMANDS[:3] for option in FILTERS]
    + [("report", "--namespace")],
)
def test_an_empty_id_or_name_is_refused(command: str, option: str, text: str) -> None:
    """It is what an unset variable becomes, and it listed everything."""
    done = invoke(command, option, text)
    assert done.exit_code == 2
    what = "a name" if option == "--namespace" else "an id"
    assert done.stderr == (
        f"error: {option} is empty: give {what}, or leave it out for all decisions\n"
    )


@pytest.mark.parametrize(
    ("command", "option"),
    [(command, option) for command in COMMANDS for option in ("--from", "--to")]
    + [("show e", "--from")],
)
def test_an_empty_time_is_refused(command: str, option: str) -> None:
    """It is what an unset variable becomes, and all of the trail was exported."""
    done = invoke(*command.split(), option, "")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {option}")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("times", [("1h", "2h"), ("2026-01-31", "2026-01-31")])
def test_a_span_that_ends_before_it_begins_is_refused(command: str, times: tuple[str, str]) -> None:
    """A report was of the time `from 17:28 to 16:28`, in which nothing had been decided."""
    since, until = times
    done = invoke(command, "--from", since, "--to", until)
    assert done.exit_code == 2
    assert done.stderr == (
        f"error: --to {until} is not after --from {since}, which may be the default: give an earlier "
        "--from, or a later --to\n"
    )


def test_a_time_before_the_default_begin_is_refused_with_that() -> None:
    done = invoke("list", "--to", "2026-01-31")
    assert done.exit_code == 2
    assert "--from 24h, which may be the default" in done.stderr


def test_a_report_of_what_is_still_to_come_is_refused() -> None:
    done = invoke("report", "--from", "2200-01-01")
    assert done.exit_code == 2
    assert done.stderr == "error: --from is still to come: give a time that is past\n"
