"""Room `cli`: what `check --operator` asks Kafka: which commands this user may use. Touches Kafka; writes nothing.

Kafka looks at rights before anything else. So each right is asked for with a request that
comes to nothing where it is granted: to read, or to write, a partition that no topic has.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest

from completion_relay.cli.check_kafka import CREATE, cluster_finding, may_join
from completion_relay.cli.findings import Finding, Status
from completion_relay.cli.reach import REQUEST_TIMEOUT_MS, reaching_kafka
from completion_relay.connections import kafka_options
from completion_relay.replay.checkpoint import group_of, transactional_id_of
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicAdmin
from completion_schemas.errors import CompletionError

_NOWHERE: Final = 2**31 - 1
"""A partition that no topic has: of one that may be read or written it is said that it is unknown."""


class Kind(StrEnum):
    """A right, as Kafka's ACLs have it."""

    READ = "Read on topic"
    WRITE = "Write on topic"
    DESCRIBE_GROUP = "Describe on group"
    READ_GROUPS = "Read on groups that begin with"
    TRANSACTIONS = "Write on transactional ids that begin with"


@dataclass(frozen=True, slots=True)
class Right:
    """What a user may have to be allowed."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def rights(settings: Settings) -> Mapping[str, tuple[Right, ...]]:
    """Return what each of the operators' commands needs of Kafka.

    Args:
        settings: Group and topics.
    """
    topics = settings.topics
    group = Right(Kind.DESCRIBE_GROUP, settings.kafka.group_id)
    events, parked, trail, letters = (
        Right(Kind.READ, name)
        for name in (topics.completions, topics.parked, topics.audit, topics.dead_letter)
    )
    write_events = Right(Kind.WRITE, topics.completions)
    sends = (
        write_events,
        Right(Kind.TRANSACTIONS, transactional_id_of("")),
        Right(Kind.READ_GROUPS, group_of("")),
    )
    return {
        "status": (group, events, parked),
        "audit": (trail,),
        "audit show, report": (trail, group, events, parked),
        "skip, park": (group, events, parked, trail, Right(Kind.WRITE, topics.parked)),
        "replay": (events, trail, *sends),
        "replay --dead-letters": (letters, trail, *sends),
        "emit": (write_events,),
        "emit --wait": (write_events, trail),
    }


async def operator_findings(settings: Settings) -> AsyncIterator[Finding]:
    """Yield of each command whether this user may use it."""
    commands, events = rights(settings), settings.topics.completions
    options = {**kafka_options(settings.kafka), "request_timeout_ms": REQUEST_TIMEOUT_MS}
    async with contextlib.AsyncExitStack() as opened:
        try:
            with reaching_kafka(settings.kafka):
                admin = await opened.enter_async_context(TopicAdmin.connected(options))
                found = await cluster_finding(settings, admin)
                there = (await admin.states(settings.topics.names())).keys()
                needed = {right for needs in commands.values() for right in needs}
                denied = {right for right in needed if not await _is_granted(admin, right, events)}
        except CompletionError as error:
            yield Finding("kafka", Status.FAILED, str(error))
            for command in commands:
                yield Finding(command, Status.SKIPPED, "needs Kafka")
            return
    yield found
    for command, needs in commands.items():
        yield command_finding(command, needs, denied=denied, there=there)


def command_finding(
    command: str, needs: Iterable[Right], *, denied: Iterable[Right], there: Iterable[str]
) -> Finding:
    """Return whether a command may be used.

    Args:
        command: Its name.
        needs: What it needs.
        denied: What this user is not allowed.
        there: The topics that may be seen.
    """
    lacking = [right for right in needs if right in denied]
    if lacking:
        named = ", ".join(map(str, lacking))
        return Finding(
            command, Status.FAILED, f"may not be used: no {named}", "allow this user that"
        )
    gone = sorted(
        {right.name for right in needs if right.kind in (Kind.READ, Kind.WRITE)} - set(there)
    )
    if gone:
        return Finding(command, Status.FAILED, f"topic {', '.join(gone)} is not there", CREATE)
    return Finding(command, Status.OK, "may be used")


async def _is_granted(admin: TopicAdmin, right: Right, events: str) -> bool:
    """Ask for what needs this right and comes to nothing.

    Raises:
        KafkaError: Kafka answers otherwise than yes or no.
    """
    name = right.name
    match right.kind:
        case Kind.READ:
            return _is_yes(
                await _sent(admin, FetchRequest(0, 1, 1, 1, [(name, [(_NOWHERE, 0, 1)])]))
            )
        case Kind.WRITE:
            nothing = [(name, [(_NOWHERE, b"")])]
            return _is_yes(
                await _sent(admin, ProduceRequest(None, -1, REQUEST_TIMEOUT_MS, nothing))
            )
        case Kind.TRANSACTIONS:
            adding = AddPartitionsToTxnRequest(f"{name}check", 0, 0, [(events, [_NOWHERE])])
            # Looked at before the topic: whether that may be written to is asked by itself.
            return await _sent(admin, adding) is not TransactionalIdAuthorizationFailed
        case Kind.DESCRIBE_GROUP:
            try:
                await admin.client.find_coordinator(name)
            except GroupAuthorizationFailedError:
                return False
            return True
        case Kind.READ_GROUPS:
            return await may_join(admin, f"{name}check")


def _is_yes(answer: type[KafkaError]) -> bool:
    if answer not in {TopicAuthorizationFailedError, UnknownTopicOrPartitionError}:
        raise answer
    return answer is UnknownTopicOrPartitionError


async def _sent(admin: TopicAdmin, request: Any) -> type[KafkaError]:
    """Return what is answered of the one partition that a request names."""
    answer = await admin.client._send_request(request)  # noqa: SLF001 - aiokafka offers no other way
    topics = answer.errors if isinstance(request, AddPartitionsToTxnRequest) else answer.topics
    ((_, ((_, code, *_),)),) = topics
    error: type[KafkaError] = for_code(code)
    return error
