"""How a hint names this program: so that what it says can be typed as it stands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from completion_relay.cli.here import program, python


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `.venv/bin` with both programs, in the current folder."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "completion-relay"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.chdir(tmp_path)
    return folder


def test_on_path_the_plain_names_are_said(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(installed))
    assert (program(), python()) == ("completion-relay", "python")


def test_off_path_they_are_said_as_seen_from_here(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert (program(), python()) == (".venv/bin/completion-relay", ".venv/bin/python")


def test_from_elsewhere_the_whole_path_is_said(
    installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert program() == str(installed / "completion-relay")
