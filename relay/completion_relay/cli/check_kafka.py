"""Room `cli`: what `check` asks Kafka. Touches Kafka; leaves nothing there that a reader sees."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalGenerationError,
    RebalanceInProgressError,
    TransactionalIdAuthorizationFailed,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.protocol.group import HeartbeatRequest

from completion_relay.cli.findings import Finding, Status
from completion_relay.cli.output import plural
from completion_relay.cli.reach import (
    REQUEST_TIMEOUT_MS,
    RefusedError,
    UnreachableError,
    reaching_kafka,
)
from completion_relay.connections import kafka_options
from completion_relay.odd_headers import read_odd_headers
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicAdmin
from completion_relay.topics import (
    REPLICATION,
    SAFE_REPLICATION,
    TopicSpec,
    TopicState,
    differences,
    partitions_apart,
    topic_specs,
)
from completion_schemas.errors import CompletionError

_CLOCK_TOLERANCE_MS: Final = 5_000
_LOG_APPEND_TIME: Final = 1
CREATE: Final = "run `completion-relay topics create`"
"""What mends a topic that is not there."""
_ALTER: Final = "run `completion-relay topics create --alter`"


async def kafka_findings(settings: Settings) -> AsyncIterator[Finding]:
    """Yield what is found, in the order in which one thing needs the other."""
    options = {**kafka_options(settings.kafka), "request_timeout_ms": REQUEST_TIMEOUT_MS}
    async with contextlib.AsyncExitStack() as opened:
        try:
            with reaching_kafka(settings.kafka):
                admin = await opened.enter_async_context(TopicAdmin.connected(options))
                reached = await cluster_finding(settings, admin)
                states = await admin.states(settings.topics.names())
        except CompletionError as error:
            yield Finding("kafka", Status.FAILED, str(error))
            for check in ("topics", "read", "write"):
                yield Finding(check, Status.SKIPPED, "needs Kafka")
            return
        yield reached
        for spec in topic_specs(settings):
            for finding in topic_findings(spec, states.get(spec.name)):
                yield finding
        if thin := replication_finding(states):
            yield thin
        if fits := dead_letters_fit(settings, states):
            yield fits
        if apart := partitions_finding(settings, states):
            yield apart
        yield await _probe(settings, "group", lambda: _group(settings, admin))
    if len(states) < len(settings.topics.names()):
        for check in ("read", "write"):
            yield Finding(check, Status.SKIPPED, "needs all five topics")
        return
    yield await _probe(settings, "read", lambda: _read(settings, options))
    for finding in await _write(settings, options):
        yield finding


async def cluster_finding(settings: Settings, admin: TopicAdmin) -> Finding:
    """Return which cluster was reached."""
    cluster, brokers = await admin.cluster()
    return Finding(
        "kafka",
        Status.OK,
        f"{settings.kafka.bootstrap_servers}: cluster {cluster}, {plural(brokers, 'broker')}",
    )


def topic_findings(spec: TopicSpec, state: TopicState | None) -> list[Finding]:
    """Return what is to be said of one topic: that it is there, and each setting that is not right."""
    check = f"topic {spec.name}"
    if state is None:
        return [Finding(check, Status.FAILED, "is not there, or may not be seen", CREATE)]
    shape = f"{plural(state.partitions, 'partition')}, replication {state.replication_factor}"
    if not state.configs:
        return [
            Finding(
                check,
                Status.WARNING,
                f"{shape}; its settings may not be read",
                "allow this user DescribeConfigs on it, or compare them with `kafka-configs`",
            )
        ]
    return [
        Finding(check, Status.OK, shape),
        *(
            Finding(
                check,
                Status.FAILED if difference.serious else Status.WARNING,
                f"{difference.setting} is {difference.actual}, should be {difference.wanted}: "
                f"{difference.danger}",
                _ALTER,
            )
            for difference in differences(spec, state)
            if difference.setting != REPLICATION
        ),
    ]


def replication_finding(states: Mapping[str, TopicState]) -> Finding | None:
    """Return the one warning about topics that a lost broker may take with it, if there are any."""
    thin = [s.name for s in states.values() if s.replication_factor < SAFE_REPLICATION]
    if not thin:
        return None
    return Finding(
        "replication",
        Status.WARNING,
        f"below {SAFE_REPLICATION} on {', '.join(thin)}: a lost broker may take acknowledged events "
        "with it",
        "on a cluster of three brokers or more raise it with `kafka-reassign-partitions`",
    )


def dead_letters_fit(settings: Settings, states: Mapping[str, TopicState]) -> Finding | None:
    """Return the failure that a record at the main topic's limit cannot be put aside, if so.

    The relay would try to write it for ever: nothing may be lost.
    """
    limits = {
        name: int(state.configs["max.message.bytes"])
        for name, state in states.items()
        if "max.message.bytes" in state.configs
    }
    main = limits.get(settings.topics.completions)
    for name in (settings.topics.dead_letter, settings.topics.parked):
        if main is not None and name in limits and limits[name] <= main:
            return Finding(
                f"topic {name}",
                Status.FAILED,
                f"takes records of {limits[name]} bytes, {settings.topics.completions} of {main}: "
                "one at that limit does not fit with its headers added, and holds up its partition",
                _ALTER,
            )
    return None


def partitions_finding(settings: Settings, states: Mapping[str, TopicState]) -> Finding | None:
    """Return the failure that a relay would refuse to start with these partitions, if so."""
    counts = {name: state.partitions for name, state in states.items()}
    problem = partitions_apart(settings.topics, counts)
    if problem is None:
        return None
    what, _, fix = problem.partition(": ")
    return Finding("partitions", Status.FAILED, what, fix)


async def _probe(settings: Settings, check: str, ask: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        with reaching_kafka(settings.kafka):
            return await ask()
    except (UnreachableError, RefusedError) as error:
        return Finding(check, Status.FAILED, str(error))


async def _group(settings: Settings, admin: TopicAdmin) -> Finding:
    group = settings.kafka.group_id
    if not await may_join(admin, group):
        return Finding(
            "group",
            Status.FAILED,
            f"this user may not join the group {group}",
            "allow it Read and Describe on the group (kafka.group_id)",
        )
    described = await admin.client.describe_consumer_groups([group])
    _, _, state, _, _, members = described[0].groups[0][:6]
    found = f"{plural(len(members), 'member')}, {state}" if members else "nobody is in it now"
    return Finding("group", Status.OK, f"{group} may be joined: {found}")


async def may_join(admin: TopicAdmin, group: str) -> bool:
    """Ask whether a group may be joined, without joining: that would disturb its members.

    A heartbeat of nobody needs the same right (Read on the group), and is
    answered with "unknown member" where it is granted.

    Raises:
        KafkaError: Kafka answers otherwise.
    """
    try:
        coordinator = await admin.client.find_coordinator(group)
        answer = await admin.client._send_request(  # noqa: SLF001 - aiokafka offers no other way
            HeartbeatRequest(group, 1, "completion-relay-check"), coordinator
        )
    except GroupAuthorizationFailedError:
        return False
    error = for_code(answer.error_code)
    if error is GroupAuthorizationFailedError:
        return False
    if error not in {UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError}:
        raise error
    return True


async def _read(settings: Settings, options: Mapping[str, Any]) -> Finding:
    names = (settings.topics.completions, settings.topics.parked)
    read_odd_headers()
    consumer = AIOKafkaConsumer(
        **options,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
    )
    try:
        await consumer.start()
        partitions = [TopicPartition(name, 0) for name in names]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        await consumer.getmany(timeout_ms=500)  # raises where Read on the topic is missing
    finally:
        await consumer.stop()
    return Finding("read", Status.OK, f"{' and '.join(names)} may be read")


async def _write(settings: Settings, options: Mapping[str, Any]) -> list[Finding]:
    """Write a record to each topic the relay writes to, in a transaction that is aborted.

    No reader with `read_committed` sees it, and that is how they are read (contract section 2).
    """
    topics = settings.topics
    names = (topics.audit, topics.dead_letter, topics.parked, topics.signals)
    # One id for all, so that the broker keeps one entry; it begins as the relay's own do.
    transactional_id = f"completion-relay/{settings.kafka.group_id}/check"
    producer = AIOKafkaProducer(**options, transactional_id=transactional_id)
    clock: list[Finding] = []

    async def write() -> Finding:
        try:
            await producer.start()
            await producer.begin_transaction()
            try:
                for name in names:
                    before = time.time_ns()
                    sent = await producer.send_and_wait(name, b"completion-relay check")
                    if sent.timestamp_type == _LOG_APPEND_TIME and not clock:
                        clock.append(clock_finding(before, time.time_ns(), sent.timestamp))
            finally:
                await producer.abort_transaction()
        except TransactionalIdAuthorizationFailed:
            return Finding(
                "write",
                Status.FAILED,
                f"this user may not use the transactional id {transactional_id}, and no other of a "
                "relay's: what it decides is written in transactions",
                "allow it Write and Describe on transactional ids that begin with completion-relay/",
            )
        finally:
            await producer.stop()
        return Finding("write", Status.OK, f"{', '.join(names)} may be written to")

    written = await _probe(settings, "write", write)
    return [written, *clock]


def clock_finding(before_ns: int, after_ns: int, broker_ms: int) -> Finding:
    """Return how far this machine's clock is from the broker's, which stamped a record in between."""
    apart = 0
    if broker_ms < before_ns // 10**6:
        apart = before_ns // 10**6 - broker_ms
    elif broker_ms > after_ns // 10**6 + 1:
        apart = broker_ms - after_ns // 10**6
    if apart > _CLOCK_TOLERANCE_MS:
        return Finding(
            "clock",
            Status.WARNING,
            f"{apart / 1000:.1f} s apart from the broker's: deadlines and the order of an event "
            "and its activity are judged by clocks",
            "run an NTP client on every machine",
        )
    return Finding("clock", Status.OK, "agrees with the broker's")
