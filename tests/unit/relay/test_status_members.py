"""Who is in the group, where each is asked, and what its answer is taken for."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from completion_relay.introduction import Introduction, encode_introduction
from completion_relay.processes.replica import Replica as Child
from completion_relay.processes.status import Pages
from completion_relay.status.ask import Answer, Silent, address_of, ask, replica_of
from completion_relay.status.members import Group, Member, group_of
from completion_relay.status_page import ReplicaState

HERE = Introduction(relay_id="here", version="1", http="127.0.0.1:9464")
ELSEWHERE = "192.0.2.7"
"""No machine has it (RFC 5737)."""


def described(*members: tuple[Any, ...], state: str = "Stable") -> Group:
    return group_of((0, "completion-relay", state, "consumer", "range", list(members)))


def subscription(user_data: bytes) -> bytes:
    return bytes(ConsumerProtocolMemberMetadata(0, ["events"], user_data).encode())


def assignment(*numbers: int) -> bytes:
    return bytes(ConsumerProtocolMemberAssignment(0, [("events", list(numbers))], b"").encode())


def member(introduction: Introduction | None = HERE, *, client_host: str = "127.0.0.1") -> Member:
    return Member(member_id="m", client_host=client_host, introduction=introduction, partitions=())


def at(http: str, *, client_host: str) -> str:
    introduction = Introduction(relay_id="here", version="1", http=http)
    return address_of(member(introduction, client_host=client_host))


def state(instance: str, relay_id: str = "here") -> ReplicaState:
    return ReplicaState(relay_id=relay_id, version="1", instance=instance, problems={})


def test_a_member_is_known_by_what_it_says_of_itself() -> None:
    user_data = encode_introduction(HERE)
    group = described(("m-1", "c", "/10.0.0.1", subscription(user_data), assignment(1, 0)))
    (found,) = group.members
    assert (found.name, found.introduction, found.client_host) == ("here", HERE, "10.0.0.1")
    assert found.partitions == (TopicPartition("events", 0), TopicPartition("events", 1))


def test_a_member_that_says_nothing_is_known_by_its_id() -> None:
    (found,) = described(("m-1", "c", "/10.0.0.1", subscription(b""), assignment(0))).members
    assert (found.name, found.introduction) == ("m-1", None)


def test_while_partitions_are_shared_out_anew_members_have_none() -> None:
    group = described(("m-1", "c", "/10.0.0.1", b"", b""), state="PreparingRebalance")
    assert not group.is_settled
    assert group.members[0].partitions == ()


@pytest.mark.parametrize("state", ["Stable", "Empty", "Dead"])
def test_a_group_that_shares_nothing_out_is_settled(state: str) -> None:
    assert described(state=state).is_settled


@given(st.binary(), st.binary())
def test_no_members_bytes_are_too_strange(metadata: bytes, assigned: bytes) -> None:
    (found,) = described(("m-1", "c", "/10.0.0.1", metadata, assigned)).members
    assert found.member_id == "m-1"


@pytest.mark.parametrize(
    ("http", "client_host", "address"),
    [
        ("127.0.0.1:9464", "10.0.0.1", "127.0.0.1:9464"),
        ("0.0.0.0:9464", "10.0.0.1", "10.0.0.1:9464"),
        ("[::]:9464", "10.0.0.1", "10.0.0.1:9464"),
        ("[::]:9464", "2001:db8::1", "[2001:db8::1]:9464"),
        ("[2001:db8::2]:9464", "10.0.0.1", "[2001:db8::2]:9464"),
        ("relay.example:9464", "10.0.0.1", "relay.example:9464"),
        ("0.0.0.0:9464", "", ""),
        ("nonsense", "10.0.0.1", ""),
    ],
)
def test_a_replica_is_asked_where_it_is_bound_or_where_it_connects_from(
    http: str, client_host: str, address: str
) -> None:
    assert at(http, client_host=client_host) == address


@pytest.mark.parametrize(
    ("answer", "note", "is_missed"),
    [
        (Silent("nobody listens there", is_refused=True), "nobody listens there", True),
        (Silent("no answer within 3 s"), "no answer within 3 s", True),
        ([state("another", "elsewhere")], "another relay's", True),
        ([state("another")], "was started since; this one is gone", True),
    ],
)
def test_a_replica_of_this_machine_that_does_not_answer_is_missed(
    answer: Answer, note: str, *, is_missed: bool
) -> None:
    replica = replica_of(member(), "127.0.0.1:9464", answer)
    assert (replica.state, replica.is_missed) == (None, is_missed)
    assert note in replica.note


@pytest.mark.parametrize(
    "answer", [Silent("nobody listens there", is_refused=True), [state("another", "elsewhere")]]
)
def test_loopback_on_another_machine_is_no_sign_of_anything(answer: Answer) -> None:
    """What listens at that address here is somebody else, or nobody."""
    replica = replica_of(member(client_host=ELSEWHERE), "127.0.0.1:9464", answer)
    assert (replica.state, replica.is_missed) == (None, False)
    assert f"127.0.0.1:9464 on {ELSEWHERE}" in replica.note


def test_a_machine_that_does_not_answer_at_all_may_be_behind_a_firewall() -> None:
    elsewhere = f"{ELSEWHERE}:9464"
    answer = Silent("no answer within 3 s")
    replica = replica_of(member(client_host=ELSEWHERE), elsewhere, answer)
    assert not replica.is_missed
    assert elsewhere in replica.note


def test_each_process_of_one_page_is_told_by_its_instance() -> None:
    page = [state("one", "here/1"), state(HERE.instance, "here/2")]
    assert replica_of(member(), "127.0.0.1:9464", page).state == page[1]


def test_what_a_supervisor_says_of_a_process_that_does_not_answer_is_taken() -> None:
    page = [state("one", "elsewhere"), state("")]
    assert replica_of(member(), "127.0.0.1:9464", page).state == page[1]


async def test_a_member_that_says_nothing_is_listed_with_the_reason() -> None:
    (replica,), others = await ask([member(None)])
    assert (replica.state, replica.is_missed, others) == (None, False, [])
    assert "another version" in replica.note


async def test_a_supervisors_page_says_why_a_process_does_not_answer() -> None:
    class Dead:
        number, name, relay_id, http = 2, "process 2", "here/2", None
        problem = "ended (SIGKILL); starts again in 0.4 s"

    pages = Pages("127.0.0.1:0", [cast("Child", Dead())])
    (said,) = await pages.states()
    assert (said.relay_id, said.instance, said.is_ready) == ("here/2", "", False)
    assert said.problems == {"process 2": Dead.problem}
