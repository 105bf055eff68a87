"""The schema files: what is generated is what is committed, and a released schema stays readable."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import Failure

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
PACKAGE = SCHEMAS / "completion_schemas"
BUF = Path(sys.executable).parent / "buf"

pytestmark = pytest.mark.source_tree


def buf(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUF, *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def breaking(schemas: Path) -> subprocess.CompletedProcess[str]:
    return buf("breaking", schemas / "proto", "--against", SCHEMAS / "buf" / "v1.binpb")


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of what buf reads, for a test to change."""
    for name in ("proto", "third_party"):
        shutil.copytree(SCHEMAS / name, tmp_path / name)
    shutil.copy(SCHEMAS / "buf.yaml", tmp_path)
    return tmp_path


def edit(schemas: Path, pattern: str, instead: str) -> None:
    path = schemas / "proto" / "completion" / "v1" / "event.proto"
    text, count = re.subn(pattern, instead, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)


def test_generated_files_are_those_that_the_script_writes(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, SCHEMAS / "generate.py", "--into", tmp_path], check=True, timeout=60
    )

    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert len(written) == 6
    for path in written:
        assert (tmp_path / path).read_bytes() == (PACKAGE / path).read_bytes(), path


def test_the_proto_files_pass_lint() -> None:
    assert buf("lint", SCHEMAS).stdout == ""


def test_lint_wants_a_comment_on_every_field(changed: Path) -> None:
    edit(changed, r" *// The waiting workflow\.\n", "")

    assert 'Field "workflow_id"' in buf("lint", changed).stdout


def test_the_proto_files_break_nothing_that_was_released() -> None:
    result = breaking(SCHEMAS)

    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("pattern", "instead", "says"),
    [
        (r"string run_id = 7;", "", 'field "7" with name "run_id"'),
        (r"string run_id = 7;", "string run = 7;", '"7" with name "run"'),
        (r"int32 attempt = 9;", "string attempt = 9;", "changed type"),
        (r"Canceled canceled = 7;", "Canceled canceled = 17;", '"7" with name "canceled"'),
    ],
    ids=["removed", "renamed", "retyped", "renumbered"],
)
def test_a_field_that_was_released_stays(
    changed: Path, pattern: str, instead: str, says: str
) -> None:
    edit(changed, pattern, instead)

    result = breaking(changed)

    assert result.returncode != 0
    assert says in result.stdout


def test_an_added_field_breaks_nothing(changed: Path) -> None:
    edit(changed, r"int32 attempt = 9;", "int32 attempt = 9;\n  string later = 11;")

    assert breaking(changed).returncode == 0


def test_the_vendored_messages_are_those_that_temporalio_brings(tmp_path: Path) -> None:
    """Another language compiles the vendored ones, we use the registered ones."""
    image = tmp_path / "image.binpb"
    assert buf("build", SCHEMAS, "--as-file-descriptor-set", "-o", image).returncode == 0
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(image.read_bytes()).file:
        pool.Add(file)

    for kind in (Payloads.DESCRIPTOR, Failure.DESCRIPTOR):
        vendored = pool.FindMessageTypeByName(kind.full_name)
        assert shape(vendored) == shape(kind)


def shape(root: Descriptor) -> set[tuple[str, int, int, bool]]:
    """Return every field that the message and those inside it have."""
    found: set[tuple[str, int, int, bool]] = set()
    todo, seen = [root], set()
    while todo:
        kind = todo.pop()
        if kind.full_name in seen:
            continue
        seen.add(kind.full_name)
        for field in kind.fields:
            found.add((field.full_name, field.number, field.type, field.is_repeated))
            if field.message_type is not None:
                todo.append(field.message_type)
    return found
