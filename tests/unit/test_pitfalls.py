"""The documents name what is there: `README.md`, `relay/PITFALLS.md` and `relay/DESIGN.md`."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RELAY = ROOT / "relay" / "completion_relay"

pytestmark = pytest.mark.source_tree


def document(name: str) -> str:
    return (ROOT / "relay" / name).read_text("utf-8")


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the functions, classes and constants that a module defines, methods included."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return frozenset(names)


def missing(named: list[tuple[str, str]], folder: Path) -> list[str]:
    """Return what of these files and names is not there."""
    return [
        f"{file}: {name}"
        for file, name in named
        if not (folder / file).exists() or name not in names_in(folder / file)
    ]


def test_there_are_25_pitfalls_and_each_has_a_handling_and_a_test() -> None:
    rows = re.findall(
        r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", document("PITFALLS.md"), re.MULTILINE
    )
    assert [int(number) for number, *_ in rows] == list(range(1, 26))
    assert [number for number, _, _, tests in rows if "::test_" not in tests] == []


def test_every_test_that_the_pitfalls_name_exists() -> None:
    named = re.findall(r"`(tests/\S+?\.py)::(\w+)`", document("PITFALLS.md"))
    assert len(named) == document("PITFALLS.md").count("`tests/") - 1  # this file
    assert missing(named, ROOT) == []


def test_every_place_that_the_documents_name_exists() -> None:
    text = document("PITFALLS.md") + document("DESIGN.md")
    assert missing(re.findall(r"`([\w/]+\.py): (\w+)`", text), RELAY) == []


def test_every_file_that_the_documents_name_exists() -> None:
    text = document("PITFALLS.md") + document("DESIGN.md")
    named = set(re.findall(r"`([a-z_]+\.py)[`:]", text))
    assert named - {path.name for path in RELAY.rglob("*.py")} == set()


def test_every_module_of_the_relay_is_in_the_file_map() -> None:
    _, _, rooms = document("DESIGN.md").partition("## The rooms")
    file_map, _, _ = rooms.partition("\n## ")
    named = set(re.findall(r"`(\w+\.py|\w+/)`", file_map))
    there = {path.name for path in RELAY.glob("*.py")} | {
        f"{path.parent.name}/" for path in RELAY.glob("*/__init__.py")
    }
    assert there - {"__init__.py"} == named


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "relay/DESIGN.md",
        "relay/DRILLS.md",
        "relay/OPERATIONS.md",
        "relay/PITFALLS.md",
        "relay/RUNBOOK.md",
        "deploy/README.md",
    ],
)
def test_every_file_that_a_page_links_to_exists(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text("utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []
