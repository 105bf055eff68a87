"""`completion-relay replay` on a real broker, a real Temporal server and a real relay."""

from __future__ import annotations

import asyncio
import secrets
import stat
import sys
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import ConsumerRecord, TopicPartition
from tests.integration.cli.conftest import Commands
from tests.integration.cli.trail import decision, write
from tests.integration.relay.waiting import Scene, completed, event, heartbeat, relay
from tests.support import PARTITIONS, consume_all, create_topics, eventually, produce

from completion_relay.replay import headers as said
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import ActivityReference

Records = list[ConsumerRecord[bytes | None, bytes | None]]

_NOBODY = ActivityReference(
    namespace="default", workflow_id="nobody", run_id=str(uuid.uuid4()), activity_id="1"
)
"""For what is never decided: no relay runs."""


def header(record: ConsumerRecord[bytes | None, bytes | None], name: str) -> str | None:
    return said.text_of(record.headers, name)


def replays(records: Records) -> Records:
    return [record for record in records if header(record, said.REPLAY_OF) is not None]


def origins(records: Records) -> Counter[str]:
    return Counter(str(header(record, said.REPLAY_OF)) for record in replays(records))


async def on_topic(scene: Scene) -> Records:
    return await consume_all(scene.kafka, scene.topics.completions)


async def put(scene: Scene, count: int) -> list[str]:
    """Put events that nobody decides; return their positions."""
    placed = []
    for number in range(count):
        reference = replace(_NOBODY, activity_id=str(number))
        at = await scene.emit(event(reference, completed()))
        placed.append(f"{at.topic}/{at.partition}/{at.offset}")
    return placed


async def test_an_applied_event_that_is_replayed_is_a_duplicate_and_the_workflow_has_one_result(
    commands: Commands, scene: Scene
) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        at = await scene.emit(event(reference, completed(b'"mine"'), event_id="e-1"))
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
        done = await commands("replay", "--event-id", "e-1", "--yes", "--wait", "30", "--json")
        assert done.code == 0, done.err
        plan, result = done.objects
        assert (plan["to_send"], plan["by_last"], plan["outlook"]) == (
            1,
            {"applied": 1},
            {"duplicate": 1},
        )
        assert (result["sent"], result["became"]) == (1, {"duplicate": 1})
        assert await handle.result() == "mine"
        ends = [
            entry.event_id
            async for entry in handle.fetch_history_events()
            if entry.HasField("activity_task_completed_event_attributes")
        ]
        assert len(ends) == 1
    original, again = await on_topic(scene)
    assert (again.key, again.value, again.partition) == (
        original.key,
        original.value,
        original.partition,
    )
    assert again.headers[: len(original.headers)] == original.headers
    assert header(again, said.REPLAY_OF) == f"{at.topic}/{at.partition}/{at.offset}"
    assert header(again, said.COUNT) == "1"
    replayed = next(record for record in await scene.audit() if record.replay_of)
    assert replayed.replay_of == f"{at.topic}/{at.partition}/{at.offset}"


async def test_whatever_is_replayed_each_workflow_has_its_own_result_once(
    commands: Commands, scene: Scene
) -> None:
    """Promise 2 on the real server: by token and by ids, decided and not, again and again."""
    waiting = [await scene.waiting() for _ in range(6)]
    for number, (_, reference) in enumerate(waiting):
        named = replace(reference, task_token="", token_fingerprint="")
        said_by = named if number % 2 else reference
        await scene.emit(event(said_by, completed(b"%d" % number)))
    # Before any is decided: each is there twice, and the relay has them side by side.
    again = ("replay", "--from", "1h", "--max-replays", "9", "--yes", "--json")
    assert (await commands(*again)).objects[1]["sent"] == len(waiting)
    async with relay(scene.settings()):
        assert [await handle.result() for handle, _ in waiting] == list(range(len(waiting)))
        done = await commands(*again, "--id", scene.task_queue, "--wait", "60")
        assert done.objects[1]["became"] == {"duplicate": len(waiting)}, done.err
    for handle, _ in waiting:
        ends = [
            entry.event_id
            async for entry in handle.fetch_history_events()
            if entry.HasField("activity_task_completed_event_attributes")
        ]
        assert len(ends) == 1
    became = Counter(record.disposition for record in await scene.audit())
    assert became == {
        Disposition.APPLIED: len(waiting),
        Disposition.DUPLICATE: 2 * len(waiting),
    }


async def test_a_plan_says_what_it_would_do_and_sends_nothing(
    commands: Commands, scene: Scene
) -> None:
    placed = await put(scene, 3)
    done = await commands("replay", "--from", "1h")
    assert done.code == 0, done.err
    assert "3       to send" in done.out
    assert "not decided yet" in done.out
    assert "Nothing was sent: add --yes to send 3 events." in done.err
    assert len(await on_topic(scene)) == len(placed)


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def everything(scene: Scene) -> tuple[Mapping[str, object], set[str]]:
    """Return all that a command could have written to Kafka: ends of topics and topics; groups."""
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.kafka)
    consumer = AIOKafkaConsumer(bootstrap_servers=scene.kafka)
    await admin.start()
    await consumer.start()
    try:
        topics = [topic for topic in await admin.list_topics() if scene.topics.completions in topic]
        partitions = [TopicPartition(t, n) for t in topics for n in range(PARTITIONS)]
        ends = await consumer.end_offsets(partitions)
        groups = {group for group, *_ in await admin.list_consumer_groups()}
    finally:
        await consumer.stop()
        await admin.close()
    return {"ends": ends, "topics": sorted(topics)}, groups


async def test_a_dry_run_says_what_each_would_do_and_writes_nothing_anywhere(
    commands: Commands, scene: Scene, tmp_path: Path
) -> None:
    async with relay(scene.settings()):
        waiting, reference = await scene.waiting()
        done_before = (await scene.waiting())[1]
        await scene.decided(await scene.emit(event(done_before, completed(), event_id="e-done")))
    await scene.emit(event(reference, completed(), event_id="e-waits"))
    (before, groups), files = await everything(scene), files_in(tmp_path)
    done = await commands("replay", "--from", "1h", "--dry-run", "--json")
    assert done.code == 0, done.err
    *rows, _ = done.objects
    assert {row["event_id"]: (row["last"], row["would"]) for row in rows} == {
        "e-done": ("applied", "duplicate"),
        "e-waits": ("", "applied"),
    }
    after, groups_after = await everything(scene)
    assert (after, files_in(tmp_path)) == (before, files)
    assert groups_after <= groups  # Kafka removes the empty ones of other tests whenever it likes
    assert "Nothing was written" in done.err
    assert reference.task_token not in done.out
    await waiting.terminate()


async def test_a_dead_letter_of_a_namespace_that_was_not_served_is_applied_once_it_is(
    commands: Commands, scene: Scene
) -> None:
    async with relay(scene.settings(temporal={"namespaces": ("temporal-system",)})):
        handle, reference = await scene.waiting()
        at = await scene.emit(event(reference, completed(b'"at last"')))
        assert (await scene.decided(at)).reason is DeadLetterReason.FORBIDDEN
    async with relay(scene.settings()):
        dead = ("replay", "--dead-letters", "--reason", "forbidden")
        done = await commands(*dead, "--yes", "--wait", "30", "--json")
        assert done.code == 0, done.err
        assert done.objects[1]["became"] == {"applied": 1}
        assert await handle.result() == "at last"
    (again,) = replays(await on_topic(scene))
    assert [name for name, _ in again.headers if name.startswith("completion-dlq-")] == []
    assert again.partition == at.partition


async def test_a_namespace_that_was_misspelt_is_mapped_and_the_event_says_so(
    commands: Commands, scene: Scene
) -> None:
    misspelt = ("--dead-letters", "--reason", "forbidden", "--namespace-map", "defualt=default")
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        sent = event(replace(reference, namespace="defualt"), completed(b'"at last"'))
        at = await scene.emit(sent)
        assert (await scene.decided(at)).reason is DeadLetterReason.FORBIDDEN
        done = await commands("replay", *misspelt, "--yes", "--wait", "30", "--json")
        assert done.code == 0, done.err
        plan, result = done.objects
        assert plan["outlook"] == {"applied": 1}
        assert result["became"] == {"applied": 1}
        assert await handle.result() == "at last"
        # It has been applied by now: by how the event ended last, it is no dead letter any more.
        later = await commands("replay", "--from", "1h", "--reason", "forbidden", "--json")
        assert later.objects[0]["to_send"] == 0
        assert later.objects[0]["ended_otherwise_since"] == 1
    original, again = await on_topic(scene)
    assert (again.key, again.value, again.partition) == (
        original.key,
        original.value,
        original.partition,
    )
    added = dict(again.headers[len(original.headers) :])
    assert again.headers[: len(original.headers)] == original.headers
    assert added == {
        said.REPLAY_OF: f"{at.topic}/{at.partition}/{at.offset}".encode(),
        said.TIMESTAMP: str(original.timestamp).encode(),
        said.COUNT: b"1",
        said.NAMESPACE: b"default",
    }


async def test_a_replay_that_is_killed_goes_on_and_sends_each_event_exactly_once(
    commands: Commands, scene: Scene
) -> None:
    placed = await put(scene, 60)
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "completion_relay", "replay", "--config", str(commands.config)),
        *("--from", "1h", "--rate", "3", "--yes"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await eventually(
        lambda: _some_replays(scene), timeout=60, what="the first events of the replay"
    )
    killed.kill()
    await killed.communicate()
    first = origins(await on_topic(scene))
    assert 0 < len(first) < len(placed)
    # Another rate is another way to do the same.
    done = await commands("replay", "--from", "1h", "--yes", "--json")
    assert done.code == 0, done.err
    plan, result = done.objects
    assert plan["sent_before"] >= len(first)
    assert result["sent"] + plan["sent_before"] == len(placed)
    assert origins(await on_topic(scene)) == Counter(placed)

    again = await commands("replay", "--from", "1h", "--yes")
    assert again.code == 0, again.err
    assert f"is done: it has sent {len(placed)} events" in again.err
    assert origins(await on_topic(scene)) == Counter(placed)


@pytest.mark.parametrize(
    "words",
    [
        ("--dead-letters", "--reason", "forbidden"),
        ("--from", "1h", "--reason", "forbidden", "--id", "of-a-name"),
    ],
)
async def test_the_same_command_at_a_second_incident_sends_what_has_come_since_and_that_alone(
    commands: Commands, scene: Scene, words: tuple[str, ...]
) -> None:
    words = tuple(word.replace("of-a-name", scene.task_queue) for word in words)
    placed = []
    for number in range(2):
        async with relay(scene.settings(temporal={"namespaces": ("temporal-system",)})):
            handle, reference = await scene.waiting()
            at = await scene.emit(event(reference, completed(b"%d" % number)))
            assert (await scene.decided(at)).reason is DeadLetterReason.FORBIDDEN
        placed.append(f"{at.topic}/{at.partition}/{at.offset}")
        async with relay(scene.settings()):
            done = await commands("replay", *words, "--yes", "--wait", "30", "--json")
            assert done.code == 0, done.err
            plan, result = done.objects
            assert (plan["to_send"], plan["sent_earlier"]) == (1, number)
            assert result["became"] == {"applied": 1}
            assert await handle.result() == number
    assert origins(await on_topic(scene)) == Counter(placed)


async def test_a_range_that_is_typed_again_is_of_what_has_come_since_and_not_of_its_own_replays(
    commands: Commands, scene: Scene
) -> None:
    """What it has sent lies beyond its range, on the same topic."""
    again = ("replay", "--from", "1h")
    placed = await put(scene, 3)
    assert (await commands(*again, "--yes", "--json")).objects[1]["sent"] == 3
    placed += await put(scene, 2)
    shown = await commands(*again)
    assert "one of the same words that is done, 3 events sent: takes what has" in shown.out
    done = await commands(*again, "--yes", "--json")
    assert (done.objects[0]["to_send"], done.objects[1]["sent"]) == (2, 2), done.err
    assert origins(await on_topic(scene)) == Counter(placed)
    done = await commands(*again, "--yes")
    assert done.code == 0, done.err
    assert "is done: it has sent 5 events, sends none of them again, and nothing new" in done.err
    assert origins(await on_topic(scene)) == Counter(placed)


async def _some_replays(scene: Scene) -> bool:
    return bool(replays(await on_topic(scene)))


async def test_of_two_runs_of_one_replay_the_later_one_alone_goes_on(
    commands: Commands, scene: Scene
) -> None:
    placed = await put(scene, 40)
    slow = asyncio.create_task(commands("replay", "--from", "1h", "--rate", "2", "--yes"))
    await eventually(lambda: _some_replays(scene), timeout=60, what="the first run at work")
    fast = await commands("replay", "--from", "1h", "--yes")
    assert fast.code == 0, fast.err
    fenced = await slow
    assert fenced.code == 2
    assert "another run of it has begun" in fenced.err
    assert origins(await on_topic(scene)) == Counter(placed)


async def test_a_name_that_stands_for_other_events_is_refused(
    commands: Commands, scene: Scene
) -> None:
    await put(scene, 1)
    assert (await commands("replay", "--from", "1h", "--id", scene.task_queue, "--yes")).code == 0
    done = await commands("replay", "--from", "2h", "--id", scene.task_queue, "--yes")
    assert done.code == 2
    assert f"replay {scene.task_queue} was begun for other events" in done.err
    assert len(replays(await on_topic(scene))) == 1


async def test_an_event_that_was_replayed_often_enough_is_left_for_a_person(
    commands: Commands, scene: Scene, tmp_path: Path
) -> None:
    """Its latest record says how often it has been replayed: no relay runs whose trail would."""
    (position,) = await put(scene, 1)
    left = tmp_path / "left.jsonl"

    async def latest() -> str:
        record = (await on_topic(scene))[-1]
        return f"{record.partition}:{record.offset}"

    capped = ("--max-replays", "2", "--yes", "--json")
    for _ in range(2):
        done = await commands("replay", "--offsets", await latest(), *capped)
        assert done.objects[1]["sent"] == 1, done.err
    assert [header(record, said.COUNT) for record in await on_topic(scene)] == [None, "1", "2"]
    assert origins(await on_topic(scene)) == Counter({position: 2})
    third = ("replay", "--offsets", await latest(), *capped)
    for written in (third, (*third[:-2], "--to-file", str(tmp_path / "kept.jsonl"))):
        done = await commands(*written)
        assert done.code == 2, done.out
        assert "error: --parked-file is missing: 1 event reached --max-replays 2" in done.err
    assert files_in(tmp_path) == [commands.config]
    assert len(await on_topic(scene)) == 3
    done = await commands(*third, "--parked-file", str(left))
    plan, result = done.objects
    assert (plan["over_cap"], result["sent"], result["over_cap"]) == (1, 0, 1)
    assert len(await on_topic(scene)) == 3
    assert len(left.read_bytes().splitlines()) == 1


async def test_the_trail_tells_how_often_an_event_was_replayed(
    commands: Commands, scene: Scene, tmp_path: Path
) -> None:
    async with relay(scene.settings()):
        reference = (await scene.waiting())[1]
        await scene.decided(await scene.emit(event(reference, completed(), event_id="e-1")))
        for number in range(2):
            named = (
                "--event-id",
                "e-1",
                "--id",
                f"{scene.task_queue}-{number}",
                "--max-replays",
                "1",
                "--parked-file",
                str(tmp_path / "left.jsonl"),
            )
            done = await commands("replay", *named, "--yes", "--wait", "30", "--json")
            assert done.objects[0]["over_cap"] == number, done.err
            assert done.objects[1]["sent"] == 1 - number


async def test_a_replay_of_a_range_takes_the_event_and_not_its_replays(
    commands: Commands, scene: Scene
) -> None:
    placed = await put(scene, 3)
    for number in range(2):
        done = await commands(
            "replay", "--from", "1h", "--id", f"{scene.task_queue}-{number}", "--yes", "--json"
        )
        assert [part.get("sent") for part in done.objects] == [None, 3], done
    assert origins(await on_topic(scene)) == Counter(dict.fromkeys(placed, 2))


async def test_heartbeats_are_left_out_unless_they_are_asked_for(
    commands: Commands, scene: Scene
) -> None:
    await scene.emit(event(_NOBODY, heartbeat()))
    await put(scene, 1)
    done = await commands("replay", "--from", "1h", "--json")
    assert (done.objects[0]["to_send"], done.objects[0]["heartbeats_left_out"]) == (1, 1)
    done = await commands("replay", "--from", "1h", "--heartbeats", "--json")
    assert (done.objects[0]["to_send"], done.objects[0]["heartbeats_left_out"]) == (2, 0)


async def test_what_a_file_was_given_is_sent_from_it_as_it_was(
    commands: Commands, scene: Scene, tmp_path: Path
) -> None:
    file = tmp_path / "kept.jsonl"
    placed = await put(scene, 5)
    done = await commands("replay", "--from", "1h", "--to-file", str(file))
    assert done.code == 0, done.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = await on_topic(scene)
    assert len(before) == 5

    done = await commands("replay", "--from-file", str(file), "--yes", "--json")
    assert done.objects[1]["sent"] == 5, done.err
    after = await on_topic(scene)
    assert origins(after) == Counter(placed)
    assert Counter((record.key, record.value) for record in replays(after)) == Counter(
        (record.key, record.value) for record in before
    )
    done = await commands("replay", "--from-file", str(file), "--yes")
    assert "is done" in done.err
    assert len(await on_topic(scene)) == 10


async def test_a_file_is_not_written_over(commands: Commands, scene: Scene, tmp_path: Path) -> None:
    await put(scene, 1)
    file = tmp_path / "mine.jsonl"
    file.write_text("precious")
    done = await commands("replay", "--from", "1h", "--to-file", str(file))
    assert done.code == 2
    assert "is there already" in done.err
    assert file.read_text() == "precious"


async def test_events_go_to_another_topic_and_say_so(commands: Commands, scene: Scene) -> None:
    await put(scene, 2)
    other = f"{scene.topics.completions}.other"
    done = await commands("replay", "--from", "1h", "--to-topic", other, "--yes")
    assert done.code == 2
    assert f"topic {other} is not there" in done.err
    await create_topics(scene.kafka, [other])
    done = await commands("replay", "--from", "1h", "--to-topic", other, "--yes", "--json")
    assert done.objects[1]["sent"] == 2, done.err
    moved = await consume_all(scene.kafka, other)
    assert [header(record, said.TO_TOPIC) for record in moved] == [other, other]


async def test_what_an_operator_skipped_is_sent_only_when_it_is_asked_for(
    commands: Commands, scene: Scene
) -> None:
    at = await scene.emit(event(_NOBODY, completed(), event_id="e-skipped"))
    skipped = decision(
        "e-skipped",
        disposition=Disposition.SKIPPED,
        detail="by ann: ticket 7",
        topic=at.topic,
        partition=at.partition,
        offset=at.offset,
    )
    await write(scene.kafka, scene.topics, skipped)
    done = await commands("replay", "--from", "1h", "--yes", "--json")
    plan, result = done.objects
    assert (plan["skipped"], plan["to_send"], result["sent"]) == (1, 0, 0), done.err
    assert len(await on_topic(scene)) == 1
    shown = await commands("replay", "--from", "2h")
    assert "--event-id ID or --disposition skipped sends it all the same" in shown.out
    for asked in (("--disposition", "skipped"), ("--event-id", "e-skipped")):
        done = await commands("replay", *asked, "--yes", "--json")
        assert (done.objects[0]["skipped"], done.objects[1]["sent"]) == (0, 1), (asked, done.err)
    assert len(await on_topic(scene)) == 3


async def test_only_what_ended_as_asked_is_taken(commands: Commands, scene: Scene) -> None:
    async with relay(scene.settings()):
        reference = (await scene.waiting())[1]
        await scene.decided(await scene.emit(event(reference, completed(), event_id="e-1")))
        at = await scene.emit(event(reference, completed(), event_id="e-2"))
        assert (await scene.decided(at)).disposition is Disposition.CONFLICT
    done = await commands("replay", "--disposition", "conflict", "--dry-run", "--json")
    assert [row["event_id"] for row in done.objects[:-1]] == ["e-2"]
    by_workflow = ("--workflow-id", reference.workflow_id)
    done = await commands("replay", *by_workflow, "--dry-run", "--json")
    assert {row["event_id"] for row in done.objects[:-1]} == {"e-1", "e-2"}


async def test_what_the_topic_has_no_more_is_said(commands: Commands, scene: Scene) -> None:
    """The trail outlives the events."""
    async with relay(scene.settings()):
        reference = (await scene.waiting())[1]
        at = await scene.emit(event(reference, completed(), event_id="e-gone"))
        await scene.decided(at)
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.kafka)
    await admin.start()
    try:
        partition = TopicPartition(at.topic, at.partition)
        await admin.delete_records({partition: RecordsToDelete(before_offset=at.offset + 1)})
    finally:
        await admin.close()
    done = await commands("replay", "--event-id", "e-gone", "--json")
    assert done.objects[0]["gone"] == 1, done.err
    assert done.code == 1


async def test_a_temporal_that_is_away_is_said_and_the_plan_is_made(
    commands: Commands, scene: Scene
) -> None:
    await put(scene, 2)
    done = await commands("replay", "--from", "1h", "--json", "--temporal", "127.0.0.1:1")
    assert done.code == 0, done.err
    assert (done.objects[0]["to_send"], done.objects[0]["not_looked_at"]) == (2, 2)
    assert done.objects[0]["temporal_away"] == 2
    assert "Temporal at 127.0.0.1:1 could not be reached: Connection refused: check" in done.err


async def test_nothing_that_is_asked_for_exits_1(commands: Commands, scene: Scene) -> None:
    done = await commands("replay", "--dead-letters", "--yes")
    assert done.code == 1
    assert "Nothing that is on the topic or in the file is asked for." in done.err


async def test_an_event_that_is_not_decided_is_named_where_it_is_asked_for_by_its_id(
    commands: Commands, scene: Scene
) -> None:
    """It was on the topic, and was said not to be."""
    at = await scene.emit(event(_NOBODY, completed(), event_id="waits"))
    done = await commands("replay", "--event-id", "waits", "--yes")
    assert done.code == 1
    audit = scene.topics.audit
    assert f"No decision about waits is on {audit}: " in done.err
    assert "Nothing that is on the topic" not in done.err
    assert [one.offset for one in await on_topic(scene)] == [at.offset]


async def test_what_cannot_be_read_of_the_trail_is_said_with_the_plan(
    commands: Commands, scene: Scene
) -> None:
    await put(scene, 1)
    await produce(scene.kafka, scene.topics.audit, b"garbage")
    done = await commands("replay", "--from", "1h")
    assert done.code == 0, done.err
    assert "1 record on the topic cannot be read as audit records" in done.err


async def test_what_is_too_large_with_its_headers_is_said_and_holds_up_nothing(
    commands: Commands, scene: Scene
) -> None:
    narrow = f"{scene.topics.completions}.narrow"
    await create_topics(scene.kafka, {narrow: {"max.message.bytes": "2000"}}, partitions=1)
    placed = await put(scene, 2)
    large = event(_NOBODY, completed(secrets.token_hex(3_000).encode()))
    await scene.emit(large)
    placed += await put(scene, 2)
    done = await commands("replay", "--from", "1h", "--to-topic", narrow, "--yes", "--json")
    assert done.code == 0, done.err
    assert done.objects[1]["sent"] == 4
    assert len(done.objects[1]["too_large"]) == 1
    assert origins(await consume_all(scene.kafka, narrow)) == Counter(placed)
