"""A rolling upgrade in one group loses and doubles nothing; what the older relay may leave is known."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from pathlib import Path

import pytest
from tests.chaos.command import progress
from tests.chaos.found import Found
from tests.chaos.test_judge import AUDIT, GARBAGE, WELL, counted, letter
from tests.chaos.upgrade import (
    BEFORE_TRANSACTIONS,
    NoRevisionError,
    Upgrade,
    forgive_earlier,
    is_before_transactions,
    reachable_revision,
    resolved,
    unpack,
    upgrade,
)

from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition

OLD = dataclasses.replace(AUDIT[2], relay_id="earlier.1")


@pytest.fixture(params=["the oldest", "the previous"])
def revision(request: pytest.FixtureRequest) -> str:
    """The revision to upgrade from."""
    try:
        return reachable_revision() if request.param == "the oldest" else resolved("HEAD~1")
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
def test_only_what_wrote_without_transactions_is_forgiven(revision: str) -> None:
    assert is_before_transactions(revision) == revision.startswith(BEFORE_TRANSACTIONS)
    assert not is_before_transactions("HEAD")


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


def with_audit(*records: AuditRecord) -> Found:
    return dataclasses.replace(WELL, audit=[*AUDIT, *records])


def test_a_second_record_at_a_position_of_the_earlier_relay_is_forgiven() -> None:
    assert counted(forgive_earlier(with_audit(OLD))) == {}


def test_a_second_record_at_a_position_of_this_relay_alone_is_not() -> None:
    assert counted(forgive_earlier(with_audit(AUDIT[2]))) == {
        "second audit records of a position": 1
    }


def test_a_record_of_the_earlier_relay_that_says_something_else_is_not() -> None:
    other = dataclasses.replace(OLD, disposition=Disposition.DUPLICATE)
    assert counted(forgive_earlier(with_audit(other))) == {"second audit records of a position": 1}


def test_a_second_dead_letter_is_forgiven_only_where_the_earlier_relay_decided() -> None:
    twice = dataclasses.replace(WELL, dead_letters=[*WELL.dead_letters, letter(1, GARBAGE)])
    assert counted(forgive_earlier(twice)) == {"second dead letters of a position": 1}
    by_old = dataclasses.replace(AUDIT[1], relay_id="earlier.1")
    forgiven = forgive_earlier(dataclasses.replace(twice, audit=[*AUDIT, by_old]))
    assert counted(forgiven) == {}
