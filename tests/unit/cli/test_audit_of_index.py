"""What `audit list` and `export` say where an index answers, which takes no Kafka."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.integration.audit_index.records import chunk_of, rows_of
from tests.unit.relay.trails import decision

from completion_relay.audit_index.duck import DuckFile
from completion_schemas.audit import AuditRecord, audit_to_json_dict

NOW = time.time_ns() // 10**9
ODD = "Zoë → \U0001f600"
"""No encoding but Unicode's has all of it."""


def index(folder: Path, *records: AuditRecord) -> str:
    """Return a database in which the index has these."""
    store = DuckFile(folder / "audit.duckdb")
    store.prepare("completions.audit")
    store.write([chunk_of(rows_of(records))])
    return str(folder / "audit.duckdb")


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
