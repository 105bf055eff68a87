"""Room `tests`: what a page tells its reader to type. Touches that page alone.

A page's commands are those of its `sh` blocks, one a line. Words in capitals are for
the reader to fill in (`EVENT_ID`), and a test fills them in as he would.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_]+\b")
_PROGRAM = "completion-relay"


@dataclass(frozen=True, slots=True)
class Section:
    """What a page says under one heading."""

    title: str
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """What it tells to type, word by word, in order."""
        lines = "".join(_BLOCK.findall(self.text)).splitlines()
        typed = [shlex.split(line, comments=True) for line in lines]
        return [words for words in typed if words]


def text_of(page: str) -> str:
    """Return a page; empty where the sources are out of reach, as it is asked for before a test is left out.

    Args:
        page: Its path in the source tree.
    """
    path = ROOT / page
    return path.read_text("utf-8") if path.exists() else ""


def our_commands(page: str) -> list[list[str]]:
    """Return each command of ours that a page tells to type, word by word, in order.

    Args:
        page: Its path in the source tree.
    """
    lines = "".join(_BLOCK.findall(text_of(page))).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(f"{_PROGRAM} ")]


def sections(page: str) -> dict[str, Section]:
    """Return a page's sections by their titles, in order.

    Args:
        page: Its path in the source tree.
    """
    _, *parts = _SECTION.split((ROOT / page).read_text("utf-8"))
    return {
        title: Section(title, text) for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def filled_in(command: list[str], values: Mapping[str, str]) -> list[str]:
    """Return the arguments of a command of ours, with its words in capitals filled in.

    Raises:
        AssertionError: it is no command of ours, or a word stands for nothing that is known.
    """
    program, *words = command
    assert program == _PROGRAM, f"{command}: begins with {_PROGRAM}"

    def value(word: re.Match[str]) -> str:
        assert word[0] in values, f"{command}: {word[0]} is nothing of {sorted(values)}"
        return values[word[0]]

    return [_PLACEHOLDER.sub(value, word) for word in words]
