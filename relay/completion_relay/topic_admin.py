"""Room `topics`: describes, creates and alters topics. Touches aiokafka's admin client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from completion_relay.connections import kafka_options
from completion_relay.patient_admin import PatientAdmin
from completion_relay.settings import Settings
from completion_relay.topics import DEFAULT_PARTITIONS, TopicSpec, TopicState, topic_specs
from completion_schemas.errors import CompletionError

_VISIBLE_WITHIN: Final = 15.0
_SET_ON_TOPIC: Final = 1
"""Kafka's ConfigSource DYNAMIC_TOPIC_CONFIG: set on the topic itself, not inherited."""


class TopicError(CompletionError):
    """Kafka refused to create, describe or alter a topic; one line for each topic."""


class TopicAdmin:
    """Describes, creates and alters topics."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take what `connections.kafka_options` returns; connect to nothing."""
        self._admin = PatientAdmin(**options)

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, options: Mapping[str, Any]) -> AsyncIterator[TopicAdmin]:
        """Connect for the length of the context.

        Raises:
            KafkaConnectionError: no bootstrap server could be reached.
        """
        self = cls(options)
        try:
            await self._admin.start()
            yield self
        finally:
            await self._admin.close()

    @property
    def client(self) -> PatientAdmin:
        """The admin client underneath."""
        return self._admin

    async def cluster(self) -> tuple[str, int]:
        """Return the cluster's id and how many brokers it has."""
        described = await self._admin.describe_cluster()
        return str(described.get("cluster_id") or ""), len(described["brokers"])

    async def partitions(self, name: str) -> int:
        """Return how many partitions a topic has.

        Raises:
            TopicError: it is not there, or may not be seen.
        """
        for topic in await self._described({name}):
            return len(topic["partitions"])
        raise TopicError(
            f"topic {name} is not there, or this user may not see it: create it with "
            "`completion-relay topics create`, or name another in the section [topics]"
        )

    async def states(self, names: Iterable[str]) -> dict[str, TopicState]:
        """Return the state of those of the topics that are there and may be seen.

        Raises:
            TopicError: a topic's metadata cannot be had.
        """
        topics = await self._described(set(names))
        configs = await self._configs([topic["topic"] for topic in topics])
        return {
            topic["topic"]: TopicState(
                name=topic["topic"],
                partitions=len(topic["partitions"]),
                replication_factor=min(
                    (len(partition["replicas"]) for partition in topic["partitions"]), default=0
                ),
                configs={name: value for name, (value, _) in configs[topic["topic"]].items()},
                own={name: v for name, (v, own) in configs[topic["topic"]].items() if own},
            )
            for topic in topics
        }

    async def all_states(self, names: Iterable[str]) -> dict[str, TopicState]:
        """Return the state of all the topics, which are there: each broker hears of a new one when it does.

        Raises:
            TopicError: one is not shown in time, or its metadata cannot be had.
        """
        wanted = set(names)
        found: dict[str, TopicState] = {}

        async def shown() -> set[str]:
            found.update(await self.states(wanted))
            return set(found)

        await _until(shown, wanted, "there, but not shown by every broker")
        return found

    async def create(
        self, specs: Sequence[TopicSpec], *, partitions: int, replication_factor: int
    ) -> None:
        """Create topics and wait until the cluster shows them; one that is there already is left.

        Raises:
            TopicError: Kafka refused one, or did not show it in time.
        """
        response = await self._admin.create_topics(
            [
                NewTopic(
                    spec.name,
                    partitions,
                    replication_factor,
                    topic_configs=spec.configs(replication_factor),
                )
                for spec in specs
            ]
        )
        failed = [
            f"topic {name}: {_reason(code, *rest)}"
            for name, code, *rest in response.topic_errors
            if code not in {0, TopicAlreadyExistsError.errno}
        ]
        if failed:
            raise TopicError("\n".join(failed))
        await self._wait_until_led({spec.name for spec in specs})

    async def alter(self, state: TopicState, changes: Mapping[str, str]) -> None:
        """Change settings of a topic and wait until the cluster shows them.

        Kafka's AlterConfigs, the only one aiokafka has, resets what it is not
        told (seen on two brokers), so the topic's other own settings go with it.

        Raises:
            TopicError: Kafka refused it.
        """
        configs = {**state.own, **changes}
        responses = await self._admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, state.name, configs)]
        )
        for response in responses:
            for code, message, *_ in response.resources:
                if code:
                    raise TopicError(f"topic {state.name}: {_reason(code, message)}")

        async def shown() -> set[str]:
            configs = (await self._configs([state.name]))[state.name]
            return {
                name for name, wanted in changes.items() if configs.get(name, ("",))[0] == wanted
            }

        await _until(shown, set(changes), f"altered, but topic {state.name} does not show it")

    async def _described(self, names: set[str]) -> list[dict[str, Any]]:
        # Asking for all of them: to ask for one by its name creates it on a
        # broker with auto.create.topics.enable, which is Kafka's default (seen).
        topics = [t for t in await self._admin.describe_topics() if t["topic"] in names]
        failed = [
            f"topic {t['topic']}: {_reason(t['error_code'])}" for t in topics if t["error_code"]
        ]
        if failed:
            raise TopicError("\n".join(failed))
        return topics

    async def _configs(self, names: Sequence[str]) -> dict[str, dict[str, tuple[str, bool]]]:
        found: dict[str, dict[str, tuple[str, bool]]] = {name: {} for name in names}
        if not names:
            return found
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        for response in await self._admin.describe_configs(resources):
            for resource in response.to_object()["resources"]:
                if resource["error_code"]:
                    continue  # may not be read: states() shows it as empty
                found[resource["resource_name"]] = {
                    entry["config_names"]: (
                        str(entry["config_value"]),
                        entry.get("config_source") == _SET_ON_TOPIC,
                    )
                    for entry in resource["config_entries"]
                }
        return found

    async def _wait_until_led(self, names: set[str]) -> None:
        async def led() -> set[str]:
            return {
                topic["topic"]
                for topic in await self._admin.describe_topics()
                if topic["partitions"] and all(p["leader"] >= 0 for p in topic["partitions"])
            }

        await _until(led, names, "created, but without a leader")


async def _until(seen: Callable[[], Awaitable[set[str]]], wanted: set[str], problem: str) -> None:
    """Wait until all that is wanted is seen.

    Kafka acknowledges a change before every broker shows it (seen on Apache
    Kafka 4), and a command that follows at once would not find it.
    """
    give_up = time.monotonic() + _VISIBLE_WITHIN
    while missing := wanted - await seen():
        if time.monotonic() > give_up:
            raise TopicError(
                f"{problem} after {_VISIBLE_WITHIN:g} s: {', '.join(sorted(missing))}: check the "
                "brokers and run it again"
            )
        await asyncio.sleep(0.1)


def _reason(code: int, message: str | None = None, *_: object) -> str:
    error = for_code(code)
    return f"{error.__name__.removesuffix('Error')}: {message or error.description}"


async def create_topics(settings: Settings) -> None:
    """Create the five topics where they are missing, each with one copy: there is one broker.

    Raises:
        TopicError: Kafka refused one.
    """
    async with TopicAdmin.connected(kafka_options(settings.kafka)) as admin:
        await admin.create(
            topic_specs(settings), partitions=DEFAULT_PARTITIONS, replication_factor=1
        )
