"""What reaches a terminal or a pipe."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from completion_relay.cli.output import (
    plural,
    print_error,
    print_fields,
    print_json,
    print_line,
    print_table,
    printable,
    stacked,
)


@given(st.text())
def test_no_control_character_of_others_reaches_the_terminal(text: str) -> None:
    assert printable(text).isprintable()


@given(st.text(alphabet=st.characters(categories=["L", "N", "P"])))
def test_what_can_be_shown_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_a_piped_table_has_one_line_a_row_and_whole_ids(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    print_table(("id", "note"), [(long, ""), (stacked("a", "b"), "evil\x1b[31m\n")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["id", "note"],
        [long, "-"],
        ["a", "b", "evil\\x1b[31m\\n"],
    ]


def test_a_piped_table_without_rows_is_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "note"), [])
    assert capsys.readouterr().out == "id  note\n"


def test_markup_in_a_value_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("[red]order[/red] :smile:")
    assert capsys.readouterr().out == "[red]order[/red] :smile:\n"


def test_an_error_of_several_lines_is_marked_on_each(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("one\ntwo")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: one\nerror: two\n")


def test_fields_are_aligned_and_never_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("id", "y" * 200), ("reason", Text("z"))], indent=2)
    assert capsys.readouterr().out == f"  id      {'y' * 200}\n  reason  z\n"


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": "é\n"})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"a": "é\n"}


@pytest.mark.parametrize(("count", "text"), [(0, "0 tries"), (1, "1 try"), (2, "2 tries")])
def test_a_number_is_told_in_grammar(count: int, text: str) -> None:
    assert plural(count, "try", "tries") == text
