"""What a replica says of itself in its group, and what of it is believed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion_relay.introduction import (
    Introduction,
    decode_introduction,
    encode_introduction,
)


@given(st.builds(Introduction, relay_id=st.text(), version=st.text(), http=st.text()))
def test_an_introduction_comes_back_as_it_was(introduction: Introduction) -> None:
    assert decode_introduction(encode_introduction(introduction)) == introduction


def test_two_processes_of_one_name_are_told_apart() -> None:
    one, other = (Introduction(relay_id="here", version="1", http="a:1") for _ in range(2))
    assert one.instance != other.instance


def test_what_a_newer_version_says_beyond_that_is_left() -> None:
    introduction = Introduction(relay_id="here", version="9", http="a:1")
    said = json.loads(encode_introduction(introduction)) | {"format": 2, "zone": "b"}
    assert decode_introduction(json.dumps(said).encode()) == introduction


@pytest.mark.parametrize(
    "user_data",
    [None, b"", b"\x00\x01", b"[]", b"{}", b'{"relay_id": 1}', b"[" * 5_000, b'"' * 20_000],
)
def test_another_programs_user_data_is_no_introduction(user_data: bytes | None) -> None:
    assert decode_introduction(user_data) is None


@given(st.binary())
def test_no_bytes_are_too_strange(user_data: bytes) -> None:
    decode_introduction(user_data)
