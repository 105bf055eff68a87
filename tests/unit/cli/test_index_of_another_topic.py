"""What asks an index in the topic's stead asks none that is of another topic."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from completion_relay.audit_index.duck import DuckFile
from completion_relay.cli.app import app


@pytest.mark.parametrize("command", [("list",), ("export", "--format", "jsonl")])
def test_the_index_of_another_topic_is_named_with_the_fix(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    database = tmp_path / "audit.duckdb"
    DuckFile(database).prepare("another.audit")
    done = CliRunner().invoke(
        app, ["audit", *command, "--database", str(database)], prog_name="completion-relay"
    )
    assert done.exit_code == 2, done.output
    assert "is of the topic another.audit, not of completions.audit: give another" in done.stderr
