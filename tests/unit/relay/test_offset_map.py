"""The map of settled offsets: nothing lost in it, nothing believed that is not one, never too long."""

from __future__ import annotations

import base64
import tracemalloc
import zlib
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from completion_relay.offset_map import (
    METADATA_LIMIT,
    MetadataError,
    decode,
    encode,
    longest,
    weight,
)

LAST_OFFSET = 2**63 - 1

bases = st.integers(0, 2**62)
lengths = st.one_of(st.integers(1, 3), st.integers(1, 300), st.integers(1, 2**50))


@st.composite
def settled_offsets(draw: st.DrawFn, base: int, most: int = 60) -> list[range]:
    """Ascending ranges from the base on that do not touch."""
    settled: list[range] = []
    start = base + draw(st.sampled_from([0, 1, 7]))
    for gap, run in draw(st.lists(st.tuples(lengths, lengths), max_size=most)):
        settled.append(range(start, start + run))
        start += run + gap
    return settled


def forged(base: int, tokens: bytes) -> str:
    """Written by the format's description, not by the code under test."""
    check = zlib.crc32(b"1" + str(base).encode() + b":" + tokens).to_bytes(4, "big")
    return "1" + base64.b64encode(check + tokens).decode()


@given(data=st.data(), base=bases)
def test_what_is_written_is_read_again(data: st.DataObject, base: int) -> None:
    settled = data.draw(settled_offsets(base))
    assert decode(base, encode(base, settled)) == settled


@given(base=bases)
def test_nothing_settled_ahead_is_the_empty_string(base: int) -> None:
    assert encode(base, []) == ""
    assert decode(base, "") == []


def test_the_last_of_kafkas_offsets_can_be_written() -> None:
    settled = [range(LAST_OFFSET, LAST_OFFSET + 1)]
    assert decode(0, encode(0, settled)) == settled


def test_ranges_that_touch_become_one() -> None:
    assert decode(5, encode(5, [range(6, 8), range(8, 11)])) == [range(6, 11)]


@pytest.mark.parametrize(
    ("settled", "tokens"),
    [
        ([range(101, 104)], [0b00001110]),
        ([range(101, 104), range(107, 1_107)], [0b00001110, 0b11101000, 0b00011111]),
        ([range(100, 107), range(114, 115)], [0b01111111, 0, 0b00000001]),
        ([range(131, 162)], [0b10011111, 0b11011111]),
        ([range(100, 100 + 2**12)], [0b11100000, 0b10000000, 0b00000001]),
    ],
)
def test_the_format_is_the_documented_one(settled: list[range], tokens: list[int]) -> None:
    written = forged(100, bytes(tokens))
    assert encode(100, settled) == written
    assert decode(100, written) == settled


@given(data=st.data(), base=bases)
def test_a_map_is_at_most_a_seventh_longer_than_a_bitmap(data: st.DataObject, base: int) -> None:
    settled = data.draw(settled_offsets(base))
    assume(settled)
    assert tokens_in(encode(base, settled)) <= -(-(settled[-1].stop - base) // 7)


@given(data=st.data(), base=bases)
def test_a_map_is_at_most_two_bytes_a_run_longer_than_run_lengths(
    data: st.DataObject, base: int
) -> None:
    settled = data.draw(settled_offsets(base))
    assume(settled)
    numbers = [settled[0].start - base, *(run.stop - run.start for run in settled)]
    numbers += [after.start - run.stop for run, after in pairwise(settled)]
    run_bytes = sum(max(1, -(-number.bit_length() // 7)) for number in numbers)
    assert tokens_in(encode(base, settled)) <= run_bytes + 2 * len(settled)


def tokens_in(metadata: str) -> int:
    """How many bytes they are."""
    return len(base64.b64decode(metadata[1:])) - 4


@pytest.mark.parametrize(
    "settled", [[range(4, 6)], [range(7, 9), range(8, 10)], [range(8, 8)], [range(5, 9, 2)]]
)
def test_what_is_no_ascending_sequence_from_the_base_is_refused(settled: list[range]) -> None:
    with pytest.raises(ValueError, match="does not follow offset"):
        encode(5, settled)


@settings(deadline=None)  # thousands of ranges, on a machine that others use
@given(base=bases, runs=st.integers(1, 4_000), run=lengths, gap=lengths)
@example(base=0, runs=4_000, run=1, gap=1)
@example(base=0, runs=4_000, run=2**30, gap=2**30)
def test_metadata_is_never_over_the_limit_and_leaves_out_the_end(
    base: int, runs: int, run: int, gap: int
) -> None:
    settled = [
        range(start, start + run)
        for start in range(base + gap, base + gap + runs * (run + gap), run + gap)
    ]
    assume(settled[-1].stop <= LAST_OFFSET)
    written = encode(base, settled)
    assert len(written) <= METADATA_LIMIT
    read = decode(base, written)
    assert read
    assert read[:-1] == settled[: len(read) - 1]
    assert read[-1].start == settled[len(read) - 1].start
    assert read[-1].stop <= settled[len(read) - 1].stop


@given(records=st.lists(st.tuples(lengths, st.booleans()), min_size=1, max_size=200))
@example(records=[(1, at % 2 == 1) for at in range(5_000)])
@example(records=[(200, at % 2 == 1) for at in range(500)])
@example(records=[(2**30 if at == 99 else 1, at % 2 == 1) for at in range(5_000)])
def test_no_choice_of_settled_records_needs_more_than_longest_says(
    records: list[tuple[int, bool]],
) -> None:
    offset, hole, settled = 0, 0, list[range]()
    for gap, is_settled in records:
        offset += gap
        if not is_settled:
            hole = offset
        elif settled and settled[-1].stop > hole:
            settled[-1] = range(settled[-1].start, offset + 1)
        else:
            settled.append(range(offset, offset + 1))
    weights = weight(1) + sum(weight(step) for step, _ in records)
    assert len(encode(0, settled)) <= longest(weights)


@given(base=bases, text=st.one_of(st.text(min_size=1), st.text("1AQz+/=", min_size=1)))
@example(base=0, text="1")
@example(base=0, text="1=")
@example(base=0, text="1\ud800")
@example(base=0, text="1" * 100_000)
def test_what_is_no_map_is_refused(base: int, text: str) -> None:
    with pytest.raises(MetadataError):
        decode(base, text)


@given(base=bases, tokens=st.binary(max_size=100))
@example(base=2**62, tokens=b"\xff" + b"\xff" * 7 + b"\x7f")
def test_a_forged_map_with_a_right_checksum_is_read_as_one_or_refused(
    base: int, tokens: bytes
) -> None:
    try:
        settled = decode(base, forged(base, tokens))
    except MetadataError:
        return
    assert all(run.stop > run.start for run in settled)
    assert all(run.stop < after.start for run, after in pairwise(settled))
    assert all(base <= run.start and run.stop <= 2**63 for run in settled)


@pytest.mark.parametrize(
    ("tokens", "problem"),
    [
        (b"\xe0", "has no end"),
        (b"\x01\xe1\x80", "has no end"),
        (b"\xc0", "no possible length"),
        (b"\xe1" + b"\xff" * 2_000 + b"\x01", "no possible length"),
        (b"\x01\xff" + b"\xff" * 8 + b"\x03", "beyond Kafka's last offset"),
    ],
)
def test_runs_that_make_no_sense_are_refused(tokens: bytes, problem: str) -> None:
    with pytest.raises(MetadataError, match=problem):
        decode(0, forged(0, tokens))


def test_a_forged_run_of_2_to_the_60_takes_no_memory() -> None:
    metadata = forged(0, b"\xe0" + b"\x80" * 7 + b"\x40")
    tracemalloc.start()
    try:
        assert decode(0, metadata) == [range(2**60)]
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_newer_version_is_named() -> None:
    with pytest.raises(MetadataError, match=r"reads version 1.*newer relay"):
        decode(7, "2" + encode(7, [range(8, 9)])[1:])


@given(data=st.data(), base=bases, other=bases)
def test_a_map_copied_to_another_offset_is_refused(
    data: st.DataObject, base: int, other: int
) -> None:
    metadata = encode(base, data.draw(settled_offsets(base)))
    assume(metadata and base != other)
    with pytest.raises(MetadataError, match=f"does not fit offset {other}"):
        decode(other, metadata)


@given(data=st.data(), base=bases)
def test_a_damaged_map_is_refused(data: st.DataObject, base: int) -> None:
    settled = data.draw(settled_offsets(base))
    metadata = encode(base, settled)
    assume(metadata)
    at = data.draw(st.integers(0, len(metadata) - 1))
    changed = metadata[:at] + data.draw(st.sampled_from("AQg1z")) + metadata[at + 1 :]
    try:
        # Base64's last character has bits that stand for nothing.
        assert decode(base, changed) == settled
    except MetadataError:
        assert changed != metadata
    cut = metadata[:at]
    if cut:
        with pytest.raises(MetadataError):
            decode(base, cut)
