"""Times are exact: nanoseconds in, the same nanoseconds out."""

from __future__ import annotations

import contextlib

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from tests.strategies import texts, times

from completion_schemas.errors import InvalidEventError
from completion_schemas.times import UnixNanos, nanos_rfc3339, rfc3339_nanos


@given(nanos=times)
def test_a_time_comes_back_as_it_was(nanos: UnixNanos) -> None:
    assert rfc3339_nanos("t", nanos_rfc3339(nanos)) == nanos


@given(nanos=times)
def test_a_time_is_spelled_as_protobuf_spells_it(nanos: UnixNanos) -> None:
    seconds, fraction = divmod(nanos, 10**9)

    assert nanos_rfc3339(nanos) == Timestamp(seconds=seconds, nanos=fraction).ToJsonString()


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01T00:00:00.1Z", 100_000_000),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    ],
)
def test_rfc_3339_is_read_to_the_nanosecond(text: str, nanos: int) -> None:
    assert rfc3339_nanos("t", text) == nanos


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-30T12:00:00Z",
        "2026-01-31T12:00:00.1234567890Z",
        "\uff12026-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
        "2026-01-31T12:00:00+99:00",
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidEventError, match="deadline is not an RFC 3339 time"):
        rfc3339_nanos("deadline", text)


@pytest.mark.parametrize("text", ["9999-01-01T00:00:00Z", "2262-04-11T23:47:16.854775808Z"])
def test_a_time_beyond_64_bits_is_refused(text: str) -> None:
    with pytest.raises(InvalidEventError, match="between the years 1678 and 2262"):
        rfc3339_nanos("t", text)


@given(text=texts)
def test_any_text_is_a_time_or_an_invalid_event_error(text: str) -> None:
    with contextlib.suppress(InvalidEventError):
        rfc3339_nanos("t", text)
