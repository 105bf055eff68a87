"""`completion-relay skip` and `park`: which event is meant, what is asked, and what became of it."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

import pytest
from tests.integration.cli.conftest import Commands, Done
from tests.integration.relay.test_operator import early, emit
from tests.integration.relay.waiting import Scene, completed, event, relay
from tests.support import Topics, consume_all, produce

from completion_relay.settings import Settings
from completion_schemas.dispositions import Disposition

BY = ("--by", "ann", "--why", "ticket 7", "--yes")


def settings(scene: Scene, **of_relay: Any) -> Settings:
    """Return those of a relay in the group of the commands."""
    return scene.settings(
        kafka={"group_id": f"{scene.topics.completions}.group"},
        relay={"early_timeout": 600.0, "drain_timeout": 0.5, **of_relay},
    )


async def instructions(scene: Scene) -> int:
    """Return how many instructions were written."""
    return len(await consume_all(scene.kafka, scene.topics.parked))


def the_object(done: Done) -> dict[str, Any]:
    (shown,) = done.objects
    return shown


async def test_an_event_is_skipped_by_its_id_and_the_next_of_its_activity_goes_on(
    commands: Commands, scene: Scene
) -> None:
    """The first is for an attempt that never comes, and the second waits behind it."""
    handle, reference = await scene.waiting(timeout=600.0)
    by_ids = dataclasses.replace(reference, task_token="", token_fingerprint="", attempt=7)
    async with relay(settings(scene)):
        first = await emit(scene, event(by_ids, completed(b'"bad"'), event_id="e-1"))
        second = await emit(scene, event(dataclasses.replace(by_ids, attempt=1), completed()))
        done = await commands("skip", "e-1", *BY, "--json")
        assert done.code == 0, done.err
        assert await handle.result() == "done"
        assert (await scene.decided(second)).disposition is Disposition.APPLIED
    shown = the_object(done)
    assert (shown["disposition"], shown["detail"]) == ("skipped", "by ann: ticket 7")
    assert (shown["offset"], shown["event_id"], shown["by"]) == (first.offset, "e-1", "ann")


async def test_what_is_skipped_is_shown_before_and_told_after(
    commands: Commands, scene: Scene
) -> None:
    async with relay(settings(scene)):
        at = await emit(scene, await early(scene, "e-1"))
        done = await commands("skip", f"0/{at.offset}", *BY)
    assert done.code == 0, done.err
    rows = dict(line.split(None, 1) for line in done.out.splitlines()[:-1])
    assert rows["event"] == "e-1"
    assert rows["type"] == "completed"
    assert rows["workflow"].startswith("caller-")
    assert rows["record"] == f"{scene.topics.completions}/0/{at.offset}"
    assert done.out.splitlines()[-1] == "skipped."


async def test_an_event_is_parked_until_its_time_and_shown_as_parked_by_whom(
    commands: Commands, scene: Scene
) -> None:
    async with relay(settings(scene)):
        await emit(scene, await early(scene, "e-1"))
        done = await commands("park", "e-1", "--for", "2h", *BY)
        assert done.code == 0, done.err
        assert done.out.splitlines()[-1].startswith("parked until 2")
        again = await commands("skip", "e-1", *BY)
    assert again.code == 0, again.err
    assert "ann: ticket 7, until 2" in again.out


async def test_what_is_decided_already_is_told_and_nothing_is_written(
    commands: Commands, scene: Scene
) -> None:
    _, reference = await scene.waiting()
    async with relay(settings(scene)):
        at = await scene.emit(event(reference, completed(), event_id="e-1"))
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
        for name in ("e-1", f"{at.partition}/{at.offset}"):
            done = await commands("skip", name, *BY, "--json")
            assert done.code == 1
            assert the_object(done)["disposition"] == "applied"
            assert f"Event {name} is decided already: applied" in done.err
    assert await instructions(scene) == 0


@pytest.mark.parametrize("name", ["nobody-knows", "0/17", "99/0"])
async def test_what_is_not_there_is_told_with_where_it_was_looked_for(
    commands: Commands, topics: Topics, name: str
) -> None:
    done = await commands("skip", name, *BY)
    assert done.code == 1
    assert f"No event {name} is on {topics.completions}" in done.err
    assert f"group {topics.completions}.group" in done.err


async def test_an_id_that_was_sent_twice_is_asked_for_by_place(
    commands: Commands, scene: Scene
) -> None:
    sent = await early(scene, "e-1")
    places = [await emit(scene, sent) for _ in range(2)]
    done = await commands("skip", "e-1", *BY)
    assert done.code == 1
    assert f"0/{places[0].offset}, 0/{places[1].offset}" in done.err
    assert await instructions(scene) == 0


async def test_where_no_relay_runs_it_is_written_and_said_so(
    commands: Commands, scene: Scene
) -> None:
    """What was said before is shown to whoever comes next."""
    await emit(scene, await early(scene, "e-1"))
    done = await commands("skip", "e-1", *BY, "--wait", "0.1")
    assert done.code == 1
    assert "not done within 0.1 s: it is written" in done.out
    done = await commands("park", "e-1", *BY, "--wait", "0")
    assert done.code == 0, done.err
    assert "skip by ann: ticket 7" in done.out


async def test_garbage_is_skipped_by_its_place(commands: Commands, scene: Scene) -> None:
    at = await produce(scene.kafka, scene.topics.completions, b"\xff garbage", partition=1)
    done = await commands("skip", f"1/{at.offset}", *BY, "--wait", "0")
    assert done.code == 0, done.err
    assert "cannot be read as an event" in done.out
    async with relay(settings(scene)):
        audit = await scene.decided(at)
    assert (audit.disposition, audit.detail) == (Disposition.SKIPPED, "by ann: ticket 7")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--why", "ticket 7"), "--yes is missing"),
        (("--why", " ", "--yes"), "--why is empty"),
        (("--why", "x" * 1_001, "--yes"), "--why has 1001 characters"),
        (("--why", "x", "--by", " ", "--yes"), "--by is empty"),
    ],
)
async def test_what_is_missing_is_said_before_anything_is_read(
    commands: Commands, args: tuple[str, ...], said: str
) -> None:
    done = await commands("skip", str(uuid.uuid4()), *args, "--kafka", "127.0.0.1:1")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--for", "8d"), "7 days at most"),
        (("--for", "soon"), "--for 'soon' is not a length of time"),
        (("--until", "2026-01-01"), "is in the past"),
        (("--for", "1h", "--until", "in 1h"), "--for and --until say the same"),
    ],
)
async def test_a_time_that_cannot_be_meant_is_named(
    commands: Commands, args: tuple[str, ...], said: str
) -> None:
    done = await commands("park", "e-1", *args, *BY, "--kafka", "127.0.0.1:1")
    assert done.code == 2
    assert said in done.err
