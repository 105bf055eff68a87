"""`completion-relay topics create` on a real broker."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.integration.cli.conftest import Commands
from tests.support import Topics, create_topics, produce

from completion_relay.topic_admin import TopicAdmin
from completion_relay.topics import TopicSpec, TopicState


async def configs(kafka: str, topic: str) -> dict[str, str]:
    """Return what is set on the topic itself."""
    async with TopicAdmin.connected({"bootstrap_servers": kafka}) as admin:
        return dict((await admin.states([topic]))[topic].own)


async def test_the_five_topics_are_created_with_the_settings_they_need(
    commands_before: Commands, new_topics: Topics, kafka_address: str
) -> None:
    done = await commands_before("topics", "create", "--partitions", "3", "--json")
    assert done.code == 0, done.err
    made = {topic["topic"]: topic for topic in done.objects}
    assert set(made) == set(new_topics.max_message_bytes())
    assert {topic["action"] for topic in made.values()} == {"created"}
    assert {topic["partitions"] for topic in made.values()} == {3}
    assert await configs(kafka_address, new_topics.dead_letter) == {
        "cleanup.policy": "delete",
        "compression.type": "producer",
        "max.message.bytes": str(5 * 1024 * 1024),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "1",
        "retention.ms": str(90 * 86_400_000),
        "unclean.leader.election.enable": "false",
    }


async def test_a_broker_that_has_not_heard_of_a_new_topic_is_asked_again(
    kafka_address: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White-box: one of three brokers did not show a topic that another had shown."""
    asked: list[set[str]] = []
    states = TopicAdmin.states

    async def late(self: TopicAdmin, names: Iterable[str]) -> dict[str, TopicState]:
        asked.append(set(names))
        return {} if len(asked) == 1 else await states(self, names)

    monkeypatch.setattr(TopicAdmin, "states", late)
    async with TopicAdmin.connected({"bootstrap_servers": kafka_address}) as admin:
        assert set(await admin.all_states([topics.audit])) == {topics.audit}
    assert len(asked) == 2


async def test_a_single_broker_is_told_to_be_for_development_only(
    commands_before: Commands,
) -> None:
    done = await commands_before("topics", "create")
    assert done.code == 0, done.err
    assert "5 of 5 topics have fewer than 3 replicas" in done.out
    assert "development only" in done.out


async def test_a_second_run_changes_nothing(commands_before: Commands) -> None:
    await commands_before("topics", "create", "--partitions", "3")
    again = await commands_before("topics", "create", "--partitions", "5", "--json")
    assert again.code == 0, again.err
    assert {topic["action"] for topic in again.objects} == {"there already"}
    assert {topic["partitions"] for topic in again.objects} == {3}


async def test_an_existing_topic_is_left_and_what_is_wrong_with_it_is_said(
    commands_before: Commands, new_topics: Topics, kafka_address: str
) -> None:
    await create_topics(kafka_address, {new_topics.audit: {"retention.ms": "3600000"}})
    done = await commands_before("topics", "create")
    assert done.code == 0, done.err
    assert f"! {new_topics.audit}: retention.ms is 3600000, should be 31536000000" in done.out
    assert "--alter" in done.err
    assert (await configs(kafka_address, new_topics.audit))["retention.ms"] == "3600000"


async def test_alter_mends_what_is_wrong_and_keeps_what_is_more(
    commands_before: Commands, new_topics: Topics, kafka_address: str
) -> None:
    """The topic's other own settings survive, which Kafka's AlterConfigs alone would reset."""
    await create_topics(
        kafka_address,
        {
            new_topics.completions: {
                "retention.ms": "3600000",
                "max.message.bytes": "9000000",
                "segment.ms": "7200000",
            }
        },
    )
    done = await commands_before("topics", "create", "--alter", "--json")
    assert done.code == 0, done.err
    (altered,) = [topic for topic in done.objects if topic["action"] == "altered"]
    assert altered["topic"] == new_topics.completions
    assert {difference["setting"] for difference in altered["differences"]} <= {
        "replication.factor"
    }
    after = await configs(kafka_address, new_topics.completions)
    assert after["retention.ms"] == str(30 * 86_400_000)
    assert after["max.message.bytes"] == "9000000"
    assert after["segment.ms"] == "7200000"


async def test_more_replicas_than_brokers_is_refused_in_one_line_a_topic(
    commands_before: Commands, new_topics: Topics
) -> None:
    done = await commands_before("topics", "create", "--replication-factor", "9")
    assert done.code == 2
    lines = done.err.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith(f"error: topic {new_topics.completions}: InvalidReplicationFactor:")


async def test_asking_for_a_topic_does_not_create_it(kafka_address: str) -> None:
    """Kafka creates a topic whose metadata is asked for by name; asking here must not."""
    async with TopicAdmin.connected({"bootstrap_servers": kafka_address}) as admin:
        assert await admin.states(["nobody-created-this"]) == {}
        assert await admin.states(["nobody-created-this"]) == {}


async def test_creating_a_topic_that_is_there_already_leaves_it(
    topics: Topics, kafka_address: str
) -> None:
    """Two people may run it at once: what the other one created is no error."""
    await produce(kafka_address, topics.audit, b"kept")
    async with TopicAdmin.connected({"bootstrap_servers": kafka_address}) as admin:
        before = await admin.partitions(topics.audit)
        await admin.create(
            [TopicSpec(topics.audit, 1, None)], partitions=before + 1, replication_factor=1
        )
        assert await admin.partitions(topics.audit) == before


@pytest.mark.parametrize(
    "command",
    [
        ("emit", "--workflow-id", "w", "--run-id", "r", "--activity-id", "5", "--cancel"),
        ("audit", "list"),
    ],
    ids=["emit", "audit list"],
)
async def test_a_missing_topic_is_one_line_and_is_not_created(
    commands_before: Commands, new_topics: Topics, kafka_address: str, command: tuple[str, ...]
) -> None:
    done = await commands_before(*command)
    assert done.code == 2
    missing = new_topics.audit if "audit" in command else new_topics.completions
    assert done.err.startswith(f"error: topic {missing} is not there")
    assert "completion-relay topics create" in done.err
    assert done.err.count("\n") == 1
    async with TopicAdmin.connected({"bootstrap_servers": kafka_address}) as admin:
        assert await admin.states([missing]) == {}


async def test_a_topic_of_the_pair_gets_as_many_partitions_as_the_other_has(
    commands_before: Commands, new_topics: Topics, kafka_address: str
) -> None:
    """A relay refuses to start where events and parked ones differ."""
    await create_topics(kafka_address, [new_topics.completions], partitions=2)
    done = await commands_before("topics", "create", "--partitions", "3", "--json")
    assert done.code == 0, done.err
    partitions = {topic["topic"]: topic["partitions"] for topic in done.objects}
    assert partitions == dict.fromkeys(new_topics.max_message_bytes(), 3) | {
        new_topics.completions: 2,
        new_topics.parked: 2,
    }


async def test_topics_of_the_pair_that_differ_are_told(
    commands_before: Commands, new_topics: Topics, kafka_address: str
) -> None:
    await create_topics(kafka_address, [new_topics.completions], partitions=2)
    await create_topics(kafka_address, [new_topics.parked], partitions=3)
    done = await commands_before("topics", "create")
    assert done.code == 0, done.err
    assert f"! {new_topics.completions} has 2 partitions and {new_topics.parked} has 3" in done.out
    checked = await commands_before("check", "--json")
    assert checked.code == 1
    (found,) = [one for one in checked.objects if one["check"] == "partitions"]
    assert found["status"] == "failed"
    assert f"add partitions to {new_topics.completions}" in found["fix"]
