"""What is wrong with a topic, and what is merely more than was asked for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion_relay.cli.check_kafka import (
    clock_finding,
    dead_letters_fit,
    partitions_finding,
    replication_finding,
    topic_findings,
)
from completion_relay.cli.findings import Status
from completion_relay.settings import RelaySettings, Settings
from completion_relay.topics import (
    ADDED_HEADERS_BYTES,
    REPLICATION,
    TopicSpec,
    TopicState,
    differences,
    topic_specs,
)

SETTINGS = Settings()
SPEC = TopicSpec("completions", retention_days=30, max_message_bytes=4_000_000)


def state(changes: Mapping[str, str] | None = None, *, replication: int = 3) -> TopicState:
    """Return a topic as SPEC wants it, but for some settings."""
    configs = SPEC.configs(replication) | dict(changes or {})
    return TopicState("completions", 12, replication, configs, configs)


@given(st.integers(3, 9))
def test_a_topic_created_to_its_spec_has_no_differences(replication: int) -> None:
    assert differences(SPEC, state(replication=replication)) == ()


@pytest.mark.parametrize(
    "more",
    [
        {"retention.ms": "-1"},
        {"retention.ms": str(400 * 86_400_000)},
        {"max.message.bytes": "9000000"},
        {"min.insync.replicas": "3"},
    ],
)
def test_more_than_is_asked_for_is_no_difference(more: dict[str, str]) -> None:
    assert differences(SPEC, state(more)) == ()


@pytest.mark.parametrize(
    ("setting", "actual"),
    [
        ("cleanup.policy", "compact"),
        ("retention.ms", "3600000"),
        ("retention.bytes", "1000000"),
        ("compression.type", "gzip"),
        ("message.timestamp.type", "CreateTime"),
        ("min.insync.replicas", "1"),
        ("unclean.leader.election.enable", "true"),
        ("max.message.bytes", "1048588"),
    ],
)
def test_each_setting_that_endangers_events_is_named(setting: str, actual: str) -> None:
    (found,) = differences(SPEC, state({setting: actual}))
    assert (found.setting, found.actual) == (setting, actual)
    assert found.danger


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_compaction_is_serious(policy: str) -> None:
    (found,) = differences(SPEC, state({"cleanup.policy": policy}))
    assert found.serious


def test_more_replicas_in_sync_than_there_are_is_serious() -> None:
    (found,) = [d for d in differences(SPEC, state({"min.insync.replicas": "4"})) if d.serious]
    assert found.setting == "min.insync.replicas"
    assert found.wanted == "2"


def test_a_single_copy_is_named() -> None:
    (found,) = differences(SPEC, state(replication=1))
    assert found.setting == REPLICATION


def test_records_put_aside_have_room_for_their_headers() -> None:
    limits = {spec.name: spec.max_message_bytes for spec in topic_specs(SETTINGS)}
    main = limits["completions"]
    assert main == RelaySettings().max_message_bytes
    assert limits["completions.dead-letter"] == main + ADDED_HEADERS_BYTES
    assert limits["completions.parked"] == main + ADDED_HEADERS_BYTES


def test_the_audit_trail_is_kept_longest() -> None:
    days = {spec.name: spec.retention_days for spec in topic_specs(SETTINGS)}
    assert max(days, key=lambda name: days[name]) == "completions.audit"
    assert min(days, key=lambda name: days[name]) == "completions.signals"


def test_a_missing_topic_fails_the_check_and_names_the_command() -> None:
    (found,) = topic_findings(SPEC, None)
    assert found.status is Status.FAILED
    assert "completion-relay topics create" in found.fix


def test_a_topic_whose_settings_may_not_be_read_is_a_warning() -> None:
    (found,) = topic_findings(SPEC, TopicState("completions", 12, 3))
    assert found.status is Status.WARNING


def test_a_serious_difference_fails_the_check_and_another_warns() -> None:
    found = topic_findings(SPEC, state({"cleanup.policy": "compact", "compression.type": "gzip"}))
    assert [finding.status for finding in found] == [Status.OK, Status.FAILED, Status.WARNING]


def test_thin_replication_is_told_once_for_all_topics() -> None:
    thin = replication_finding({"a": TopicState("a", 1, 1), "b": TopicState("b", 1, 3)})
    assert thin is not None
    assert thin.detail.startswith("below 3 on a:")


@pytest.mark.parametrize(("dead_letter", "fails"), [("4000001", False), ("4000000", True)])
def test_a_dead_letter_topic_that_takes_no_larger_record_fails_the_check(
    dead_letter: str,
    fails: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    limits = {"completions": "4000000", "completions.dead-letter": dead_letter}
    states = {
        name: TopicState(name, 1, 3, {"max.message.bytes": limit}) for name, limit in limits.items()
    }
    assert (dead_letters_fit(SETTINGS, states) is not None) == fails


def test_events_and_parked_ones_in_as_many_partitions_are_right() -> None:
    states = {name: TopicState(name, 12, 3) for name in SETTINGS.topics.names()}
    assert partitions_finding(SETTINGS, states) is None


def test_a_topic_that_is_not_there_is_not_compared() -> None:
    """That it is missing is told elsewhere."""
    assert partitions_finding(SETTINGS, {"completions": TopicState("completions", 12, 3)}) is None


@pytest.mark.parametrize(("main", "parked"), [(12, 6), (6, 12)])
def test_events_and_parked_ones_in_different_partitions_fail_the_check(
    main: int, parked: int
) -> None:
    states = {name: TopicState(name, main, 3) for name in SETTINGS.topics.names()}
    states["completions.parked"] = TopicState("completions.parked", parked, 3)
    found = partitions_finding(SETTINGS, states)
    assert found is not None
    assert found.status is Status.FAILED
    assert f"completions has {main} partitions" in found.detail
    assert f"completions.parked has {parked} partitions" in found.detail
    fewer = "completions" if main < parked else "completions.parked"
    assert f"add partitions to {fewer} with" in found.fix


@given(st.integers(0, 2**60), st.integers(0, 10**9), st.integers(-(10**6), 10**6))
def test_clocks_are_judged_by_the_time_between_asking_and_answer(
    before: int, took: int, offset_ms: int
) -> None:
    found = clock_finding(before, before + took, (before + took // 2) // 10**6 + offset_ms)
    if abs(offset_ms) <= 4_000:
        assert found.status is Status.OK
    if abs(offset_ms) >= 7_000:
        assert found.status is Status.WARNING
