"""A file of decisions is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import audit_records
from tests.unit.relay.trails import decision

from completion_relay.audit_export import ExportError, Format, exported, format_of, written_to
from completion_schemas.audit import AuditRecord, audit_fields, audit_to_json_dict, encode_audit

ROW: dict[str, Any] = audit_to_json_dict(decision("e", decided=1))


@pytest.mark.parametrize("kind", Format)
def test_an_error_leaves_the_old_file_and_no_part_of_a_new_one(
    kind: Format, tmp_path: Path
) -> None:
    file = tmp_path / "trail"
    file.write_text("old")

    def break_off() -> None:
        with exported(file, kind) as writer:
            writer.write([ROW])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@contextlib.contextmanager
def read_from(fifo: Path) -> Iterator[list[bytes]]:
    """Read what is written to a FIFO, for the length of the context; it is all there afterwards."""
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(fifo.read_bytes()), daemon=True)
    reader.start()
    yield found
    reader.join(10)


@pytest.mark.parametrize("kind", [Format.JSONL, Format.CSV])
def test_a_fifo_is_written_to_and_stays_one(kind: Format, tmp_path: Path) -> None:
    """A device was made a regular file; `-o /dev/stdout` took it from the whole machine."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with read_from(fifo) as found, exported(fifo, kind) as writer:
        writer.write([ROW])
    assert fifo.is_fifo()
    assert b"completions" in b"".join(found)
    assert list(tmp_path.iterdir()) == [fifo]


def test_parquet_to_a_fifo_is_refused_with_the_way_out(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with (
        pytest.raises(ExportError, match=r"is no regular file, .* --format jsonl or csv"),
        exported(fifo, Format.PARQUET),
    ):
        pass
    assert list(tmp_path.iterdir()) == [fifo]


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    there, new = tmp_path / "folder" / "there", tmp_path / "folder" / "new"
    there.parent.mkdir()
    there.write_text("old")
    links = [tmp_path / "of a file", tmp_path / "of a link", tmp_path / "of none"]
    targets: tuple[Path, ...] = (Path("folder/there"), links[0], new)
    for link, to in zip(links, targets, strict=True):
        link.symlink_to(to)
        with exported(link, Format.JSONL) as writer:
            writer.write([ROW])
        assert link.is_symlink()
    assert json.loads(there.read_text()) == json.loads(new.read_text()) == ROW
    assert sorted(there.parent.iterdir()) == [new, there]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="a folder of Linux's")
def test_what_a_process_has_open_is_written_behind_what_it_has(tmp_path: Path) -> None:
    """`-o /dev/stdout >> FILE`: that is a link to one of these."""
    file, link = tmp_path / "trail", tmp_path / "stdout"
    file.write_text("{}\n")
    with file.open("a") as stream:
        link.symlink_to(f"/proc/self/fd/{stream.fileno()}")
        with exported(link, Format.JSONL) as writer:
            writer.write([ROW])
    assert [json.loads(line) for line in file.read_text().splitlines()] == [{}, ROW]
    assert link.is_symlink()


@pytest.mark.parametrize("name", [".", "/", "..", ""])
def test_a_folder_is_refused_before_anything_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(ExportError, match="cannot be written: Is a directory: give a file"),
        exported(Path(name), Format.CSV),
    ):
        pytest.fail("it was opened")


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(ExportError, match="symbolic links"), exported(link, Format.CSV):
        pass


def test_a_reader_that_has_gone_is_said_of_the_file(tmp_path: Path) -> None:
    """What was still in memory was written once more, and that error was told in place of this one."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def write() -> None:
        with exported(fifo, Format.JSONL) as writer:
            os.close(reader)
            writer.write([ROW] * 100)

    with pytest.raises(ExportError, match="fifo cannot be written: Broken pipe"):
        write()


def test_an_error_of_others_in_between_stays_what_it_is(tmp_path: Path) -> None:
    """Kafka's time-outs are OSErrors, too."""
    with pytest.raises(TimeoutError), exported(tmp_path / "trail", Format.CSV):
        raise TimeoutError


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with (
        pytest.raises(ExportError, match=r"install completion-relay\[parquet\]"),
        exported(tmp_path / "trail.parquet", Format.PARQUET),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@given(made=st.lists(audit_records(), max_size=5))
def test_json_lines_lose_nothing(made: list[AuditRecord]) -> None:
    stream = io.StringIO()
    writer = written_to(stream, Format.JSONL)
    writer.write([audit_fields(encode_audit(record)) for record in made])
    # Not splitlines(): U+2028 is a character like any other in JSON.
    lines = stream.getvalue().split("\n")[:-1]
    assert [json.loads(line) for line in lines] == [audit_to_json_dict(record) for record in made]


# What a reader may take for the end of a row, of a field or of a text.
SEPARATING = st.text(st.sampled_from('\r\n",; \ta\x00\x0b\x85\u2028'))


@given(made=st.lists(audit_records(), max_size=5), details=st.lists(SEPARATING, min_size=5))
def test_csv_loses_no_text_and_separates_rows_by_line_feeds(
    made: list[AuditRecord], details: list[str]
) -> None:
    made = [
        dataclasses.replace(record, detail=detail, workflow_id=detail[::-1])
        for record, detail in zip(made, details, strict=False)
    ]
    stream = io.StringIO(newline="")
    writer = written_to(stream, Format.CSV)
    writer.write([audit_fields(encode_audit(record)) for record in made])
    rows = list(rfc4180(stream.getvalue()))
    assert rows == list(csv.reader(io.StringIO(stream.getvalue(), newline=""), strict=True))
    names, *rest = rows
    assert [dict(zip(names, row, strict=True)) for row in rest] == [
        {name: as_csv(value) for name, value in audit_to_json_dict(record).items()}
        for record in made
    ]


def as_csv(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return "" if value is None else str(value)


def rfc4180(text: str) -> Iterator[list[str]]:
    """Yield the rows as a reader by the letter of RFC 4180 has them that takes any line break outside quotes."""
    row: list[str] = []
    for quoted, plain, end in re.findall(r'(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|\r|\n)', text):
        row.append(quoted.replace('""', '"') or plain)
        if end != ",":
            yield row
            row = []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jsonl", Format.JSONL),
        ("a.CSV", Format.CSV),
        ("a.parquet", Format.PARQUET),
        ("a.txt", None),
        ("parquet", None),
    ],
)
def test_a_files_ending_says_its_format(name: str, kind: Format | None) -> None:
    assert format_of(Path(name)) is kind
