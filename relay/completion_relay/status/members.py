"""Room `status`: who is in the group, by Kafka's answer to DescribeGroups. Touches aiokafka's messages alone."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from aiokafka.structs import TopicPartition

from completion_relay.introduction import Introduction, decode_introduction

_SETTLED: Final = frozenset({"Stable", "Empty", "Dead"})
_UNREADABLE: Final = (ValueError, struct.error, IndexError, TypeError, OverflowError)
"""What aiokafka raises for bytes that are no such message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of the group."""

    member_id: str
    client_host: str
    """Where it connects to Kafka from."""
    introduction: Introduction | None
    """What it says of itself; None: it is of another version, or another program."""
    partitions: tuple[TopicPartition, ...]
    """What it has."""

    @property
    def name(self) -> str:
        """What to call it."""
        return self.introduction.relay_id if self.introduction else self.member_id


@dataclass(frozen=True, slots=True)
class Group:
    """The consumer group, as its coordinator sees it."""

    state: str
    """Kafka's word: `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty`, `Dead`."""
    members: tuple[Member, ...]

    @property
    def is_settled(self) -> bool:
        """Whether it is told who has what; while partitions are shared out anew it is not."""
        return self.state in _SETTLED


def group_of(described: Sequence[Any]) -> Group:
    """Return the group.

    Args:
        described: One of the `groups` of DescribeGroups' answer, which has no error.
    """
    _, _, state, _, _, members, *_ = described
    found = (_member(*member) for member in members)
    return Group(state, tuple(sorted(found, key=lambda member: (member.name, member.member_id))))


def _member(
    member_id: str, _client_id: str, client_host: str, metadata: bytes, assignment: bytes
) -> Member:
    return Member(
        member_id=member_id,
        client_host=client_host.removeprefix("/"),  # Java's InetAddress writes it so
        introduction=_introduction(metadata),
        partitions=_partitions(assignment),
    )


def _introduction(metadata: bytes) -> Introduction | None:
    if not metadata:  # as while the group shares out anew
        return None
    try:
        return decode_introduction(ConsumerProtocolMemberMetadata.decode(metadata).user_data)
    except _UNREADABLE:
        return None


def _partitions(assignment: bytes) -> tuple[TopicPartition, ...]:
    if not assignment:
        return ()
    try:
        return tuple(sorted(ConsumerProtocolMemberAssignment.decode(assignment).partitions()))
    except _UNREADABLE:
        return ()
