"""`skip` and `park` ask before they write, and write nothing unless the answer is yes."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from completion_relay.cli import hands
from completion_relay.cli.app import app
from completion_relay.cli.times import SECOND, show_time
from completion_relay.instruction import Instruction
from completion_relay.undecided.record import Undecided
from completion_relay.undecided.search import Found
from completion_schemas.times import UnixNanos, nanos_rfc3339

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


class Clock:
    """The time of the command, which goes on only where a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = UnixNanos(time.time_ns())
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(hands, "time", SimpleNamespace(time_ns=lambda: self.now))

    def take(self, nanos: int, *, by: str) -> None:
        """Have the look or the answer take so long."""

        def confirmed(_: str) -> bool:
            self.now = UnixNanos(self.now + nanos)
            return True

        async def find(*_: Any) -> Found:
            self.now = UnixNanos(self.now + nanos)
            return Found(undecided={FOUND.place: FOUND})

        if by == "the look":
            self._monkeypatch.setattr(hands, "find", find)
        else:
            self._monkeypatch.setattr(hands, "_confirmed", confirmed)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


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
    assert "Park it for 1 h 0 m, by ann: ticket 7?" in result.output
    (instruction,) = written
    assert instruction.until == instruction.at + 3_600 * SECOND


def test_a_park_until_a_time_asks_with_that(written: list[Instruction]) -> None:
    when = UnixNanos((time.time_ns() // SECOND + 3_600) * SECOND)
    result = invoke("park", "e-1", "--until", nanos_rfc3339(when), answer="y\n")
    assert f"Park it until {show_time(when)}, by ann: ticket 7?" in result.output
    assert [instruction.until for instruction in written] == [when]


@pytest.mark.parametrize("slow", ["the look", "the answer"])
def test_a_short_park_begins_when_it_is_said_however_long_that_took(
    written: list[Instruction], clock: Clock, slow: str
) -> None:
    clock.take(5 * SECOND, by=slow)
    result = invoke("park", "e-1", "--for", "1s", answer="y\n")
    assert result.exit_code == 0, result.output
    (instruction,) = written
    assert (instruction.at, instruction.until) == (clock.now, clock.now + SECOND)


def test_a_time_that_came_before_it_could_be_said_is_named_with_the_fix(
    written: list[Instruction], clock: Clock
) -> None:
    clock.take(5 * SECOND, by="the answer")
    result = invoke("park", "e-1", "--until", "in 3s", answer="y\n")
    assert result.exit_code == 2
    assert "--until 'in 3s' came before it could be said: give a later time, or --for" in (
        result.stderr
    )
    assert written == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--for", "0s"), "--for '0s': an event can be parked for 1s at least, 7 days at most"),
        (("--for", "8d"), "--for '8d': an event can be parked for 1s at least, 7 days at most"),
        (("--until", "in 8d"), "--until 'in 8d': an event can be parked for 7 days at most"),
    ],
)
def test_a_time_that_cannot_be_is_named_before_anything_is_looked_for(
    written: list[Instruction], monkeypatch: pytest.MonkeyPatch, args: tuple[str, str], said: str
) -> None:
    monkeypatch.setattr(hands, "find", None)
    result = invoke("park", "e-1", *args, answer="y\n")
    assert result.exit_code == 2
    assert said in result.stderr


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


@pytest.mark.parametrize("option", ["--why", "--by"])
@pytest.mark.parametrize("command", ["skip", "park"])
def test_bytes_that_are_no_text_are_refused_before_anything_is_looked_for(
    written: list[Instruction], monkeypatch: pytest.MonkeyPatch, command: str, option: str
) -> None:
    """No header and no audit record takes them, which was found after the answer."""
    monkeypatch.setattr(hands, "find", None)
    said = {"--why": "ticket 7", "--by": "ann"} | {option: os.fsdecode(b"Zo\xeb")}
    args = [word for pair in said.items() for word in pair]
    result = CliRunner().invoke(app, [command, "e-1", *args, "--wait", "0"], input="y\n")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        f"error: {option} cannot be read as utf-8, the encoding of this locale"
    )
    assert result.stderr.count("\n") == 1
    assert written == []
