"""A rolling upgrade in one group loses and doubles nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from tests.chaos.command import progress
from tests.chaos.revisions import (
    NoHistoryError,
    NoRevisionError,
    before_the_newest_schema,
    previous,
    resolved,
    unpack,
)
from tests.chaos.upgrade import Upgrade, upgrade

from completion_schemas import avro


def unavailable(error: NoRevisionError) -> NoReturn:
    """Skip; fail where `CI` is `true`, unless the checkout has not the history: it may be shallow."""
    if os.environ.get("CI") == "true" and not isinstance(error, NoHistoryError):
        pytest.fail(f"CI has the history, and not the revision: {error}", pytrace=False)
    pytest.skip(str(error))


@pytest.fixture(params=["the former schema", "the previous"])
def revision(request: pytest.FixtureRequest) -> str:
    """The revision to upgrade from."""
    try:
        if request.param == "the former schema":
            return before_the_newest_schema()
        return previous()
    except NoRevisionError as error:
        unavailable(error)


@pytest.mark.source_tree
@pytest.mark.timeout(290)
async def test_an_earlier_relay_beside_this_one_loses_and_doubles_nothing(
    revision: str, tmp_path: Path
) -> None:
    report = await upgrade(Upgrade(revision=revision), tmp_path, progress())
    of_each = {name: count for name, count in report.told.items() if name.endswith("relay")}
    assert len(of_each) == 7
    assert all(of_each.values()), of_each
    assert report.wrong == {}
    assert report.is_well


@pytest.mark.source_tree
def test_the_former_schema_s_revision_does_not_know_the_newest(tmp_path: Path) -> None:
    try:
        unpack(before_the_newest_schema(), tmp_path)
    except NoRevisionError as error:
        unavailable(error)
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


@pytest.mark.parametrize(
    ("error", "ci", "outcome"),
    [
        (NoRevisionError("the schema has moved"), "true", pytest.fail.Exception),
        (NoRevisionError("the schema has moved"), "", pytest.skip.Exception),
        (NoHistoryError("shallow"), "true", pytest.skip.Exception),
    ],
)
def test_ci_may_lack_the_history_and_not_the_revision(
    error: NoRevisionError,
    ci: str,
    outcome: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=str(error)):
        unavailable(error)
