"""`completion-relay demo` as a user starts it: every line right, and nothing left behind."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.demo.commands import (
    command,
    line_with,
    needs_proc,
    running_with,
    servers_are_gone,
)
from tests.support import eventually


@dataclass(frozen=True)
class Played:
    """A demo that is over."""

    exit_code: int
    lines: list[dict[str, Any]]
    summary: dict[str, Any]
    stderr: str


@pytest.fixture(scope="module")
async def played() -> Played:
    """One demo for all tests that only look at what it says: it takes some 25 seconds."""
    async with command("completion_relay", "demo", "--json") as demo:
        out, err = await demo.communicate()
    assert demo.returncode is not None
    *lines, last = [json.loads(line) for line in out.decode().splitlines()]
    return Played(demo.returncode, lines, last["summary"], err.decode())


def test_every_line_and_every_check_is_right_and_it_exits_0(played: Played) -> None:
    assert [line["problems"] for line in played.lines] == [[]] * 25
    assert all(check["is_right"] for check in played.summary["checks"]), played.summary
    assert played.summary["is_right"]
    assert played.exit_code == 0, played.stderr


def test_all_activities_waited_at_once_and_held_no_slot(played: Played) -> None:
    assert played.summary["peak_waiting"] > played.summary["slots"]


def test_the_surviving_relay_took_over_what_the_killed_one_had(played: Played) -> None:
    deciders = {r["relay_id"] for line in played.lines for r in line["audit"]}

    assert deciders == {"relay-1", "relay-2"}
    assert played.summary["killed"] in deciders
    assert played.summary["taken_over"] > 0


def test_what_is_sent_twice_is_applied_once_and_a_duplicate_once(played: Played) -> None:
    (twice,) = [line for line in played.lines if line["what_happens"] == "sent twice"]
    said = {(r["event_id"], r["offset"], r["disposition"]) for r in twice["audit"]}

    assert sorted(disposition for _, _, disposition in said) == ["applied", "duplicate"]
    assert len({event_id for event_id, _, _ in said}) == 1


def test_canceled_arrives_as_such_only_where_the_caller_asked_for_it(played: Played) -> None:
    got = {line["what_happens"]: line["caller"] for line in played.lines}

    assert got["canceled by its caller"]["outcome"] == "canceled"
    assert got["canceled by an operator"]["error_type"] == "CalleeCanceled"


def test_an_agent_without_a_callback_completes_and_leaves_no_trace(played: Played) -> None:
    (alone,) = [line for line in played.lines if line["what_happens"] == "has no callback"]

    assert (alone["agent"], alone["caller"], alone["audit"]) == ("COMPLETED", None, [])


def test_its_own_folder_is_gone(played: Played) -> None:
    assert not Path(played.summary["data"]).exists()


@needs_proc
@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
)
async def test_nothing_is_left_running_whatever_ends_it(
    tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    async with command("completion_relay", "demo", "--data", tmp_path) as demo:
        kafka = (await line_with(demo, "and Kafka")).partition("and Kafka ")[2].split()[0]
        await line_with(demo, "relays in one group are ready")
        assert len(running_with(kafka)) >= 6, "three processes and their guards"

        demo.send_signal(number)
        _, err = await demo.communicate()

    assert demo.returncode == exit_code, err.decode()
    assert "Traceback" not in err.decode()
    await servers_are_gone(tmp_path)
    assert await eventually(lambda: not running_with(kafka), what="the end of every process")


async def test_a_wrong_setting_is_one_line_and_exit_2(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("[relay]\nwindow = 0\n")
    async with command(
        "completion_relay", "demo", "--data", tmp_path / "data", "--config", file
    ) as demo:
        _, err = await demo.communicate()

    errors = [line for line in err.decode().splitlines() if line.startswith("error: ")]
    assert demo.returncode == 2
    assert len(errors) == 1
    assert "relay.window" in errors[0]
