"""An export file's lines and a replay's progress: what is written is read again, and nothing else is."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import strategies

from completion_relay.replay.again import Kept
from completion_relay.replay.file import Export
from completion_relay.replay.headers import Position
from completion_relay.replay.line import LineError, from_line, to_line
from completion_relay.replay.progress import Mark, digest_of, read_mark
from completion_relay.replay.selection import Span
from completion_relay.replay.source import FileError
from completion_schemas.record import KafkaRecord
from completion_schemas.times import UnixNanos

positions = st.builds(
    Position,
    st.from_regex(r"[A-Za-z0-9._-]{1,249}", fullmatch=True),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
)
records = st.builds(
    KafkaRecord,
    st.none() | st.binary(),
    st.none() | st.binary(),
    st.lists(st.tuples(strategies.texts, st.none() | st.binary()), max_size=4).map(tuple),
)
offsets = st.integers(0, 2**63 - 1)
marks = st.builds(
    Mark,
    st.just(digest_of({"a": 1})),
    st.builds(Span, offsets, offsets),
    offsets,
    offsets,
    st.none() | offsets.map(UnixNanos),
    st.none() | offsets.map(UnixNanos),
    st.lists(st.builds(Span, offsets, offsets), max_size=8).map(tuple),
    offsets,
    offsets,
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | strategies.texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(strategies.texts, inner, max_size=3)
    ),
    max_leaves=6,
)


@given(positions, st.integers(-1, 2**63 - 1), records, st.integers(0, 10**6))
def test_a_record_comes_back_from_its_line_byte_for_byte(
    position: Position, stamp: int, record: KafkaRecord, number: int
) -> None:
    line = to_line(Kept(position, stamp, record, (3, 9)))
    assert line.count(b"\n") == 1
    assert from_line(line, number) == Kept(position, stamp, record, (0, number))


@given(
    st.binary()
    | _json.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(
        st.sampled_from(["topic", "partition", "offset", "timestamp", "key", "value", "headers"]),
        _json,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_other_line_is_refused_by_its_number_and_not_quoted(line: bytes) -> None:
    try:
        from_line(line, 41)
    except LineError as error:
        assert str(error).startswith("line 42 is not a record")  # noqa: PT017 - most lines are none


def test_a_line_that_is_refused_shows_no_token() -> None:
    token = base64.b64encode(b"a task token that nobody may see").decode()
    with pytest.raises(LineError) as refused:
        from_line(json.dumps({"topic": "t", "value": token}).encode(), 0)
    assert token not in str(refused.value)


@given(marks)
def test_progress_is_read_as_it_was_committed_and_kafka_takes_it(mark: Mark) -> None:
    assert read_mark(mark.reached, mark.metadata) == mark
    assert len(mark.metadata.encode()) < 4_096


@given(offsets, strategies.texts | _json.map(json.dumps))
def test_what_others_have_committed_is_no_progress(offset: int, metadata: str) -> None:
    assert read_mark(offset, metadata) is None


@given(marks, st.lists(st.tuples(offsets, st.integers(0, 100)), max_size=5))
def test_progress_never_goes_back(mark: Mark, steps: list[tuple[int, int]]) -> None:
    before = mark
    for reached, sent in steps:
        after = before.at(reached, sent=sent)
        assert after.reached >= before.reached
        assert after.sent == before.sent + sent
        before = after


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=20))
def test_the_replays_of_the_same_words_have_each_offset_once_and_know_what_was_had(
    ranges: list[tuple[int, int]],
) -> None:
    """Each range begins and ends where it likes, as `--from 24h` does, but nothing is had twice."""
    mark, had = Mark("d", Span(0, 0), 0), set[int]()
    for begin, more in ranges:
        span = Span(begin, begin + more)
        mark = mark.at(mark.span.end, sent=1).beyond(span, since=None, until=None, partitions=1)
        new = set(range(mark.span.begin, mark.span.end))
        assert had.isdisjoint(new)
        assert new == {offset for offset in range(span.begin, span.end) if offset >= mark.reached}
        assert all(any(offset in one for one in mark.before) for offset in had)
        had |= new
    assert mark.sent_earlier == len(ranges)
    assert len(mark.before) <= 8


def test_what_a_later_run_read_beyond_the_range_of_the_first_is_had() -> None:
    mark = Mark("d", Span(0, 10), 0).at(15, sent=3)
    later = mark.beyond(Span(5, 20), since=None, until=None, partitions=1)
    assert (later.span, later.reached, later.before) == (Span(15, 20), 15, (Span(0, 15),))


def test_progress_of_a_version_that_had_no_earlier_replays_is_read() -> None:
    mark = Mark("d", Span(0, 10), 5, 3)
    fields = json.loads(mark.metadata)
    del fields["before"], fields["sent_earlier"], fields["partitions"]
    assert read_mark(5, json.dumps(fields)) == mark


KEPT = Kept(Position("completions", 0, 7), 5, KafkaRecord(b"k", b"v", (("a", None),)))


def lines(path: Path) -> list[Kept]:
    return [from_line(line, n) for n, line in enumerate(path.read_bytes().splitlines())]


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    with Export.create("--to-file", path) as file:
        file.write(KEPT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert lines(path) == [KEPT]


def broken_off(path: Path, error: BaseException) -> None:
    with Export.create("--to-file", path) as file:
        file.write(KEPT)
        file.flush()
        assert not path.exists()
        raise error


@pytest.mark.parametrize("error", [TimeoutError(), KeyboardInterrupt()])
def test_an_error_in_the_middle_leaves_no_short_file(tmp_path: Path, error: BaseException) -> None:
    """Who finds one would take it as whole, and what is missing in it would never be replayed."""
    with pytest.raises(type(error)):
        broken_off(tmp_path / "kept.jsonl", error)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_written_over_and_leaves_no_part(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    path.write_text("precious")
    with pytest.raises(FileError, match="is there already"), Export.create("--to-file", path):
        pass
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {path.name: "precious"}


def test_a_file_that_comes_while_another_one_of_its_name_is_written_is_not_written_over(
    tmp_path: Path,
) -> None:
    path = tmp_path / "kept.jsonl"
    with pytest.raises(FileError, match="is there already"), Export.create("--to-file", path):
        path.write_text("precious")
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {path.name: "precious"}


def test_the_part_of_another_export_is_not_touched_and_the_way_out_is_said(tmp_path: Path) -> None:
    """It may be under way; of one that was killed nobody but a person knows."""
    part = tmp_path / "kept.jsonl.part"
    part.write_text("of another one")
    with (
        pytest.raises(FileError, match=r"kept\.jsonl\.part is there, .* or delete that file"),
        Export.create("--to-file", tmp_path / "kept.jsonl"),
    ):
        pass
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {
        part.name: "of another one"
    }


def test_an_interrupted_replay_goes_on_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "left.jsonl"
    for _ in range(2):
        with Export.add_to("--parked-file", path) as file:
            file.write(KEPT)
    assert len(lines(path)) == 2


def test_a_file_that_others_may_read_gets_no_token(tmp_path: Path) -> None:
    path = tmp_path / "open.jsonl"
    path.touch(0o644)
    with pytest.raises(FileError, match="others may read it"), Export.add_to("--f", path):
        pass
    assert path.read_bytes() == b""


def test_a_full_disk_is_said_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "kept.jsonl"
    with pytest.raises(FileError, match=f"{path}: No space left"), Export.create("--f", path) as f:
        f.write(KEPT)
    assert list(tmp_path.iterdir()) == []
