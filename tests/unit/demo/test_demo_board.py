"""What a person sees while the scene is played."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from tests.unit.demo.demo_scene import after_the_kill, audit

from completion_relay.demo.board import Board
from completion_relay.demo.screen import shown
from completion_relay.demo.script import HANDED_OFF, SLOTS, script

PART = script()[0]


def console(*, is_terminal: bool) -> Console:
    return Console(file=io.StringIO(), width=120, force_terminal=is_terminal, highlight=False)


def printed(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_waiting_activities_count_only_while_every_slot_is_free() -> None:
    board = Board()

    board.look(waiting=9, free_slots=SLOTS)
    board.look(waiting=20, free_slots=SLOTS - 1)

    assert (board.waiting, board.peak_waiting) == (20, 9)


@pytest.mark.parametrize(("waiting", "is_suspended"), [(HANDED_OFF - 1, False), (HANDED_OFF, True)])
def test_the_caller_is_suspended_once_all_activities_wait(
    waiting: int, *, is_suspended: bool
) -> None:
    board = Board()

    board.look(waiting=waiting, free_slots=SLOTS)

    assert board.suspended.is_set() == is_suspended


def test_a_record_that_is_decided_again_counts_once_for_the_scene_and_for_its_first_relay() -> None:
    board = Board()
    first = audit(PART)

    board.trail += [first, after_the_kill(first)]

    assert board.decided == 1
    assert (board.decided_by("relay-1"), board.decided_by("relay-2")) == (1, 0)


def test_news_are_plain_lines_where_there_is_no_terminal() -> None:
    out, board = console(is_terminal=False), Board()

    with shown(board, out):
        board.say("[bold]a relay is killed")

    assert printed(out).endswith(" s  [bold]a relay is killed\n")
    assert "\x1b" not in printed(out)


def test_a_terminal_shows_numbers_relays_and_the_last_news() -> None:
    out, board = console(is_terminal=True), Board()
    board.expected = 25
    board.relays["relay-1"] = "killed"
    board.trail.append(audit(PART))
    board.look(waiting=23, free_slots=SLOTS)

    with shown(board, out):
        board.say("something happened")

    text = printed(out)
    assert f"23 of {HANDED_OFF} activities" in text
    assert "1 of 25 events: 1 applied" in text
    assert "killed" in text
    assert "something happened" in text
