"""`completion-relay emit`: what is published, and what becomes of it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from tests.integration.cli.conftest import Commands
from tests.integration.relay.waiting import Scene, relay
from tests.support import Topics, consume_all

from completion_schemas.cloudevents import decode_record
from completion_schemas.events import Completed, CompletionEvent, Failed
from completion_schemas.tokens import token_fingerprint

BY_IDS = ("--workflow-id", "w", "--run-id", "r", "--activity-id", "5", "--namespace", "default")


async def published(kafka: str, topics: Topics) -> tuple[CompletionEvent, bytes | None]:
    """Return the one event on the main topic, and its key."""
    (record,) = await consume_all(kafka, topics.completions)
    return decode_record(record.headers, record.value), record.key


@pytest.mark.parametrize("content_type", ["protobuf", "json", "avro"])
async def test_an_event_by_ids_is_published_in_each_encoding(
    commands: Commands, topics: Topics, kafka_address: str, content_type: str
) -> None:
    done = await commands(
        "emit", *BY_IDS, "--result", '{"ok": true}', "--content-type", content_type, "--json"
    )
    assert done.code == 0, done.err
    (shown,) = done.objects
    event, key = await published(kafka_address, topics)
    assert isinstance(event.outcome, Completed)
    (payload,) = event.outcome.result.payloads
    assert (payload.metadata["encoding"], json.loads(payload.data)) == (b"json/plain", {"ok": True})
    assert shown["event_id"] == event.event_id
    assert (shown["topic"], shown["offset"]) == (topics.completions, 0)
    assert key == b"default/w/5"


@pytest.mark.parametrize("written", ["base64", "raw"])
async def test_a_token_from_a_file_is_sent_and_never_shown(
    commands: Commands, topics: Topics, kafka_address: str, tmp_path: Path, written: str
) -> None:
    token = b"\x0a\x24" + b"nobody-may-see-this" * 5
    encoded = base64.b64encode(token)
    file = tmp_path / "token"
    file.write_bytes(encoded if written == "base64" else token)
    done = await commands("emit", "--token-file", str(file), "--failure", "no")
    assert done.code == 0, done.err
    event, key = await published(kafka_address, topics)
    assert event.activity.token_bytes() == token
    assert isinstance(event.outcome, Failed)
    assert key == token_fingerprint(token).encode()
    assert token_fingerprint(token) in done.out
    assert encoded.decode()[:24] not in done.out + done.err
    assert "nobody" not in done.out + done.err


async def test_the_event_id_may_be_given(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    await commands("emit", *BY_IDS, "--cancel", "--event-id", "mine")
    event, _ = await published(kafka_address, topics)
    assert event.event_id == "mine"


async def test_an_event_larger_than_the_topic_takes_is_one_line(
    commands: Commands, topics: Topics, kafka_address: str, tmp_path: Path
) -> None:
    large = tmp_path / "large.json"
    large.write_text(json.dumps("x" * 5_000_000))
    done = await commands("emit", *BY_IDS, "--result-file", str(large))
    assert done.code == 2
    assert "relay.max_message_bytes" in done.err
    assert done.err.count("\n") == 1
    assert await consume_all(kafka_address, topics.completions) == []


async def test_wait_tells_the_disposition_and_exits_0_when_it_is_applied(
    commands: Commands, scene: Scene
) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        done = await commands(
            "emit",
            "--token-file",
            "-",
            "--result",
            '"by hand"',
            "--wait",
            "30",
            "--json",
            stdin=reference.task_token.encode(),
        )
        assert done.code == 0, done.out + done.err
        assert await handle.result() == "by hand"
        (shown,) = done.objects
        assert shown["disposition"] == "applied"
        again = await commands(
            "emit",
            "--token-file",
            "-",
            "--result",
            '"by hand"',
            "--wait",
            "30",
            "--event-id",
            shown["event_id"],
            stdin=reference.task_token.encode(),
        )
    assert again.code == 1
    assert "duplicate" in again.out


async def test_wait_exits_1_when_nobody_decides_in_time(commands: Commands) -> None:
    done = await commands("emit", *BY_IDS, "--heartbeat", "--wait", "0.2")
    assert done.code == 1
    assert "not decided in time" in done.out
    assert not done.err
