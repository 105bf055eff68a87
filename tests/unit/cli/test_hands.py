"""`skip` and `park` ask before they write, and write nothing unless the answer is yes."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from completion_relay.cli import hands
from completion_relay.cli.app import app
from completion_relay.instruction import Instruction
from completion_relay.undecided.record import Undecided
from completion_relay.undecided.search import Found
from completion_schemas.times import UnixNanos

FOUND = Undecided(
    topic="completions",
    partition=3,
    offset=17,
    first_partition=3,
    first_offset=17,
    written_at=UnixNanos(time.time_ns()),
    event_id="e-1",
    type="completed",
    is_event=True,
)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Instruction]:
    """What is written, by a person at a terminal, for an event that is there."""
    said: list[Instruction] = []

    async def instruct(_: Any, instruction: Instruction, *, wait: float) -> None:
        said.append(instruction)

    found(monkeypatch, FOUND)
    monkeypatch.setattr(hands, "instruct", instruct)
    monkeypatch.setattr(hands, "_can_ask", lambda: True)
    return said


def found(monkeypatch: pytest.MonkeyPatch, event: Undecided) -> None:
    """Have this one found, whatever is asked for."""

    async def find(*_: Any) -> Found:
        return Found(undecided={event.place: event})

    monkeypatch.setattr(hands, "find", find)


def invoke(*args: str, answer: str) -> Result:
    everywhere = ("--why", "ticket 7", "--by", "ann", "--wait", "0")
    return CliRunner().invoke(app, [*args, *everywhere], input=answer, prog_name="completion-relay")


def test_a_yes_is_written_with_who_and_why(written: list[Instruction]) -> None:
    result = invoke("skip", "e-1", answer="y\n")
    assert result.exit_code == 0, result.output
    assert "Skip it, by ann: ticket 7?" in result.output
    (instruction,) = written
    assert (instruction.partition, instruction.offset) == (3, 17)
    assert (instruction.by, instruction.why, instruction.until) == ("ann", "ticket 7", None)


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_anything_else_writes_nothing_and_exits_1(written: list[Instruction], answer: str) -> None:
    result = invoke("skip", "e-1", answer=answer)
    assert result.exit_code == 1
    assert written == []


def test_a_park_asks_with_its_time_and_lasts_an_hour_unless_said(
    written: list[Instruction],
) -> None:
    result = invoke("park", "e-1", answer="y\n")
    assert "Park it until 2" in result.output
    (instruction,) = written
    assert instruction.until is not None
    assert 0 <= 3_600 * 10**9 - (instruction.until - instruction.at) < 60 * 10**9


def test_the_question_does_not_mix_with_what_a_program_reads(written: list[Instruction]) -> None:
    result = invoke("skip", "e-1", "--json", answer="y\n")
    assert result.stdout.startswith("{")
    assert "Skip it" in result.stderr


@pytest.mark.parametrize(("is_readable", "event_id"), [(True, "e-1"), (False, "")])
def test_an_instruction_names_the_id_that_the_records_bytes_hold(
    written: list[Instruction],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_readable: bool,
    event_id: str,
) -> None:
    """Of what is no event for a header alone, too: the relay compares it with what it finds there."""
    found(monkeypatch, dataclasses.replace(FOUND, is_event=False, is_readable=is_readable))
    assert invoke("skip", "e-1", "--yes", answer="").exit_code == 0
    assert [instruction.event_id for instruction in written] == [event_id]


def test_what_is_no_event_has_no_type_for_a_program(
    written: list[Instruction], monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, dataclasses.replace(FOUND, is_event=False, type="undecodable"))
    assert json.loads(invoke("skip", "e-1", "--json", "--yes", answer="").stdout)["type"] == ""


def test_the_user_of_the_machine_says_it_where_nobody_is_named(
    written: list[Instruction], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "bob")
    args = ["skip", "e-1", "--why", "ticket 7", "--yes", "--wait", "0"]
    assert CliRunner().invoke(app, args).exit_code == 0
    assert [instruction.by for instruction in written] == ["bob"]


def test_a_user_without_a_name_has_to_say_one(
    written: list[Instruction], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose user is in no passwd file."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr("getpass.getuser", nameless)
    result = CliRunner().invoke(app, ["skip", "e-1", "--why", "ticket 7", "--yes"])
    assert result.exit_code == 2
    assert "--by is missing" in result.stderr
    assert written == []
