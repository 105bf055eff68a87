"""A member of the group: what is set in place of aiokafka's defaults. White-box, nothing is connected."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

import completion_relay.membership
from completion_relay.membership import end_member, new_member
from completion_relay.settings import KafkaSettings

KAFKA = KafkaSettings(session_timeout_ms=9_000, rebalance_timeout_ms=45_000)
PLENTY = 5.0
"""Seconds; less than `stop()` is given by itself."""


def member() -> AIOKafkaConsumer:
    return new_member({"bootstrap_servers": "localhost:1"}, KAFKA)


async def test_a_member_commits_nothing_by_itself_and_jumps_nowhere() -> None:
    consumer = member()
    try:
        assert consumer._enable_auto_commit is False
        assert consumer._auto_offset_reset == "none"
        assert consumer._isolation_level == "read_committed"
    finally:
        await end_member(consumer)


async def test_a_member_has_the_time_to_drain_that_the_settings_give() -> None:
    """By itself aiokafka takes the session's 10 s, and JoinGroup must not end before."""
    consumer = member()
    try:
        assert consumer._rebalance_timeout_ms == KAFKA.rebalance_timeout_ms
        assert consumer._request_timeout_ms > KAFKA.rebalance_timeout_ms
        assert consumer._heartbeat_interval_ms * 3 <= KAFKA.session_timeout_ms
    finally:
        await end_member(consumer)


async def test_a_member_joins_with_one_assignor() -> None:
    """With several, aiokafka joins once for each."""
    consumer = member()
    try:
        (assignor,) = consumer._partition_assignment_strategy
        assert issubclass(assignor, RangePartitionAssignor)
        # One group with members of a version that has nothing to say: a rolling upgrade.
        assert assignor.name == "range"
        assert assignor.assign.__func__ is RangePartitionAssignor.assign.__func__
    finally:
        await end_member(consumer)


async def test_a_member_introduces_itself_in_its_subscription() -> None:
    consumer = new_member({"bootstrap_servers": "localhost:1"}, KAFKA, introduction=b"hello")
    try:
        (assignor,) = consumer._partition_assignment_strategy
        metadata = ConsumerProtocolMemberMetadata.decode(assignor.metadata({"events"}).encode())
        assert (metadata.subscription, metadata.user_data) == (["events"], b"hello")
    finally:
        await end_member(consumer)


async def test_a_member_whose_stop_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a broker aiokafka's `stop()` may wait for ever."""
    consumer = member()

    async def hang() -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(consumer, "stop", hang)
        patch.setattr(completion_relay.membership, "_STOP_SECONDS", 0.01)
        await asyncio.wait_for(end_member(consumer), PLENTY)
    await end_member(consumer)
