"""Room `audit_export`: decisions as a file for other programs. Touches files, and pyarrow for Parquet.

The fields are those of the contract by name, order and type. Times are whole
nanoseconds in all three: that is the contract's type, and Parquet's timestamps of
nanoseconds are refused by some of its readers (Spark before 4), integers by none.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol

from completion_relay.part_file import gone_at_error, part_of, place_of
from completion_schemas import avro
from completion_schemas.errors import CompletionError

Row = Mapping[str, Any]

_GROUP_ROWS: Final = 50_000
"""Of one row group of Parquet: what is held before it is written, some 30 MB."""


class Format(StrEnum):
    """What a file may be."""

    JSONL = "jsonl"
    """One JSON object a line."""
    CSV = "csv"
    """With a line of names; null is an empty field."""
    PARQUET = "parquet"


_ENDINGS: Final = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSONL,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
}


class ExportError(CompletionError):
    """A file that cannot be written; the message says which, why, and what to do."""


class Writer(Protocol):
    """Takes decisions, some at a time."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write them, or keep them until there are enough.

        Raises:
            OSError: the file cannot be written.
        """

    def close(self) -> None:
        """Write what was kept, and what has to stand at the end.

        Raises:
            OSError: the file cannot be written.
        """


def format_of(path: Path) -> Format | None:
    """Return the format that a file's name says; None: it says none."""
    return _ENDINGS.get(path.suffix.lower())


@contextlib.contextmanager
def exported(path: Path, kind: Format) -> Iterator[Writer]:
    """Write a file that is there as a whole or not at all.

    It is written beside its place, as `FILE.part`, and takes its place at the end
    of the context, unless that ends with an error. A device or a FIFO stays what it is,
    and is written to as it comes.

    Raises:
        ExportError: it cannot be written, or Parquet cannot, where pyarrow is not installed.
    """
    with _telling(path):
        place = place_of(path)
    if place is None:
        with _streamed(path, kind) as writer:
            yield writer
        return
    part = part_of(place)
    with contextlib.ExitStack() as opened:
        with _telling(path):
            writer = opened.enter_context(_OPENED[kind](part))
        with gone_at_error(part):
            yield _Telling(writer, path)
            with _telling(path):
                writer.close()
                opened.close()
                part.replace(place)


@contextlib.contextmanager
def _streamed(path: Path, kind: Format) -> Iterator[Writer]:
    if kind is Format.PARQUET:
        raise ExportError(
            f"{path} is no regular file, as Parquet needs one: give one with --output, or --format jsonl "
            "or csv"
        )
    with contextlib.ExitStack() as opened:
        with _telling(path):
            # Behind what is there: `-o /dev/stdout >> FILE` emptied it.
            writer = opened.enter_context(_text(path, lambda s: written_to(s, kind), mode="a"))
        yield _Telling(writer, path)
        with _telling(path):
            writer.close()
            opened.close()


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written: {error.strerror or error}: give a file that can be written "
            "with --output, on a disk with room"
        ) from None


class _Telling:
    """A writer whose errors say what to do: those of Kafka pass through the same context."""

    def __init__(self, writer: Writer, path: Path) -> None:
        self._writer = writer
        self._path = path

    def write(self, rows: Sequence[Row]) -> None:
        """Write them."""
        with _telling(self._path):
            self._writer.write(rows)

    def close(self) -> None:
        """Leave it to the context."""


def written_to(stream: IO[str], kind: Format) -> Writer:
    """Return what writes to a stream that is open, and takes any character.

    Raises:
        ExportError: the format is no text.
    """
    if kind is Format.PARQUET:
        raise ExportError("Parquet is no text: give a file with --output, or --format jsonl or csv")
    return JsonLines(stream) if kind is Format.JSONL else Csv(stream)


class JsonLines:
    """One JSON object a line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

    def write(self, rows: Sequence[Row]) -> None:
        """Write them."""
        self._stream.write("".join(f"{self._encode(row)}\n" for row in rows))

    def close(self) -> None:
        """Write what is still in memory."""
        self._stream.flush()


_CRLF: Final = "\r\n"


class Csv:
    """Comma-separated values as RFC 4180 has them, but with a line feed alone."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._names = [field["name"] for field in _fields()]
        self._writer = csv.writer(_LineFeeds(stream), lineterminator=_CRLF)
        self._writer.writerow(self._names)

    def write(self, rows: Sequence[Row]) -> None:
        """Write them."""
        self._writer.writerows([_csv(row[name]) for name in self._names] for row in rows)

    def close(self) -> None:
        """Write what is still in memory."""
        self._stream.flush()


class _LineFeeds:
    """Takes rows that end as RFC 4180 has it, and ends them with the line feed alone.

    Of carriage return and line feed `csv` quotes those that its line terminator has (before
    Python 3.13), and every reader takes either for the end of a row.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._write = stream.write

    def write(self, row: str) -> None:
        """Write one."""
        self._write(row.removesuffix(_CRLF) + "\n")


def _csv(value: object) -> object:
    match value:
        case bool():
            return "true" if value else "false"
        case list() | dict():
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        case _:
            return value


class Parquet:
    """Parquet, in row groups of which one is held in memory.

    Raises:
        ExportError: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415 - an extra of its own: 40 MB for one format
            from pyarrow import parquet  # noqa: PLC0415 - the same
        except ImportError:
            raise ExportError(
                "Parquet needs pyarrow, which is not installed: install completion-relay[parquet], or "
                "choose --format jsonl or csv"
            ) from None
        self._table = pa.Table.from_pylist
        self._schema = pa.schema([_arrow_field(pa, field) for field in _fields()])
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        """Keep them until there are enough for a row group."""
        self._rows += rows
        if len(self._rows) >= _GROUP_ROWS:
            self._write_group()

    def close(self) -> None:
        """Write the last row group, and the index at the end."""
        if self._rows:
            self._write_group()
        self._file.close()

    def _write_group(self) -> None:
        self._file.write_table(self._table(self._rows, schema=self._schema))
        self._rows = []


def _arrow_field(pa: Any, field: Mapping[str, Any]) -> Any:
    kind = field["type"]
    is_nullable = isinstance(kind, list)
    return pa.field(field["name"], _arrow_type(pa, kind[1] if is_nullable else kind), is_nullable)


def _arrow_type(pa: Any, kind: Any) -> Any:
    match kind:
        case "string":
            return pa.string()
        case "int":
            return pa.int32()
        case "long":
            return pa.int64()
        case "boolean":
            return pa.bool_()
        case {"type": "array", "items": {"fields": fields}}:
            return pa.list_(pa.struct([_arrow_field(pa, field) for field in fields]))
    raise TypeError(f"the audit record's schema has a type without a rule: {kind}")


def _fields() -> Sequence[Mapping[str, Any]]:
    fields: Sequence[Mapping[str, Any]] = avro.latest("audit").definition["fields"]
    return fields


@contextlib.contextmanager
def _text(
    path: Path, make: Callable[[IO[str]], Writer], *, mode: Literal["w", "a"] = "w"
) -> Iterator[Writer]:
    stream = path.open(mode, encoding="utf-8", newline="")
    try:
        yield make(stream)
    except BaseException:
        with contextlib.suppress(OSError):  # it would write once more what could not be written
            stream.close()
        raise
    stream.close()


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Writer]:
    yield Parquet(path)


_OPENED: Final[Mapping[Format, Callable[[Path], contextlib.AbstractContextManager[Writer]]]] = {
    Format.JSONL: lambda path: _text(path, JsonLines),
    Format.CSV: lambda path: _text(path, Csv),
    Format.PARQUET: _parquet,
}
