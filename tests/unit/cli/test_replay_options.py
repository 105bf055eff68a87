"""What the options of `replay` amount to, and what is refused before anything is connected to."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from completion_relay.cli.app import app
from completion_relay.cli.replay_order import Asked
from completion_relay.replay.file import Export, check_free
from completion_relay.replay.reading import Order
from completion_relay.replay.source import FileError
from completion_relay.settings import Settings
from completion_schemas.times import UnixNanos

NOW = UnixNanos(1_800_000_000 * 10**9)
ALL = ("--from", "1h")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing says which events"),
        (("--heartbeats", "--namespace-map", "a=b"), "nothing says which events"),
        ((*ALL, "--dry-run", "--yes"), "--dry-run and --yes contradict each other"),
        ((*ALL, "--to-file", "f", "--yes"), "--yes and --to-file contradict each other"),
        ((*ALL, "--wait", "5"), "give it with --yes"),
        ((*ALL, "--parked-file", "f"), "--parked-file is written with --yes or --to-file"),
        ((*ALL, "--dry-run", "--parked-file", "f"), "--parked-file is written with"),
        (("--from", "1h", "--to", "2h"), "--to is not after --from"),
        (("--offsets", "1:5-3"), "ends before it begins"),
        (("--offsets", "all"), "write PARTITION:FROM-TO"),
        (("--from-file", "f", "--dead-letters"), "leave out --dead-letters and --offsets"),
        ((*ALL, "--to-topic", "completions.audit"), "is one of the relay's own"),
        ((*ALL, "--to-topic", "no topic"), "is no topic's name"),
        ((*ALL, "--namespace-map", "orders"), "write OLD=NEW"),
        ((*ALL, "--namespace-map", "a=b", "--namespace-map", "a=c"), "gives a two new ones"),
        ((*ALL, "--to-file", "f", "--namespace-map", "a=b"), "give them with --from-file"),
        ((*ALL, "--to-file", "f", "--to-topic", "elsewhere"), "give them with --from-file"),
        ((*ALL, "--id", "no name"), "name it otherwise"),
        (("--from", "yesterday"), "is not a time"),
        (("--event-id", ""), "--event-id is empty: give an id, or leave it out"),
        (("--workflow-id", " "), "--workflow-id is empty: give an id, or leave it out"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_way_out(
    options: tuple[str, ...], said: str
) -> None:
    result = CliRunner().invoke(app, ["replay", *options], prog_name="completion-relay")
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize(
    "files",
    [
        ("--to-file", "f", "--parked-file", "f"),
        ("--to-file", "f", "--parked-file", "here/../f"),
        ("--to-file", "f", "--parked-file", "link"),
        ("--to-file", "f", "--parked-file", "f.part"),
        ("--from-file", "f", "--parked-file", "f", "--yes"),
        ("--from-file", "link", "--parked-file", "f", "--yes"),
        ("--from-file", "f", "--to-file", "f"),
    ],
)
def test_one_file_for_two_things_is_refused(
    files: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events over the cap were lost with it, or added to the very file that was read."""
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    Path("link").symlink_to("f")
    result = CliRunner().invoke(app, ["replay", *ALL, *files], prog_name="completion-relay")
    assert result.exit_code == 2
    assert "are the same file" in result.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["here", "link"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "--to-file .: it is a folder"),
        (".", "--to-file .: it is a folder, and no file: name a file in it"),
        ("/", "--to-file /: it is a folder"),
        ("there", "--to-file there: it is there already, and is not written over: name another"),
        ("link", "--to-file link: it is there already"),
    ],
)
def test_a_place_that_is_taken_is_refused_before_anything_is_connected_to(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name it was a mistake of this program, with one it was refused after the whole plan."""
    monkeypatch.chdir(tmp_path)
    Path("there").touch()
    Path("link").symlink_to("nowhere")
    options = (*ALL, "--to-file", name, "--kafka", "127.0.0.1:1")
    result = CliRunner().invoke(app, ["replay", *options], prog_name="completion-relay")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {said}")


def test_a_place_that_the_system_refuses_is_told_by_making_the_file(tmp_path: Path) -> None:
    """Asking whether a folder is there raised instead: a mistake of this program."""
    place = tmp_path / ("a" * 300)
    check_free("--to-file", place)
    with pytest.raises(FileError, match=r"--to-file .*too long"), Export.create("--to-file", place):
        pass


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.jsonl")
    result = CliRunner().invoke(app, ["replay", "--from-file", gone], prog_name="completion-relay")
    assert result.exit_code == 2
    assert "No such file or directory: give a file that `replay --to-file`" in result.stderr


def order(changes: dict[str, object] | None = None, *, now: int = NOW) -> Order:
    given: dict[str, object] = {
        "since": "1h",
        "until": None,
        "offsets": (),
        "event_ids": frozenset(),
        "workflow_ids": frozenset(),
        "dispositions": frozenset(),
        "reasons": frozenset(),
        "dead_letters": False,
        "from_file": None,
        "heartbeats": False,
        "namespace_map": (),
        "to_topic": None,
        "is_export": False,
        "name": None,
        "max_replays": 3,
        "look_ups": 10,
    }
    return Asked(**given | (changes or {})).order(Settings(), UnixNanos(now))  # type: ignore[arg-type]


def test_the_same_command_is_the_same_replay_whenever_it_is_typed() -> None:
    assert order().digest == order(now=NOW + 10**12).digest
    assert order().selection.since != order(now=NOW + 10**12).selection.since


@pytest.mark.parametrize(
    "changes",
    [
        {"since": "2h"},
        {"heartbeats": True},
        {"dead_letters": True},
        {"namespace_map": ("a=b",)},
        {"to_topic": "elsewhere"},
        {"is_export": True},
        {"event_ids": frozenset({"e"})},
    ],
)
def test_what_would_send_something_else_is_another_replay(changes: dict[str, object]) -> None:
    assert order(changes).digest != order().digest


def test_how_fast_and_how_far_is_looked_makes_no_other_replay() -> None:
    assert order({"max_replays": 9, "look_ups": 0}).digest == order().digest
