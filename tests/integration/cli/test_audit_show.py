"""`completion-relay audit show`: one event's story, on a real broker and a real Temporal."""

from __future__ import annotations

import base64
import time

import pytest
from tests.integration.cli.conftest import Commands
from tests.integration.cli.trail import MINUTE, decision, write
from tests.integration.relay.waiting import Scene, completed, event, relay
from tests.support import Topics, produce

from completion_relay.cli.times import show_time
from completion_relay.decision import Delivery, Former, Park
from completion_relay.embedded.process import free_port
from completion_relay.parking import parked_record
from completion_schemas.audit import Call
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import ActivityReference
from completion_schemas.times import UnixNanos

UI = {"COMPLETION_RELAY_TEMPORAL__UI_URL": "http://localhost:8233/"}


async def test_show_tells_every_delivery_in_order(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    now = time.time_ns()
    first = decision("e", decided_at=UnixNanos(now - MINUTE))
    second = decision(
        "e",
        disposition=Disposition.DUPLICATE,
        detail="completions/0/17 did it",
        offset=18,
        tries=2,
        replay_of="completions/0/17",
    )
    await write(kafka_address, topics, second, first, decision("another"))
    done = await commands("audit", "show", "e")
    assert done.code == 0, done.err
    assert done.out.startswith("Event e was delivered 2 times: applied, duplicate.")
    _, emitted, applied, duplicate, at_temporal = done.out.split("\n\n")
    assert emitted.startswith("emitted\n   occurred")
    assert applied.startswith("1  applied")
    assert duplicate.startswith("2  duplicate")
    assert "completions/0/18, a replay of completions/0/17" in duplicate
    assert "2 tries" in duplicate
    assert at_temporal.startswith("now at Temporal")
    assert "another" not in done.out


async def test_show_tells_each_try_and_how_many_more_there_were(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    now = time.time_ns()
    calls = (Call(UnixNanos(now - MINUTE), "UNAVAILABLE"), Call(UnixNanos(now), "OK"))
    await write(kafka_address, topics, decision("e", tries=9, calls=calls))
    done = await commands("audit", "show", "e", "--no-temporal")
    lines = (line.strip() for line in done.out.splitlines())
    told = [line for line in lines if line.startswith("Temporal")]
    assert [line.rpartition("  ")[2].strip() for line in told] == [
        "UNAVAILABLE",
        "OK",
        "and 7 tries of which only the number is kept",
    ]


async def test_show_tells_the_events_own_record_and_what_temporal_says_now(
    commands: Commands, scene: Scene
) -> None:
    handle, reference = await scene.waiting()
    async with relay(scene.settings()):
        at = await scene.emit(event(reference, completed(b'"a secret result"'), event_id="e"))
        await scene.decided(at)
    await handle.result()
    done = await commands("audit", "show", "e", variables=UI)
    assert done.code == 0, done.err
    assert f"record      {at.topic}/{at.partition}/{at.offset}" in done.out
    assert "bytes, application/protobuf" in done.out
    mark = f"completion-relay/e@{at.topic}/{at.partition}/{at.offset}"
    assert f"ACTIVITY_TASK_COMPLETED by {mark}" in done.out
    assert "this record did it" in done.out
    link = f"http://localhost:8233/namespaces/default/workflows/{reference.workflow_id}"
    assert f"{link}/{reference.run_id}/history" in done.out
    assert "secret" not in done.out
    assert reference.task_token not in done.out
    assert base64.b64decode(reference.task_token).hex() not in done.out


async def test_an_activity_that_waits_is_said_to_be_pending(
    commands: Commands, scene: Scene
) -> None:
    _, reference = await scene.waiting()
    record = decision(
        "e",
        type="heartbeat",
        workflow_id=reference.workflow_id,
        run_id=reference.run_id,
        activity_id=reference.activity_id,
        occurred_at=UnixNanos(time.time_ns()),
    )
    await write(scene.kafka, scene.topics, record)
    done = await commands("audit", "show", "e")
    assert "the activity is pending, started, at attempt 1" in done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--no-temporal",), None),
        (("--temporal", "127.0.0.1:{port}"), "cannot be reached"),
    ],
    ids=["not asked", "away"],
)
async def test_the_story_is_told_without_temporal(
    commands: Commands,
    topics: Topics,
    kafka_address: str,
    options: tuple[str, ...],
    said: str | None,
) -> None:
    await write(kafka_address, topics, decision("e"))
    given = [option.format(port=free_port()) for option in options]
    done = await commands("audit", "show", "e", *given)
    assert done.code == 0, done.err
    assert "1  applied" in done.out
    assert ("now at Temporal" in done.out) is (said is not None)
    assert (said or "") in done.out


async def test_what_an_id_holds_reaches_the_terminal_spelt_out(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    evil = "\x1b[31mred\n"
    await write(kafka_address, topics, decision(evil, workflow_id=evil, relay_id=evil))
    done = await commands("audit", "show", evil)
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    assert "\\x1b[31mred\\n" in done.out


async def test_json_is_the_audit_records_and_nothing_else(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    await write(kafka_address, topics, decision("e"), decision("e", offset=18))
    done = await commands("audit", "show", "e", "--json", variables=UI)
    assert [record["offset"] for record in done.objects] == [17, 18]
    assert done.err == ""


async def test_from_leaves_out_what_was_decided_before(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    old = decision("e", decided_at=UnixNanos(time.time_ns() - 90 * MINUTE))
    await write(kafka_address, topics, old)
    assert (await commands("audit", "show", "e", "--from", "1h", "--json")).code == 1
    assert (await commands("audit", "show", "e", "--from", "2h", "--json")).code == 0


async def test_an_event_that_no_relay_has_is_said_to_wait_and_where(
    commands: Commands, scene: Scene
) -> None:
    _, reference = await scene.waiting()
    await scene.emit(event(reference, completed(), event_id="another"))
    at = await scene.emit(event(reference, completed(), event_id="e"))
    done = await commands("audit", "show", "e")
    assert done.code == 1
    assert done.out.startswith("Event e is not decided yet.\n\nwaits\n")
    assert f"{at.topic}/{at.partition}/{at.offset}" in done.out
    assert done.out.count("record ") == 1


async def test_an_event_that_is_parked_is_said_to_be_and_why(
    commands: Commands, scene: Scene
) -> None:
    """The record that it is a copy of is not told of as well."""
    _, reference = await scene.waiting()
    sent = event(reference, completed(), event_id="e")
    at = await scene.emit(sent)
    now = UnixNanos(time.time_ns())
    parked = parked_record(
        Delivery(at.topic, at.partition, at.offset, at.timestamp, encode_record(sent), now),
        Park(reason="the namespace is halted", former=Former(), status=None),
        key=sent.activity_key,
        times=1,
        not_before=UnixNanos(now + MINUTE),
        relay_id="r",
    )
    headers = [(name, value or b"") for name, value in parked.headers]
    copy = await produce(
        scene.kafka, scene.topics.parked, parked.value, headers=headers, partition=at.partition
    )
    done = await commands("audit", "show", "e")
    assert done.out.startswith("Event e is not decided yet.\n\nparked\n")
    assert f"{copy.topic}/{copy.partition}/{copy.offset}" in done.out
    assert "the namespace is halted" in done.out
    assert f"tried again by  {show_time(now + MINUTE)}" in done.out
    assert done.out.count("record ") == 1


async def test_an_event_that_has_ended_and_waits_again_is_told_with_both(
    commands: Commands, scene: Scene
) -> None:
    """As when it is replayed: that no relay has decided the replay is news, and its end is old."""
    sent = event(ActivityReference(workflow_id="w", activity_id="1"), completed(), event_id="e")
    first, again = [await scene.emit(sent) for _ in range(2)]
    ended = decision(
        "e", topic=first.topic, partition=first.partition, offset=first.offset, occurred_at=None
    )
    await write(scene.kafka, scene.topics, ended)
    done = await commands("audit", "show", "e", "--no-temporal")
    assert done.code == 0, done.err
    _, applied, waits = done.out.split("\n\n")
    assert applied.startswith("1  applied")
    assert waits.startswith("waits\n")
    assert f"{again.topic}/{again.partition}/{again.offset}" in waits
    as_json = await commands("audit", "show", "e", "--json")
    assert [record["offset"] for record in as_json.objects] == [first.offset]


async def test_a_place_names_one_delivery_and_a_record_without_an_id(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    first, second = [decision("e", topic=topics.completions, offset=offset) for offset in (17, 18)]
    garbage = decision(
        "",
        topic=topics.completions,
        offset=19,
        type="",
        disposition=Disposition.DEAD_LETTERED,
        reason=DeadLetterReason.UNDECODABLE,
    )
    elsewhere = decision("other", topic="of-another-relay", offset=19)
    await write(kafka_address, topics, first, second, garbage, elsewhere)
    listed = await commands("audit", "list")
    assert f"  {topics.completions}/0/19\n" in listed.out
    done = await commands("audit", "show", "0/19", "--no-temporal")
    assert done.code == 0, done.err
    assert done.out.startswith("The record at 0/19 was delivered once: dead_lettered.")
    done = await commands("audit", "show", "0/18", "--no-temporal")
    assert done.out.startswith("Event e at 0/18 was delivered once: applied.")
    as_json = await commands("audit", "show", "0/18", "--json")
    assert [record["offset"] for record in as_json.objects] == [18]


async def test_a_place_at_which_nothing_was_decided_tells_what_waits_there(
    commands: Commands, scene: Scene
) -> None:
    at = await produce(scene.kafka, scene.topics.completions, b"garbage")
    await produce(scene.kafka, scene.topics.completions, b"more", partition=at.partition)
    place = f"{at.partition}/{at.offset}"
    done = await commands("audit", "show", place)
    assert done.code == 1
    assert done.out.startswith(f"The record at {place} is not decided yet.\n\nwaits\n")
    assert done.out.count("record ") == 2
    done = await commands("audit", "show", "0/99")
    assert (done.code, done.out) == (1, "")
    assert f"No decision about the record at 0/99 is on {scene.topics.audit}" in done.err


async def test_show_of_an_unknown_event_exits_1_where_a_topic_is_missing(
    commands: Commands, topics: Topics
) -> None:
    elsewhere = {"COMPLETION_RELAY_TOPICS__PARKED": f"{topics.parked}.of-nobody"}
    done = await commands("audit", "show", "nobody", variables=elsewhere)
    assert (done.code, done.out) == (1, "")
    assert f"No undecided event was looked for on {topics.parked}.of-nobody" in done.err


async def test_show_of_an_unknown_event_exits_1_and_and_says_why_that_may_be(
    commands: Commands, topics: Topics
) -> None:
    done = await commands("audit", "show", "nobody")
    assert (done.code, done.out) == (1, "")
    assert f"No decision about event nobody is on {topics.audit}" in done.err
