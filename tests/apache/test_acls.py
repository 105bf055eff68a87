"""`check` on an Apache Kafka with ACLs: what this user lacks is named, and nothing else is."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from tests.apache.kafka import ApacheKafka
from tests.integration.cli.conftest import Commands, configuration
from tests.integration.cli.trail import decision, write
from tests.support import Topics, consume_all, create_topics, eventually

from completion_relay.cli.check_operator import Kind, Right, rights
from completion_relay.settings import Settings

# Each of many commands is a process of its own, and so is the broker.
pytestmark = pytest.mark.timeout(400)

ANN, PASSWORD = "ann", "her-own"
_RESOURCES = {
    Kind.READ: (2, 3),
    Kind.WRITE: (2, 3),
    Kind.DESCRIBE_GROUP: (3, 3),
    Kind.READ_GROUPS: (3, 4),
    Kind.TRANSACTIONS: (5, 4),
}
"""Kafka's numbers of the resource's type, and of its name being the whole (3) or its beginning (4)."""
_OPERATIONS = {"Read": 3, "Write": 4, "Describe": 8}
_ALLOW = 3


@dataclass(frozen=True, slots=True)
class Place:
    """A Kafka on which `ann` may do what she is allowed, and the commands as she types them."""

    kafka: ApacheKafka
    topics: Topics
    commands: Commands
    settings: Settings

    async def allow(self, allowed: Iterable[Right]) -> None:
        """Allow her this, and return when the broker knows."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.address)
        await admin.start()
        try:
            for right in allowed:
                kind, whole = _RESOURCES[right.kind]
                operation = _OPERATIONS[right.kind.split()[0]]
                request = CreateAclsRequest(
                    kind, right.name, whole, f"User:{ANN}", "*", operation, _ALLOW
                )
                answer = await admin._send_request(request)
                assert [one[0] for one in answer.creation_responses] == [0], answer
        finally:
            await admin.close()

    async def marks(self) -> dict[str, str]:
        """Return what `check --operator` says of each command, and why."""
        done = await self.commands("check", "--operator", "--json")
        return {
            found["check"]: found["status"] if found["status"] == "ok" else found["detail"]
            for found in done.objects
            if found["check"] in rights(self.settings)
        }


@pytest.fixture
async def place(temporal_address: str, tmp_path: Path) -> AsyncIterator[Place]:
    topics = Topics.unique()
    async with contextlib.AsyncExitStack() as opened:
        cluster = ApacheKafka(tmp_path / "kafka", users={ANN: PASSWORD})
        await opened.enter_async_context(cluster)
        await create_topics(cluster.address, list(topics.max_message_bytes()))
        address = cluster.nodes[0].address_of_users
        config = tmp_path / "ann.toml"
        log_in = (
            f'bootstrap_servers = "{address}"\nsecurity_protocol = "SASL_PLAINTEXT"\n'
            f'sasl_username = "{ANN}"\nsasl_password = "{PASSWORD}"'
        )
        text = configuration(address, temporal_address, topics)
        config.write_text(text.replace(f'bootstrap_servers = "{address}"', log_in))
        settings = Settings.model_validate(
            {
                "kafka": {"group_id": f"{topics.completions}.group"},
                "topics": {
                    name: getattr(topics, name)
                    for name in ("completions", "audit", "dead_letter", "parked")
                },
            }
        )
        yield Place(cluster, topics, Commands(config), settings)


async def test_each_command_may_be_used_once_what_it_needs_is_allowed(place: Place) -> None:
    """One after the other: what is allowed for the last one is enough for no other by accident."""
    needs = rights(place.settings)
    before = await place.marks()
    assert before.keys() == needs.keys()
    for command, lacking in needs.items():
        assert before[command] == f"may not be used: no {', '.join(map(str, lacking))}"
    allowed: set[Right] = set()
    for of_command in needs.values():
        await place.allow(set(of_command) - allowed)
        allowed |= set(of_command)
        await granted(place, allowed)
    done = await place.commands("check", "--operator")
    assert done.code == 0, done.out
    for topic in (place.topics.completions, place.topics.parked):
        assert await consume_all(place.kafka.address, topic) == []


async def granted(place: Place, allowed: set[Right]) -> None:
    """Return once the marks are what these rights come to: a broker hears of an ACL a little later."""
    expected = {command: set(of) <= allowed for command, of in rights(place.settings).items()}

    async def so() -> bool:
        found = await place.marks()
        return {command: mark == "ok" for command, mark in found.items()} == expected

    await eventually(so, timeout=60, what=f"{sorted(map(str, allowed))} being granted")


async def test_what_is_promised_to_an_operator_is_enough(place: Place) -> None:
    """The commands themselves, with what `check --operator` asks for and no more."""
    allowed = {right for of in rights(place.settings).values() for right in of}
    await place.allow(allowed)
    await granted(place, allowed)
    emitted = await place.commands(
        *("emit", "--workflow-id", "w", "--run-id", "r", "--activity-id", "1", "--result", "1"),
        *("--event-id", "e-1", "--namespace", "default"),
    )
    assert emitted.code == 0, emitted.err
    by = ("--by", "ann", "--why", "ticket 7", "--yes", "--wait", "0")
    for args in (
        ("park", "e-1", *by),
        ("skip", "e-1", *by),
        ("replay", "--event-id", "e-1", "--look-ups", "0"),
        ("replay", "--from", "1h", "--yes", "--look-ups", "0"),
        ("replay", "--dead-letters"),
        ("audit", "list"),
        ("status",),
    ):
        done = await place.commands(*args)
        assert "Authorization" not in done.err + done.out, (args, done.err)
        assert "may not" not in done.err + done.out, (args, done.err)
        if args[0] in ("park", "skip") or "--yes" in args:
            assert done.code == 0, (args, done.err)


async def test_who_is_a_relay_and_may_not_is_told_with_the_right(place: Place) -> None:
    """Of the relay's own rights: the group, and what it writes."""
    await place.allow(rights(place.settings)["status"])
    found = {f["check"]: f for f in (await place.commands("check", "--json")).objects}
    assert found["group"]["status"] == "failed"
    assert found["group"]["fix"] == "allow it Read and Describe on the group (kafka.group_id)"


async def test_who_may_read_the_trail_alone_is_told_what_of_a_story_was_not_read(
    place: Place,
) -> None:
    await write(place.kafka.address, place.topics, decision("e-1", topic=place.topics.completions))
    of_trail = rights(place.settings)["audit"]
    await place.allow(of_trail)
    await granted(place, set(of_trail))
    done = await place.commands("audit", "show", "e-1", "--no-temporal")
    assert done.code == 0, done.err
    assert "applied" in done.out
    assert (
        f"The event's own record was not read: topic {place.topics.completions} is not there, or this "
        "user may not see it."
    ) in done.err
    for topic in (place.topics.completions, place.topics.parked):
        assert f"No undecided event was looked for on {topic}: " in done.err
