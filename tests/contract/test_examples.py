"""The examples of the pages are what is read: the record, the settings, and what is typed.

What `relay/RUNBOOK.md` tells to type is run by a test of its own.
"""

from __future__ import annotations

import ast
import base64
import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.pages import ROOT, our_commands, text_of
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_group

import completion_workflow
from completion_relay.cli.app import app
from completion_relay.load import PREFIX, load_settings
from completion_relay.settings import Settings
from completion_schemas.cloudevents import decode_record
from completion_schemas.events import Completed

README = text_of("README.md")
PAGES = ("README.md", "relay/OPERATIONS.md", "relay/DRILLS.md")

pytestmark = pytest.mark.source_tree


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("COMPLETION_RELAY_", "TEMPORAL_")):
            monkeypatch.delenv(name)


def blocks(language: str) -> list[str]:
    """Return the README's blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


KCAT = """#!/bin/sh
printf '%s\\n' "$@" > arguments
cat > value
"""
"""It keeps what it is given: the shell's part of the example is what it is."""


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="a program of Linux's")
def test_the_record_that_the_readme_types_is_an_event_under_its_key(tmp_path: Path) -> None:
    (typed,) = (block for block in blocks("sh") if "kcat" in block)
    kcat = tmp_path / "kcat"
    kcat.write_text(KCAT)
    kcat.chmod(0o755)
    token = base64.b64encode(bytes(range(256))).decode()
    subprocess.run(
        ["sh", "-eu", "-c", typed],
        cwd=tmp_path,
        check=True,
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "TOKEN": token,
        },
    )
    words = (tmp_path / "arguments").read_text().splitlines()
    given = list(itertools.pairwise(words))
    headers = [
        (name, value.encode())
        for option, header in given
        if option == "-H"
        for name, _, value in [header.partition("=")]
    ]

    event = decode_record(headers, (tmp_path / "value").read_bytes())

    assert event.activity.task_token == token
    assert isinstance(event.outcome, Completed)
    assert event.outcome.result.payloads[0].data == b'{"approved":true}'
    assert ("-k", event.activity_key) in given
    assert ("-t", Settings().topics.completions) in given


def test_the_settings_of_the_readme_are_settings(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "relay.toml").write_text(text)
    settings = load_settings(tmp_path / "relay.toml")
    assert settings.temporal.namespaces == ("orders", "billing")
    assert [cluster.name for cluster in settings.temporal.clusters] == ["west"]
    assert settings.relay.rate_limits == {"orders": 500}


def test_a_variable_that_the_readme_names_is_that_of_the_setting_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (text,) = blocks("toml")
    sections = re.findall(r"^\[(\w+)\]$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    found = [
        (section, *line)
        for section, lines in sections
        for line in re.findall(
            rf"^(\w+) = (.*?) +# ({PREFIX}\w+)(?:='(.*?)')?", lines, re.MULTILINE
        )
    ]
    assert len(found) == text.count(PREFIX)
    for section, name, value, variable, said in found:
        assert variable == f"{PREFIX}{section}__{name}".upper()
        monkeypatch.setenv(variable, said or str(ast.literal_eval(value)))
        (tmp_path / "relay.toml").write_text(f"[{section}]\n{name} = {value}\n")
        of_file: Any = getattr(load_settings(tmp_path / "relay.toml"), section)
        assert getattr(getattr(load_settings(), section), name) == getattr(of_file, name)
        monkeypatch.delenv(variable)


@pytest.mark.parametrize("block", blocks("python"))
def test_the_code_of_the_readme_is_code_and_what_it_names_is_there(block: str) -> None:
    ast.parse(block)
    named = re.findall(r"completion_workflow\.(\w+)", block)
    assert named
    assert set(named) <= set(completion_workflow.__all__)


@pytest.mark.parametrize(
    "words", [words for page in PAGES for words in our_commands(page)], ids=" ".join
)
def test_what_a_page_types_is_a_command_with_its_options(words: list[str]) -> None:
    read(words)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_types_commands(page: str) -> None:
    assert len(our_commands(page)) > 5


@pytest.mark.parametrize(
    "wrong", ["status --nonsense", "statuses", "park e --for 1h", "audit list --limit all"]
)
def test_a_command_that_would_be_refused_is_none(wrong: str) -> None:
    with pytest.raises((TyperException, LookupError)):
        read(["completion-relay", *wrong.split()])


def test_the_table_of_the_readme_has_every_command() -> None:
    _, _, table = README.partition("| command | |\n")
    table, _, _ = table.partition("\n\n")
    named = [
        name
        for row in table.splitlines()
        for name in re.findall(r"`([a-z ]+)`", row[: row.find("|", 1)])
    ]
    assert sorted(named) == sorted(" ".join(names) for names in every(get_group(app)))


def test_every_target_that_the_readme_names_is_one() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:`|^)make[ \n]([a-z-]+)", README, re.MULTILINE)
    assert named
    assert set(named) <= set(targets)


def read(words: list[str]) -> None:
    """Have a command's words read as it would read them, and do nothing.

    Raises:
        TyperException: it would refuse one.
        LookupError: there is no such command.
    """
    _, *rest = words
    command: Any = get_group(app)
    while isinstance(command, TyperGroup):
        command = command.get_command(typer.Context(command), rest.pop(0))
        if command is None:
            raise LookupError(" ".join(words))
    command.make_context(command.name, rest)


def every(group: TyperGroup, *names: str) -> list[tuple[str, ...]]:
    """Return the names of every command, those of groups with the group's."""
    found = []
    for name in group.list_commands(typer.Context(group)):
        command = group.get_command(typer.Context(group), name)
        if isinstance(command, TyperGroup):
            found += every(command, *names, name)
        else:
            found.append((*names, name))
    return found
