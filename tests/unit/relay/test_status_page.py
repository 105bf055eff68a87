"""The page /status: what is written is read, and what is none is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion_relay.status_page import (
    ClusterState,
    NamespaceState,
    PageError,
    PartitionState,
    ReplicaState,
    Waits,
    read_page,
    to_page,
)

NUMBERS = st.integers(0, 2**53)
SECONDS = st.floats(0, 1e9)
STATES = st.builds(
    ReplicaState,
    relay_id=st.text(),
    version=st.text(),
    instance=st.text(),
    problems=st.dictionaries(st.text(), st.text()),
    partitions=st.lists(
        st.builds(
            PartitionState,
            partition=NUMBERS,
            undecided=NUMBERS,
            fetched=NUMBERS,
            oldest=NUMBERS,
            age_seconds=SECONDS,
            parked_waiting=NUMBERS,
        ),
        max_size=2,
    ),
    oldest=st.lists(
        st.builds(Waits, partition=NUMBERS, offset=NUMBERS, age_seconds=SECONDS), max_size=2
    ),
    namespaces=st.lists(st.builds(NamespaceState, queued=NUMBERS), max_size=2),
    clusters=st.lists(st.builds(ClusterState), max_size=2),
)


@given(st.lists(STATES, max_size=3))
def test_a_page_comes_back_as_it_was(states: list[ReplicaState]) -> None:
    assert read_page(json.dumps(to_page(states))) == states


def test_a_page_says_for_programs_whether_the_replica_is_ready() -> None:
    well, ill = (
        ReplicaState(relay_id="here", version="1", instance="i", problems=problems)
        for problems in ({}, {"kafka": "away"})
    )
    assert [replica["ready"] for replica in to_page([well, ill])["replicas"]] == [True, False]


def test_what_a_newer_relay_says_beyond_that_is_left() -> None:
    state = ReplicaState(relay_id="here", version="9", instance="i", problems={})
    page = to_page([state])
    page["replicas"][0]["mood"] = "good"
    assert read_page(json.dumps({**page, "format": 2})) == [state]


@pytest.mark.parametrize(
    "page", [b"", b"<html>", b"[]", b"{}", b'{"replicas": [{}]}', b'{"replicas": 1}', b"\xff"]
)
def test_another_programs_page_is_refused(page: bytes) -> None:
    with pytest.raises(PageError, match="no status page"):
        read_page(page)
