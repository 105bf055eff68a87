"""What `audit list` and `export` say of an index, which takes no Kafka, and of a topic in memory."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import errno
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.audit_index.records import chunk_of, rows_of
from tests.unit.relay.trails import MemoryTrail, decision
from typer.testing import CliRunner, Result

from completion_relay.audit_index.duck import DuckFile
from completion_relay.cli.app import app
from completion_relay.cli.audit import reading
from completion_relay.cli.reach import reaching_kafka
from completion_relay.settings import Settings
from completion_schemas.audit import AuditRecord, audit_to_json_dict

NOW = time.time_ns() // 10**9
ODD = "Zoë → \U0001f600"
"""No encoding but Unicode's has all of it."""


def index(folder: Path, *records: AuditRecord, unreadable: int = 0) -> str:
    """Return a database in which the index has these, and counts so many that it could not read."""
    store = DuckFile(folder / "audit.duckdb")
    store.prepare("completions.audit")
    chunk = chunk_of(rows_of(records))
    chunk.unreadable = unreadable
    store.write([chunk])
    return str(folder / "audit.duckdb")


def invoke(*args: str) -> Result:
    return CliRunner().invoke(app, ["audit", *args], prog_name="completion-relay")


def typed(
    *args: str, stdout: int = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Return what came of a command in a process of its own: of these streams no runner's will do."""
    return subprocess.run(
        [sys.executable, "-m", "completion_relay", "audit", *args],
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        env={**os.environ, **variables},
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_json_and_a_text_is_itself_whatever_encoding_standard_output_has(
    tmp_path: Path, encoding: str
) -> None:
    record = decision("e", decided=NOW, detail=ODD)
    database = ("--database", index(tmp_path, record))
    for command in (("list", "--json"), ("export",)):
        done = typed(*command, *database, PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.decode("utf-8")) == audit_to_json_dict(record)
    done = typed("export", "--format", "csv", *database, PYTHONIOENCODING=encoding)
    (row,) = csv.DictReader(io.StringIO(done.stdout.decode("utf-8"), newline=""))
    assert row["detail"] == ODD


KNOWN = decision("known", decided=NOW)
UNKNOWN = dataclasses.replace(
    decision("unknown", decided=NOW + 1),
    disposition="revoked",  # type: ignore[arg-type]
)
"""As a newer relay may write it."""


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_rows_that_this_version_does_not_know_are_left_out_of_a_list_and_said_to_be(
    tmp_path: Path, form: tuple[str, ...]
) -> None:
    """One of them made every list that it belonged to an error without a fix."""
    done = invoke("list", *form, "--database", index(tmp_path, KNOWN, UNKNOWN, UNKNOWN))
    assert done.exit_code == 0, done.output
    assert ("known" in done.stdout, "revoked" in done.stdout) == (True, False)
    assert (
        "2 rows of the index cannot be read as audit records: left out, the first of them that of "
        "completions.audit/0/1: if a newer relay wrote them, upgrade completion-relay, else make "
        "the index anew with `audit index --rebuild`.\n"
    ) in done.stderr


def test_where_rows_are_left_out_it_is_not_said_that_nothing_was_decided(tmp_path: Path) -> None:
    """The event is decided: an operator would send it again."""
    done = invoke("list", "--database", index(tmp_path, UNKNOWN))
    assert done.exit_code == 1
    assert "1 row of the index cannot be read" in done.stderr
    assert "was decided" not in done.stderr + done.stdout


def test_rows_that_this_version_does_not_know_are_no_older_ones(tmp_path: Path) -> None:
    done = invoke("list", "--limit", "2", "--database", index(tmp_path, KNOWN, KNOWN, UNKNOWN))
    assert "1 older ones are not shown" in done.stderr


def test_records_that_this_version_does_not_know_are_left_out_and_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trail = MemoryTrail()
    for record in (KNOWN, UNKNOWN):
        trail.append(record, written=NOW)

    @contextlib.asynccontextmanager
    async def opened_trail(_: Any) -> AsyncIterator[MemoryTrail]:
        yield trail

    monkeypatch.setattr(reading, "opened_trail", opened_trail)
    done = invoke("list", "--database", "none")
    assert done.exit_code == 0, done.output
    assert ("known" in done.stdout, "revoked" in done.stdout) == (True, False)
    assert (
        "1 record on the topic cannot be read as audit records: left out, the first of them "
        "completions.audit/0/1: its disposition or reason is none that is known here"
    ) in done.stderr
    assert done.stderr.endswith(": if a newer relay wrote them, upgrade completion-relay.\n")


@pytest.mark.parametrize("command", [("list",), ("list", "--json"), ("export",)], ids=" ".join)
@pytest.mark.parametrize("unreadable", [0, 3])
def test_what_the_index_could_not_read_is_said_with_the_fix(
    tmp_path: Path, command: tuple[str, ...], unreadable: int
) -> None:
    """Whoever asked it was told nothing of a newer relay's records: that was the indexer's alone."""
    done = invoke(*command, "--database", index(tmp_path, KNOWN, unreadable=unreadable))
    assert done.exit_code == 0, done.output
    said = "The index could not read 3 records of the topic: "
    assert (said in done.stderr) is bool(unreadable)
    assert ("`audit index --rebuild`" in done.stderr) is bool(unreadable)
    assert said not in done.stdout


@pytest.mark.parametrize(
    ("since", "said"),
    [
        ("1970-01-01", "Nothing that is asked for was decided.\n"),
        (
            "2026-01-31",
            "Nothing that is asked for was decided since 2026-01-31 00:00:00.000Z.\n",
        ),
    ],
)
def test_a_list_of_nothing_names_the_time_unless_that_is_ever(
    tmp_path: Path, since: str, said: str
) -> None:
    database = ("--database", index(tmp_path, KNOWN))
    done = invoke("list", "--from", since, "--event-id", "nobody", *database)
    assert done.exit_code == 1
    assert done.stderr.startswith(said)


@pytest.mark.parametrize(
    ("since", "said"),
    [
        ("2026-01-30", "since 2026-01-30 00:00:00.000Z and before 2026-01-31 00:00:00.000Z"),
        ("1970-01-01", "before 2026-01-31 00:00:00.000Z"),
    ],
)
def test_a_list_of_nothing_names_the_time_at_which_it_ends(
    tmp_path: Path, since: str, said: str
) -> None:
    span = ("--from", since, "--to", "2026-01-31")
    done = invoke("list", *span, "--database", index(tmp_path, KNOWN))
    assert done.stderr.startswith(f"Nothing that is asked for was decided {said}.\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file of Linux's")
@pytest.mark.parametrize("records", [1, 500], ids=["at the end", "on the way"])
@pytest.mark.parametrize(
    "command",
    [("list", "--limit", "0"), ("list", "--json", "--limit", "0"), ("export",)],
    ids=" ".join,
)
def test_a_disk_that_is_full_behind_what_is_printed_is_said_to_be(
    tmp_path: Path, command: tuple[str, ...], records: int
) -> None:
    """An export said that Kafka could not be reached: No space left on device; a short list nothing at all."""
    database = index(tmp_path, *[KNOWN] * records)
    with Path("/dev/full").open("wb") as full:
        done = typed(*command, "--database", database, stdout=full.fileno())
    assert done.returncode == 2
    *_, said = done.stderr.decode().splitlines()
    assert said == (
        "error: what this prints cannot be written: No space left on device: make room there, or write "
        "it elsewhere"
    )


def typed_without_output(*args: str) -> subprocess.CompletedProcess[bytes]:
    """As `typed`, with `>&-`: Python has no standard output then."""
    code = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    return subprocess.run(
        [sys.executable, "-c", code, "-m", "completion_relay", "audit", *args],
        check=False,
        capture_output=True,
    )


def test_a_command_whose_output_is_closed_ends_as_ever(tmp_path: Path) -> None:
    """It was called a mistake of this program."""
    done = typed_without_output("list", "--database", index(tmp_path, KNOWN))
    assert done.returncode == 0
    assert b"mistake" not in done.stderr
    assert b"Error" not in done.stderr


def test_an_export_to_an_output_that_is_closed_is_refused(tmp_path: Path) -> None:
    """It said how much it had written, and nothing was anywhere."""
    done = typed_without_output("export", "--database", index(tmp_path, KNOWN))
    assert done.returncode == 2
    (said,) = done.stderr.decode().splitlines()
    assert said.startswith("error: standard output is closed: name a file with --output")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("", "error: --output is empty: give a file, or - for standard output"),
        (".", "error: . cannot be written: Is a directory: give a file"),
        ("/", "error: / cannot be written: Is a directory: give a file"),
    ],
)
def test_an_output_that_is_no_file_is_refused_with_the_fix(
    tmp_path: Path, output: str, said: str
) -> None:
    """It was called a mistake of this program."""
    done = invoke("export", "-o", output, "--database", index(tmp_path, KNOWN))
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)


def test_a_full_disk_is_not_taken_for_a_server_that_is_away() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left"), reaching_kafka(Settings().kafka):
        raise full
