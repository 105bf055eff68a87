"""A rolling upgrade in one group loses and doubles nothing."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from tests.chaos.command import progress
from tests.chaos.upgrade import (
    NoRevisionError,
    Upgrade,
    before_the_newest_schema,
    resolved,
    unpack,
    upgrade,
)

from completion_schemas import avro


@pytest.fixture(params=["the former schema", "the previous"])
def revision(request: pytest.FixtureRequest) -> str:
    """The revision to upgrade from."""
    try:
        if request.param == "the former schema":
            return before_the_newest_schema()
        return resolved("HEAD~1")
    except NoRevisionError as error:
        pytest.skip(str(error))


@pytest.mark.source_tree
@pytest.mark.timeout(290)
async def test_an_earlier_relay_beside_this_one_loses_and_doubles_nothing(
    revision: str, tmp_path: Path
) -> None:
    report = await upgrade(Upgrade(revision=revision), tmp_path, progress())
    decided = {name: count for name, count in report.told.items() if name.endswith("relay")}
    assert all(decided.values()), decided
    assert report.wrong == {}
    assert report.is_well


@pytest.mark.source_tree
def test_the_former_schema_s_revision_does_not_know_the_newest(tmp_path: Path) -> None:
    try:
        unpack(before_the_newest_schema(), tmp_path)
    except NoRevisionError as error:
        pytest.skip(str(error))
    known = {file.name for file in tmp_path.glob("schemas/completion_schemas/avro/audit/*.avsc")}
    assert known == {f"v{schema.version}.avsc" for schema in avro.versions("audit")[:-1]}


@pytest.mark.source_tree
def test_a_revision_that_is_not_there_is_named() -> None:
    with pytest.raises(NoRevisionError, match="no-such-revision"):
        resolved("no-such-revision")


@pytest.mark.source_tree
async def test_what_is_unpacked_is_what_runs(revision: str, tmp_path: Path) -> None:
    python = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import completion_relay; print(completion_relay.__file__)"),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": unpack(revision, tmp_path)},
    )
    said, _ = await python.communicate()
    assert Path(said.decode().strip()).is_relative_to(tmp_path)
