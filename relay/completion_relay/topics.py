"""Room `topics`: what the five topics must be like, and what of that is not so. Touches nothing.

One set of rules for those who create the topics and those who check them: a
`Difference` says what a setting endangers, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from completion_relay.settings import Settings, TopicSettings

DEFAULT_PARTITIONS: Final = 12
"""Partitions cap the replicas that share the work, and raising them later moves keys: start high."""
SAFE_REPLICATION: Final = 3
REPLICATION: Final = "replication.factor"
"""Named like a setting, and no setting: a topic gets it when it is created."""
ADDED_HEADERS_BYTES: Final = 1024 * 1024
"""Room on the dead-letter and parked topics for what is added to a record at the main topic's limit."""

_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What one topic must be like."""

    name: str
    retention_days: int
    max_message_bytes: int | None
    """Kafka's `max.message.bytes`; None leaves the cluster's."""

    def configs(self, replication_factor: int) -> dict[str, str]:
        """Return the topic's settings by Kafka's own names."""
        configs = {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_days * _DAY_MS),
            "compression.type": "producer",
            # A record that a wrong clock dated long ago would be deleted with the
            # next segment, one dated far ahead would never be.
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": str(_min_insync(replication_factor)),
            "unclean.leader.election.enable": "false",
        }
        if self.max_message_bytes is not None:
            configs["max.message.bytes"] = str(self.max_message_bytes)
        return configs


@dataclass(frozen=True, slots=True)
class TopicState:
    """What a cluster says about one topic."""

    name: str
    partitions: int
    replication_factor: int
    """The smallest of its partitions."""
    configs: Mapping[str, str] = field(default_factory=dict)
    """Every setting in force, by Kafka's own names; empty where it may not be read."""
    own: Mapping[str, str] = field(default_factory=dict)
    """Those of them that are set on the topic itself."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that is not as it should be."""

    setting: str
    """Kafka's own name."""
    actual: str
    wanted: str
    danger: str
    """What may happen."""
    serious: bool = False
    """Whether the relay cannot keep its promises at all with it."""


def topic_specs(settings: Settings) -> tuple[TopicSpec, ...]:
    """Return what the five topics must be like (contract section 2), the main topic first."""
    limit = settings.relay.max_message_bytes
    topics = settings.topics
    return (
        TopicSpec(topics.completions, 30, limit),
        TopicSpec(topics.audit, 365, None),
        TopicSpec(topics.dead_letter, 90, limit + ADDED_HEADERS_BYTES),
        TopicSpec(topics.parked, 30, limit + ADDED_HEADERS_BYTES),
        TopicSpec(topics.signals, 1, None),
    )


def differences(spec: TopicSpec, state: TopicState) -> tuple[Difference, ...]:
    """Return what of the topic is not as it should be; more than is asked for is no difference."""
    found: list[Difference] = []
    if state.replication_factor < SAFE_REPLICATION:
        found.append(
            Difference(
                REPLICATION,
                str(state.replication_factor),
                str(SAFE_REPLICATION),
                "a lost broker may take acknowledged events with it",
            )
        )
    for setting, wanted in spec.configs(state.replication_factor).items():
        actual = state.configs.get(setting)
        if actual is None:
            continue
        rule = _RULES[setting]
        if not rule.satisfied(actual, wanted):
            serious = rule.serious(actual)
            found.append(Difference(setting, actual, wanted, rule.danger, serious))
    if state.configs.get("retention.bytes", "-1") != "-1":
        found.append(
            Difference(
                "retention.bytes",
                state.configs["retention.bytes"],
                "-1",
                "a busy day may delete events before they are decided",
            )
        )
    insync = int(state.configs.get("min.insync.replicas", "1"))
    if insync > state.replication_factor:
        found.append(
            Difference(
                "min.insync.replicas",
                str(insync),
                str(_min_insync(state.replication_factor)),
                "nobody can write: it asks for more replicas than the topic has",
                serious=True,
            )
        )
    return tuple(found)


def partitions_apart(topics: TopicSettings, counts: Mapping[str, int]) -> str | None:
    """Return what is wrong if the topic of the events and that of the parked ones differ in partitions.

    A parked record goes to the partition of the same number, which the same member of the group
    has (Kafka's range assignor); where there is none, others would overtake it.

    Args:
        topics: Their names.
        counts: The number of partitions of each topic that is there, by its name.

    Returns:
        None: they are alike, or one is not there.
    """
    pair = {name: counts[name] for name in (topics.completions, topics.parked) if name in counts}
    if len(set(pair.values())) < 2:
        return None
    fewer = min(pair, key=lambda name: pair[name])
    shown = " and ".join(
        f"{name} has {count} {'partition' if count == 1 else 'partitions'}"
        for name, count in pair.items()
    )
    return (
        f"{shown}, and both need as many as each other: add partitions to {fewer} with "
        "`kafka-topics --alter --partitions`"
    )


@dataclass(frozen=True, slots=True)
class _Rule:
    danger: str
    satisfied: Callable[[str, str], bool]
    serious: Callable[[str], bool] = lambda _: False


def _same(actual: str, wanted: str) -> bool:
    return actual == wanted


def _at_least(actual: str, wanted: str) -> bool:
    return int(actual) >= int(wanted)


def _kept_at_least(actual: str, wanted: str) -> bool:
    return actual == "-1" or int(actual) >= int(wanted)


_RULES: Final[Mapping[str, _Rule]] = {
    "cleanup.policy": _Rule(
        "compaction deletes all events of an activity but the last, undecided ones too",
        _same,
        lambda actual: "compact" in actual,
    ),
    "retention.ms": _Rule("an outage or a pause that lasts longer loses records", _kept_at_least),
    "compression.type": _Rule("the broker compresses every record anew", _same),
    "message.timestamp.type": _Rule(
        "a producer whose clock is wrong has its records deleted too soon", _same
    ),
    "min.insync.replicas": _Rule(
        "a write may be acknowledged by one broker alone and lost with it", _at_least
    ),
    "unclean.leader.election.enable": _Rule(
        "a broker that lags may become leader and lose acknowledged events", _same
    ),
    "max.message.bytes": _Rule("larger records are refused by the broker", _at_least),
}


def _min_insync(replication_factor: int) -> int:
    return 2 if replication_factor >= SAFE_REPLICATION else 1
