"""The command line as a whole: help, exit codes, and one clear line for everything that is wrong."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiokafka.errors
import pytest
import typer
from temporalio.service import RPCError, RPCStatusCode
from typer.core import TyperGroup
from typer.main import get_group
from typer.testing import CliRunner, Result

from completion_relay import __version__
from completion_relay.cli import boundary
from completion_relay.cli.app import app
from completion_schemas.errors import CompletionError

COMMANDS = (
    ("check",),
    ("topics", "create"),
    ("emit",),
    ("audit", "list"),
    ("audit", "show"),
    ("replay",),
    ("skip",),
    ("park",),
    ("status",),
)
NOBODY = "127.0.0.1:1"
"""Port 1 of the loopback: nothing listens there."""
BY = ("--why", "ticket 7", "--yes")
BY_IDS = ("--workflow-id", "w", "--run-id", "r", "--activity-id", "5")


def invoke(*args: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(args), input=stdin, prog_name="completion-relay")


def refused(*args: str, stdin: str | bytes | None = None) -> str:
    """Return the error lines of a call that exits 2, each marked as one and none a traceback."""
    result = invoke(*args, stdin=stdin)
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert lines
    assert all(line.startswith("error: ") for line in lines), result.stderr
    return result.stderr


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("COMPLETION_RELAY_", "TEMPORAL_")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_takes_the_shared_options_and_has_an_example(
    command: tuple[str, ...],
) -> None:
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    for expected in ("--config", "--kafka", "--json", "For example:", "completion-relay"):
        assert expected in result.stdout


def commands_of(group: TyperGroup, *names: str) -> Iterator[tuple[str, ...]]:
    """Yield the names of every command and group."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        yield (*names, name)
        if isinstance(command := group.get_command(context, name), TyperGroup):
            yield from commands_of(command, *names, name)


def test_every_help_is_set_and_not_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the commands of a group once was: backticks, and lines broken where the source is."""
    monkeypatch.setenv("COLUMNS", "100")
    commands = list(commands_of(get_group(app)))
    assert {("audit", "list"), ("topics", "create"), ("replay",)} <= set(commands)
    assert [name for name in commands if "`" in invoke(*name, "--help").stdout] == []


def test_the_help_tells_the_exit_codes() -> None:
    assert "Exit codes: 0 done" in invoke("--help").stdout


def test_no_arguments_show_the_help_and_exit_2() -> None:
    result = invoke()
    assert result.exit_code == 2
    assert "Commands" in result.output
    assert "error" not in result.stderr


def test_the_version_is_printed() -> None:
    assert invoke("--version").stdout == f"completion-relay {__version__}\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("topics", "creat"), "Did you mean 'create'"),
        (("--nonsense",), "No such option: --nonsense"),
        (("audit", "show"), "Missing argument 'EVENT'"),
        (("skip", "e"), "Missing option '--why'"),
        (("topics", "create", "--partitions", "0"), "--partitions"),
        (("audit", "list", "--disposition", "lost"), "--disposition"),
        (("audit", "tail", "--follow", "--to", "1h"), "goes on for ever: leave out --to"),
    ],
)
def test_a_wrong_use_is_one_line_that_names_it(args: tuple[str, ...], said: str) -> None:
    error = refused(*args)
    assert said in error
    assert error.count("\n") == 1
    assert "--help" in error


@pytest.mark.parametrize(
    "command",
    [*COMMANDS[:4], ("audit", "show", "e"), ("skip", "e", *BY), ("park", "e", *BY)],
    ids=" ".join,
)
def test_a_wrong_setting_is_named_with_problem_and_fix(command: tuple[str, ...]) -> None:
    outcome = ("--cancel", *BY_IDS) if command == ("emit",) else ()
    error = refused(*command, *outcome, "--kafka", "nowhere")
    assert "kafka.bootstrap_servers = 'nowhere'" in error
    assert "should be HOST:PORT" in error


@pytest.mark.parametrize(
    "args",
    [("replay", "--reason", "lost"), ("audit", "export", "--format", "x")],
    ids=" ".join,
)
def test_a_name_that_is_none_is_said_in_no_librarys_words(args: tuple[str, ...]) -> None:
    error = refused(*args)
    assert f"error: Invalid value for '{args[-2]}': '{args[-1]}' is not one of " in error


def test_a_missing_configuration_file_is_named(tmp_path: Path) -> None:
    error = refused("check", "--config", str(tmp_path / "relay.toml"))
    assert "relay.toml: No such file or directory: give an existing file with --config" in error


@pytest.mark.parametrize(
    "command",
    [
        ("topics", "create"),
        ("emit", "--cancel", *BY_IDS),
        ("emit", "--cancel", *BY_IDS, "--wait", "1"),
        ("audit", "list"),
        ("audit", "show", "e"),
        ("skip", "e", *BY),
        ("park", "e", *BY),
    ],
    ids=" ".join,
)
def test_an_unreachable_kafka_is_one_line_with_address_cause_and_fix(
    command: tuple[str, ...],
) -> None:
    error = refused(*command, "--kafka", NOBODY)
    assert error.count("\n") == 1
    assert f"Kafka at {NOBODY} cannot be reached" in error
    assert "Connect call failed" in error
    assert "check that it runs" in error


def test_check_with_nothing_there_says_so_and_exits_1() -> None:
    result = invoke("check", "--kafka", NOBODY, "--temporal", NOBODY, "--json")
    assert result.exit_code == 1
    found = {f["check"]: f for f in map(json.loads, result.stdout.splitlines())}
    assert found["settings"]["status"] == "ok"
    assert found["kafka"]["status"] == "failed"
    assert f"Kafka at {NOBODY} cannot be reached" in found["kafka"]["detail"]
    assert found["temporal"]["status"] == "failed"
    assert f"Temporal at {NOBODY} cannot be reached" in found["temporal"]["detail"]
    assert found["write"]["status"] == "skipped"
    assert not result.stderr


def test_emit_without_a_run_and_without_a_token_asks_for_it() -> None:
    error = refused("emit", "--workflow-id", "w", "--activity-id", "5", "--cancel")
    assert "--run-id is missing" in error


def test_emit_cannot_read_token_and_result_from_the_same_standard_input() -> None:
    error = refused("emit", "--token-file", "-", "--result-file", "-")
    assert "cannot both be standard input" in error


def test_emit_dry_run_shows_the_record_and_connects_to_nothing() -> None:
    result = invoke(
        "emit",
        *BY_IDS,
        "--namespace",
        "n",
        "--result",
        "1",
        "--kafka",
        NOBODY,
        "--dry-run",
        "--json",
    )
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert shown["type"] == "completed"
    assert shown["key"] == "n/w/5"
    assert shown["topic"] == "completions"


def test_emit_names_a_token_only_by_preview_and_fingerprint() -> None:
    token = b"\x0a\x24" + b"token-nobody-may-see" * 5
    result = invoke("emit", "--token-file", "-", "--heartbeat", "--dry-run", "--json", stdin=token)
    shown = json.loads(result.stdout)
    assert shown["token_preview"] == "CiR0b2tlbi1ub2JvZHkt..."
    assert shown["key"] == shown["token_fingerprint"]
    assert "nobody-may-see" not in result.output


@pytest.mark.parametrize("length", [160, 400])
@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("emit", "TOKEN", "--result", "1"), "1 argument too many"),
        (("emit", "TOKEN", "two", "TOKEN", "--cancel"), "3 arguments too many"),
        (("--traceback", "emit", "TOKEN", "--result", "1"), "1 argument too many"),
        (("emit", "--token-file", "TOKEN", "--cancel"), "no such file"),
        (("TOKEN",), "No such command"),
        (("emit", "--TOKEN"), "No such option"),
        (("emit", "--attempt", "TOKEN"), "should be a valid integer"),
    ],
)
def test_a_token_on_the_command_line_is_not_repeated(
    args: tuple[str, ...], said: str, length: int
) -> None:
    token = base64.b64encode(b"\x0a\x24" + b"5" * 36 + b"\x42" * length)[:length].decode()
    error = refused(*(arg.replace("TOKEN", token) for arg in args))
    assert said in error
    assert token[24:48] not in error


def test_emit_by_ids_without_a_namespace_names_the_first_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMPLETION_RELAY_TEMPORAL__NAMESPACES", '["orders", "billing"]')
    result = invoke("emit", *BY_IDS, "--cancel", "--dry-run", "--json")
    shown = json.loads(result.stdout)
    assert (shown["namespace"], shown["key"]) == ("orders", "orders/w/5")


def test_emit_refuses_a_deadline_that_is_past() -> None:
    error = refused("emit", *BY_IDS, "--cancel", "--dry-run", "--deadline", "2020-01-31")
    assert "--deadline '2020-01-31' is in the past" in error


def test_a_time_that_is_none_is_refused_before_anything_is_connected() -> None:
    assert "--from 'yesterday' is not a time" in refused("audit", "list", "--from", "yesterday")


class _UnexpectedError(Exception):
    """Something that nobody expected."""


def _app_that_raises(error: BaseException) -> typer.Typer:
    broken = typer.Typer(cls=boundary.Boundary)

    @broken.callback()
    def main(*, traceback: bool = False) -> None:
        pass

    @broken.command()
    def fail() -> None:
        raise error

    return broken


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CompletionError("one\ntwo"), "error: one\nerror: two\n"),
        (
            aiokafka.errors.TopicAuthorizationFailedError("completions"),
            "error: Kafka: TopicAuthorizationFailed: completions\n",
        ),
        (
            RPCError("no such role", RPCStatusCode.PERMISSION_DENIED, b""),
            "error: Temporal: PERMISSION_DENIED: no such role\n",
        ),
    ],
)
def test_an_expected_error_is_lines_and_exit_2(error: Exception, said: str) -> None:
    result = CliRunner().invoke(_app_that_raises(error), ["fail"])
    assert (result.exit_code, result.stderr) == (2, said)


def test_a_mistake_of_ours_is_one_line_without_the_text_of_the_error() -> None:
    result = CliRunner().invoke(_app_that_raises(_UnexpectedError("secret")), ["fail"])
    assert result.exit_code == 70
    assert result.stderr.count("\n") == 1
    assert "_UnexpectedError at test_command_line.py:" in result.stderr
    assert "secret" not in result.stderr


def test_the_traceback_is_printed_when_it_is_asked_for() -> None:
    result = CliRunner().invoke(_app_that_raises(_UnexpectedError("why")), ["--traceback", "fail"])
    assert result.exit_code == 70
    assert "Traceback (most recent call last)" in result.stderr


def test_ctrl_c_exits_130_without_a_traceback() -> None:
    result = CliRunner().invoke(_app_that_raises(KeyboardInterrupt()), ["fail"])
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("library", ["typer", "rich", "pydantic", "uuid_utils"])
def test_a_missing_library_of_the_extra_is_named_with_the_extra(library: str) -> None:
    code = f"import sys; sys.modules['{library}'] = None; from completion_relay.__main__ import main; main()"
    done = _python(code)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"the library {library} is not installed" in done.stderr
    assert "pip install 'completion-relay[relay]'" in done.stderr


def test_a_terminal_without_the_marks_still_gets_the_lines() -> None:
    code = (
        f"import sys; sys.argv = ['completion-relay', 'check', '--kafka', '{NOBODY}', '--temporal', "
        f"'{NOBODY}']; from completion_relay.__main__ import main; main()"
    )
    done = _python(code, PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert "\\u2717 kafka" in done.stdout


def test_the_process_ends_without_the_interpreter_being_taken_apart() -> None:
    """While that happens, threads of Temporal's client abort the process (temporalio/sdk-python#300)."""
    code = (
        "import atexit, sys; atexit.register(print, 'taken apart'); "
        "sys.argv = ['completion-relay', '--version']; "
        "from completion_relay.__main__ import main; main()"
    )
    done = _python(code)
    assert (done.returncode, done.stdout) == (0, f"completion-relay {__version__}\n")


@pytest.mark.parametrize(
    ("code", "expected"), [("3", 3), ("None", 0), ("'a message'", 1)], ids=["int", "none", "text"]
)
def test_the_exit_code_is_the_commands(code: str, expected: int) -> None:
    done = _python(
        "import sys, completion_relay.cli.app as cli; "
        f"cli.app = lambda: sys.exit({code}); "
        "from completion_relay.__main__ import main; main()"
    )
    assert done.returncode == expected


def test_a_reader_that_goes_away_ends_it_without_a_traceback() -> None:
    """`completion-relay emit --help | head -1`: a full pipe nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "completion_relay", "emit", "--help"],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)
    assert done.returncode == 1
    assert done.stderr == ""


def test_ctrl_c_during_a_real_call_ends_it_quietly() -> None:
    """A signal while the loop runs: the process sends it to itself once the command is at work."""
    code = f"""
import os, signal, sys
import completion_relay.cli.topics as topics

async def interrupted(*args, **options):
    os.kill(os.getpid(), signal.SIGINT)
    await __import__("asyncio").Event().wait()

topics._create = interrupted
sys.argv = ["completion-relay", "topics", "create", "--kafka", "{NOBODY}"]
from completion_relay.__main__ import main
main()
"""
    done = _python(code)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")


def test_a_list_from_an_index_imports_nothing_of_kafka_or_temporal() -> None:
    """They took 0.8 s of the 1.3 s that a list took, of which the index took 0.1 s."""
    done = _python(
        "import sys, completion_relay.cli.app, completion_relay.cli.audit.list; "
        "sys.exit(bool({'aiokafka', 'temporalio', 'aiohttp'} & set(sys.modules)))"
    )
    assert done.returncode == 0, done.stderr
