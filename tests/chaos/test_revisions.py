"""An earlier revision is found, or it is said why it cannot be."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.chaos import revisions
from tests.chaos.revisions import (
    NoHistoryError,
    NoRevisionError,
    before_the_newest_schema,
    git_environment,
    previous,
    resolved,
)


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    # Nor with what its user has set, such as a key to sign with.
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(
        ["git", "-C", folder, *who, *arguments],
        env={**git_environment(), **alone},
        check=True,
        capture_output=True,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with two revisions, neither of which has a schema."""
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init")
    for message in ("first", "second"):
        git(folder, "commit", "--allow-empty", f"--message={message}")
    return folder


def test_a_whole_history_without_the_schema_is_no_excuse(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions, "ROOT", clone)
    assert previous() == resolved("HEAD~1")
    with pytest.raises(NoRevisionError, match="no revision added") as raised:
        before_the_newest_schema()
    assert not isinstance(raised.value, NoHistoryError)


def test_a_shallow_clone_has_no_history(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "clone", "--depth=1", clone.as_uri(), "shallow")
    monkeypatch.setattr(revisions, "ROOT", tmp_path / "shallow")
    with pytest.raises(NoHistoryError, match="begins with HEAD"):
        previous()


def test_what_is_no_clone_has_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "ROOT", tmp_path)
    for search in (before_the_newest_schema, previous):
        with pytest.raises(NoHistoryError, match="not a git repository"):
            search()
