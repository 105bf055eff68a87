"""`completion-relay check` on a real broker and a real Temporal server."""

from __future__ import annotations

import asyncio

from tests.integration.cli.conftest import Commands
from tests.integration.relay.waiting import Scene, relay
from tests.support import Topics, consume_all, create_topics

from completion_relay.embedded.process import free_port


async def test_everything_right_is_one_mark_a_line_and_exit_0(commands_before: Commands) -> None:
    await commands_before("topics", "create", "--partitions", "2")
    done = await commands_before("check")
    assert done.code == 0, done.out
    assert not done.err
    marks = [line[0] for line in done.out.split("\n\n")[0].splitlines()]
    assert set(marks) <= {"✓", "!"}
    for check in ("settings", "kafka", "group", "read", "write", "clock", "temporal"):
        assert f"✓ {check} " in done.out
    assert "✓ namespace default" in done.out
    assert "takes results of up to 2 MiB" in done.out
    assert "✓ complete in default" in done.out


async def test_it_leaves_nothing_behind_that_a_reader_sees(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    done = await commands("check", "--json")
    written = [finding for finding in done.objects if finding["check"] == "write"]
    assert [finding["status"] for finding in written] == ["ok"]
    for topic in (topics.audit, topics.dead_letter, topics.parked, topics.signals):
        assert await consume_all(kafka_address, topic) == []


async def test_missing_topics_fail_it_with_the_command_that_mends_it(
    commands_before: Commands, new_topics: Topics
) -> None:
    done = await commands_before("check", "--json")
    assert done.code == 1
    found = {finding["check"]: finding for finding in done.objects}
    for topic in new_topics.max_message_bytes():
        assert found[f"topic {topic}"]["status"] == "failed"
        assert "completion-relay topics create" in found[f"topic {topic}"]["fix"]
    assert found["write"]["status"] == "skipped"
    assert found["temporal"]["status"] == "ok"


async def test_a_compacted_topic_and_a_small_dead_letter_topic_fail_it(
    commands_before: Commands, new_topics: Topics, kafka_address: str
) -> None:
    await create_topics(
        kafka_address,
        {
            topic: {"cleanup.policy": "compact"} if topic == new_topics.completions else {}
            for topic in new_topics.max_message_bytes()
        },
    )
    done = await commands_before("check", "--json")
    assert done.code == 1
    failed = [finding["detail"] for finding in done.objects if finding["status"] == "failed"]
    assert [detail.split(" ")[0] for detail in failed] == ["cleanup.policy", "takes"]


async def test_a_namespace_that_is_not_there_fails_it(commands: Commands) -> None:
    variable = {"COMPLETION_RELAY_TEMPORAL__NAMESPACES": '["default", "nowhere"]'}
    commands.config.write_text(
        commands.config.read_text().replace('namespaces = ["default"]\n', "")
    )
    done = await commands("check", "--json", variables=variable)
    assert done.code == 1
    found = {
        finding["check"]: finding for finding in done.objects if finding["status"] != "warning"
    }
    assert found["namespace default"]["status"] == "ok"
    assert found["namespace nowhere"]["status"] == "failed"
    assert "complete in nowhere" not in found


async def test_each_cluster_is_told_by_its_name(commands: Commands, temporal_address: str) -> None:
    """One that is away hides nothing of the others."""
    with commands.config.open("a") as config:
        config.write(
            f'[[temporal.clusters]]\nname = "west"\naddress = "{temporal_address}"\n'
            'namespaces = ["default", "nowhere"]\n'
            '[[temporal.clusters]]\nname = "away"\naddress = "127.0.0.1:1"\n'
            'namespaces = ["default"]\n'
        )
    done = await commands("check", "--json")
    assert done.code == 1
    found = {
        finding["check"]: finding for finding in done.objects if finding["status"] != "warning"
    }
    for check in ("temporal", "temporal west", "namespace west/default", "look in west/default"):
        assert found[check]["status"] == "ok"
    assert found["complete in west/default"]["status"] == "ok"
    assert found["namespace west/nowhere"]["status"] == "failed"
    assert "namespaces of cluster west" in found["namespace west/nowhere"]["fix"]
    assert found["temporal away"]["status"] == "failed"
    assert "[[temporal.clusters]] away" in found["temporal away"]["detail"]
    assert found["namespace away/default"]["status"] == "skipped"


async def test_a_wrong_cluster_is_one_line_with_the_fix(commands: Commands) -> None:
    with commands.config.open("a") as config:
        config.write('[[temporal.clusters]]\nname = "west"\naddress = "127.0.0.1:1"\n')
    done = await commands("check")
    assert done.code == 2
    assert "[[temporal.clusters]] west: serves no namespace: set its namespaces" in done.err


async def test_kafka_where_temporal_should_be_is_one_line(
    commands: Commands, kafka_address: str
) -> None:
    done = await commands("check", "--temporal", kafka_address, "--json")
    assert done.code == 1
    (failed,) = [finding for finding in done.objects if finding["status"] == "failed"]
    assert failed["detail"].startswith(f"Temporal at {kafka_address} cannot be reached: ")
    assert "\n" not in failed["detail"]


async def test_temporal_where_kafka_should_be_is_one_line(
    commands: Commands, temporal_address: str
) -> None:
    done = await commands("check", "--kafka", temporal_address, "--json")
    assert done.code == 1
    (failed,) = [finding for finding in done.objects if finding["status"] == "failed"]
    assert failed["detail"].startswith(f"Kafka at {temporal_address} cannot be reached: ")
    assert not done.err


async def test_it_runs_beside_a_relay_without_disturbing_its_group(
    commands: Commands, scene: Scene
) -> None:
    async with relay(scene.settings(kafka={"group_id": f"{scene.topics.completions}.group"})):
        first, second = await asyncio.gather(
            commands("check", "--json"), commands("check", "--json")
        )
    for done in (first, second):
        (group,) = [finding for finding in done.objects if finding["check"] == "group"]
        assert group["status"] == "ok"
        assert "1 member, Stable" in group["detail"]


async def test_an_operator_is_told_of_each_command_and_nothing_is_written(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    """Where a broker has no ACLs everybody may do everything."""
    done = await commands("check", "--operator", "--json")
    assert done.code == 0, done.out
    found = {finding["check"]: finding["status"] for finding in done.objects}
    for command in ("status", "audit", "skip, park", "replay", "replay --dead-letters", "emit"):
        assert found[command] == "ok"
    assert found["look in default"] == "ok"
    assert found.keys().isdisjoint({"group", "write", "complete in default"})
    for topic in topics.max_message_bytes():
        assert await consume_all(kafka_address, topic) == []


async def test_an_operator_is_told_of_a_topic_that_is_not_there(commands_before: Commands) -> None:
    done = await commands_before("check", "--operator", "--json")
    assert done.code == 1
    found = {finding["check"]: finding for finding in done.objects}
    assert "is not there" in found["audit"]["detail"]
    assert found["audit"]["fix"] == "run `completion-relay topics create`"


async def test_an_operator_is_warned_of_a_temporal_that_is_away(commands: Commands) -> None:
    """Most of the commands need Kafka alone: they may be used meanwhile."""
    nowhere = f"127.0.0.1:{free_port()}"
    done = await commands("check", "--operator", "--json", "--temporal", nowhere)
    assert done.code == 0, done.out
    found = {finding["check"]: finding for finding in done.objects}
    assert found["temporal"]["status"] == "warning"
    assert nowhere in found["temporal"]["detail"]
    assert found["namespace default"]["status"] == "skipped"
    assert found["replay"]["status"] == "ok"
    relays = await commands("check", "--json", "--temporal", nowhere)
    assert relays.code == 1
