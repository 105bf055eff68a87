"""Points in time on the command line: what is read, what is refused, what is shown."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion_relay.cli.times import (
    TimeError,
    parse_deadline,
    parse_duration,
    parse_time,
    show_duration,
    show_time,
)
from completion_schemas.times import UnixNanos, nanos_rfc3339

NOW = UnixNanos(1_770_000_000 * 10**9)
DAY = 86_400 * 10**9

YEARS_1970_TO_2262 = st.integers(0, 2**63 - 1).map(UnixNanos)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("now", 0),
        ("90s", 90 * 10**9),
        ("15m", 900 * 10**9),
        ("-1h", 3_600 * 10**9),
        ("2d", 2 * DAY),
        ("2d ago", 2 * DAY),
        (" 1h ", 3_600 * 10**9),
    ],
)
def test_a_time_may_be_how_long_ago(text: str, ago: int) -> None:
    assert parse_time("--from", text, NOW) == NOW - ago


def test_a_date_is_its_midnight_in_utc() -> None:
    assert parse_time("--from", "1970-01-02", NOW) == DAY


@given(YEARS_1970_TO_2262)
def test_every_rfc3339_time_is_read_to_the_nanosecond(when: UnixNanos) -> None:
    assert parse_time("--from", nanos_rfc3339(when), NOW) == when


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "1w", "2026-13-01", "2026-01-31T25:00:00Z", "2026-01-31  12:00:00Z", "1.5h"],
)
def test_what_is_no_time_is_refused_with_its_option_and_what_to_write(text: str) -> None:
    with pytest.raises(TimeError, match=r"--to .* is not a time: write 2026-01-31T12:00:00Z"):
        parse_time("--to", text, NOW)


@given(st.text(max_size=40))
def test_no_text_raises_anything_but_a_time_error(text: str) -> None:
    with contextlib.suppress(TimeError):
        parse_time("--from", text, NOW)


@pytest.mark.parametrize(
    ("text", "ahead"), [("in 90s", 90 * 10**9), ("in 1h", 3_600 * 10**9), (" in 2d ", 2 * DAY)]
)
def test_a_deadline_may_be_how_far_ahead(text: str, ahead: int) -> None:
    assert parse_deadline("--deadline", text, NOW) == NOW + ahead


@given(YEARS_1970_TO_2262)
def test_a_deadline_is_a_time_still_to_come(when: UnixNanos) -> None:
    written = nanos_rfc3339(when)
    if when > NOW:
        assert parse_deadline("--deadline", written, NOW) == when
    else:
        with pytest.raises(TimeError, match="is in the past"):
            parse_deadline("--deadline", written, NOW)


@pytest.mark.parametrize("text", ["", "1h", "-1h", "2d ago", "now", "in 1w", "in -1h"])
def test_a_deadline_is_not_how_long_ago(text: str) -> None:
    with pytest.raises(TimeError, match=r"is not a time: .* how far ahead: in 90s"):
        parse_deadline("--deadline", text, NOW)


@pytest.mark.parametrize(
    ("text", "said"), [("in 0s", "in the past"), ("in 999999999d", "too far ahead")]
)
def test_a_deadline_that_cannot_be_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(TimeError, match=said):
        parse_deadline("--deadline", text, NOW)


@given(YEARS_1970_TO_2262.filter(bool))
def test_a_shown_time_is_read_back_to_the_millisecond(when: UnixNanos) -> None:
    assert parse_time("--from", show_time(when), NOW) == when - when % 10**6


def test_an_unknown_time_is_shown_as_nothing() -> None:
    assert show_time(0) == ""


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [
        (0, "0 ms"),
        (12_400_000, "12 ms"),
        (3_210_000_000, "3.2 s"),
        (310 * 10**9, "5 m 10 s"),
        (7_380 * 10**9, "2 h 3 m"),
        (2 * DAY + 3 * 3_600 * 10**9, "2 d 3 h"),
        (-12_000_000, "-12 ms"),
    ],
)
def test_a_duration_is_shown_with_the_two_digits_that_matter(nanos: int, shown: str) -> None:
    assert show_duration(nanos) == shown


@pytest.mark.parametrize(("text", "length"), [("90s", 90 * 10**9), (" 2d ", 2 * DAY)])
def test_a_length_of_time_is_a_number_with_its_unit(text: str, length: int) -> None:
    assert parse_duration("--for", text) == length


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1h ago", "in 1h", "1w", "1.5h"])
def test_what_is_no_length_of_time_is_refused_with_its_option_and_what_to_write(text: str) -> None:
    with pytest.raises(TimeError, match=r"--for .* is not a length of time: write 90s"):
        parse_duration("--for", text)
