"""Room `observe`: what is on /status, for those who write it and those who read it. Touches nothing.

Never a token, and of an event its place alone: what it is, whoever may read the topic finds there.
A reader leaves what it does not know, so that a newer relay may say more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionState:
    """One partition of a replica."""

    topic: str
    partition: int
    undecided: int
    """Records received and not decided."""
    fetched: int
    """Records that are here and not begun."""
    oldest: int
    """Offset of the oldest undecided one; of the next one to begin where all are decided."""
    age_seconds: float
    """For how long that has been undecided."""
    parked_waiting: int
    """Of the parked topic: events that wait there; 0 of the other."""
    is_full: bool
    """Whether no more records are taken until some of these are decided, the oldest above all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """A record that has been undecided for longer than others."""

    topic: str
    partition: int
    offset: int
    age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceState:
    """One namespace, as a replica finds it."""

    name: str
    """As metrics call it: of a further cluster with its name before it, `west/orders`."""
    halted: str | None
    """Why it refuses everything; None: it does not."""
    is_sick: bool
    """Whether its events wait for longer than those of a healthy one."""
    calls_limit: int
    """Calls that may be under way at once, now."""
    in_flight: int
    queued: int
    """Events that wait for their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """One cluster of Temporal, as a replica finds it."""

    name: str
    """Empty for the default one."""
    is_away: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaState:
    """One process, as it finds itself."""

    relay_id: str
    version: str
    instance: str
    """As in its `Introduction`; empty where a supervisor speaks for a process that does not answer."""
    problems: dict[str, str]
    """By part, as in /readyz; none: ready."""
    partitions: list[PartitionState] = field(default_factory=list)
    oldest: list[Waits] = field(default_factory=list)
    """The few that have been undecided for longest."""
    namespaces: list[NamespaceState] = field(default_factory=list)
    clusters: list[ClusterState] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        """Whether events are being decided."""
        return not self.problems


class PageError(ValueError):
    """This is no status page."""


def to_page(replicas: list[ReplicaState]) -> dict[str, Any]:
    """Return the page: one replica, or all the processes of one."""
    return {
        "format": FORMAT,
        "replicas": [
            {"ready": replica.is_ready, **to_jsonable_python(replica)} for replica in replicas
        ],
    }


def read_page(page: bytes | str) -> list[ReplicaState]:
    """Return the replicas of a page.

    Raises:
        PageError: it is none, or not one that this version reads.
    """
    try:
        return _PAGE.validate_json(page).replicas
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise PageError(f"no status page of a relay{where and f', see {where}'}") from None


@dataclass(frozen=True, slots=True)
class _Page:
    replicas: list[ReplicaState]


_PAGE = TypeAdapter(_Page)
