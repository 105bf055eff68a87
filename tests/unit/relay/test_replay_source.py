"""Where a replay of a topic begins and ends."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from completion_relay.replay.again import Kept
from completion_relay.replay.headers import Position
from completion_relay.replay.line import LineError, to_line
from completion_relay.replay.selection import Selection, Span
from completion_relay.replay.source import FileError, FileSource, TopicSource
from completion_relay.topic_reader import Offsets
from completion_schemas.record import KafkaRecord
from completion_schemas.times import UnixNanos

AT = TopicPartition("completions", 0)


def topic(stamps_ms: list[int]) -> TopicSource:
    """Return a topic with a record at each of these times, from offset 0."""

    async def beginning() -> Offsets:
        return {AT: 0}

    async def end() -> Offsets:
        return {AT: len(stamps_ms)}

    async def written_since(when_ms: int, end: Offsets) -> Offsets:
        found = (offset for offset, stamp in enumerate(stamps_ms) if stamp >= when_ms)
        return {AT: next(found, end[AT])}

    reader = SimpleNamespace(
        partitions=(AT,), beginning=beginning, end=end, written_since=written_since
    )
    return TopicSource(cast("Any", reader))


async def test_of_two_ranges_that_meet_within_a_millisecond_one_has_what_was_put_in_it() -> None:
    """`1h` is a time in nanoseconds; Kafka knows milliseconds."""
    stamps = [999, 1_000, 1_000, 1_001, 1_002]
    meet = UnixNanos(1_000_400_000)
    had = []
    for since, until in ((None, meet), (meet, None)):
        (span,) = (await topic(stamps).range(since, until)).values()
        selection = Selection(since=since, until=until)
        had.append([n for n in span_of(span) if selection.matches(kept(n, stamps[n]), None)])
    assert had == [[0, 1, 2], [3, 4]]


async def test_a_time_of_whole_milliseconds_ends_before_what_was_put_then() -> None:
    ranges = await topic([999, 1_000, 1_001]).range(None, UnixNanos(1_000 * 10**6))
    assert ranges == {0: Span(0, 1)}


def test_a_pipe_is_refused_as_it_cannot_be_read_twice(tmp_path: Path) -> None:
    """`--from-file <(cat FILE)` found nothing, as if nothing were asked for."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(FileError, match=f"--from-file {fifo}: it is a pipe .*: write it to a file"):
        FileSource(fifo)


async def test_a_line_that_is_no_record_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    path.write_bytes(to_line(kept(0, 1)) + b"nonsense\n")
    with pytest.raises(LineError, match=f"--from-file {path}: line 2 is not a record"):
        async for _ in FileSource(path).read({0: [Span(0, 2)]}):
            pass


def span_of(span: Span) -> range:
    return range(span.begin, span.end)


def kept(offset: int, stamp_ms: int) -> Kept:
    return Kept(Position("completions", 0, offset), stamp_ms, KafkaRecord(b"k", b"v", ()))
