"""Who committed what is settled ahead, and who went on from there."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from tests.chaos.ahead import Maps, maps_of
from tests.chaos.found import Commit, Found
from tests.chaos.gather import parsed_commit
from tests.chaos.test_judge import AUDIT, WELL

from completion_relay.offset_map import encode

FIRST = Commit("t", 0, 1, encode(1, [range(2, 4)]))
SECOND = Commit("t", 0, 5, encode(5, [range(7, 8)]))
LAST = Commit("t", 0, 15)
PASSED = "abaa" + "b" * 11
"""After the first commit, in which 1 was open, from a to b."""


def found(*commits: Commit, relays: str) -> Found:
    """A run whose positions were audited by these relays, a letter each."""
    audit = [
        dataclasses.replace(record, relay_id=relay)
        for record, relay in zip(AUDIT, relays, strict=True)
    ]
    return dataclasses.replace(WELL, commits=commits, audit=audit)


def test_a_commit_is_of_the_relay_that_audited_what_it_settles_anew() -> None:
    seen = found(FIRST, SECOND, LAST, relays=PASSED)
    assert maps_of(seen) == Maps({"a": 1, "b": 1}, {("a", "b"): 1}, {})  # type: ignore[arg-type]


def test_who_goes_on_alone_takes_nothing_over() -> None:
    assert maps_of(found(FIRST, SECOND, LAST, relays="a" * 15)).taken_over == {}


def test_a_partition_that_passes_with_nothing_ahead_is_not_counted() -> None:
    seen = found(Commit("t", 0, 4), SECOND, LAST, relays="aaaa" + "b" * 11)
    assert maps_of(seen) == Maps({"b": 1}, {}, {})  # type: ignore[arg-type]


def test_a_commit_that_settles_nothing_anew_is_nobodys() -> None:
    seen = found(FIRST, FIRST, LAST, relays=PASSED)
    assert maps_of(seen) == Maps({"a": 1}, {("a", "b"): 1}, {})  # type: ignore[arg-type]


def test_who_has_a_partition_holds_what_its_last_commit_has_ahead() -> None:
    assert maps_of(found(FIRST, relays=PASSED)).held == {"a": 1}
    assert maps_of(found(FIRST, SECOND, relays=PASSED)).held == {"b": 1}
    assert maps_of(found(FIRST, SECOND, LAST, relays=PASSED)).held == {}


def test_what_was_parked_was_settled_by_who_parked_it_first() -> None:
    audited = found(FIRST, relays="bbaa" + "b" * 11)
    seen = dataclasses.replace(audited, parked={(0, 0): ["a", "c"]})
    assert maps_of(seen).held == {"a": 1}


def test_commits_of_other_topics_have_no_part_in_it() -> None:
    seen = found(dataclasses.replace(FIRST, topic="parked"), LAST, relays="a" * 15)
    assert maps_of(seen).committed == {}


METADATA = encode(1, [range(2 * at, 2 * at + 1) for at in range(1, 700)])
"""Longer than a varint of one byte can say."""


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


@pytest.mark.parametrize(
    ("version", "between", "length"),
    [
        (1, b"", struct.pack(">h", len(METADATA))),
        (3, struct.pack(">i", 7), struct.pack(">h", len(METADATA))),
        (
            4,
            struct.pack(">i", 7),
            bytes([(len(METADATA) + 1) % 128 | 128, (len(METADATA) + 1) // 128]),
        ),
    ],
)
def test_a_commit_is_read_with_its_metadata_in_every_version(
    version: int, between: bytes, length: bytes
) -> None:
    key = struct.pack(">h", 1) + text("group") + text("t") + struct.pack(">i", 3)
    value = struct.pack(">hq", version, 41) + between + length + METADATA.encode() + b"\x00" * 8
    assert len(METADATA) > 127
    assert parsed_commit(key, value, "group") == Commit("t", 3, 41, METADATA)
    assert parsed_commit(key, value, "another") is None
