"""Room `audit_trail`, the decoding: the fields of many Avro records of one schema at once. Core: touches numpy.

One by one a record of the audit trail takes 13 µs (`completion_schemas.avro_rows`),
in a batch 4: field after field, each for all the records side by side. A
scan has 20 µs a record, of which the reading takes a part. What is not plain is
left to the one who reads one by one, who also says what is wrong with it: an array that
is not empty, a number of ten bytes, and whatever is no record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Numbers: TypeAlias = NDArray[np.int64]
_Flags: TypeAlias = NDArray[np.bool_]
_Values: TypeAlias = list[Any]
_LONGEST_NUMBER = 9
"""Bytes; one of ten may not fit into 63 bits."""
_BEYOND = bytes(_LONGEST_NUMBER + 2)
"""What is behind the last record, so that one that ends too early can be read on there."""


class _Same(NamedTuple):
    """What a field is in all records."""

    value: Any


class BatchReader:
    """Reads records of one schema: strings, numbers, booleans, each nullable or not, and empty arrays.

    Args:
        definition: The schema that they were written with.
        names: The fields that are wanted; None: all.

    Raises:
        TypeError: the schema has a type without a rule here.
    """

    def __init__(self, definition: Mapping[str, Any], names: frozenset[str] | None = None) -> None:
        fields = definition["fields"]
        wanted = frozenset(field["name"] for field in fields) if names is None else names
        self._steps = tuple(
            (_step(field), field["name"] if field["name"] in wanted else None) for field in fields
        )
        self._blank: dict[str, Any] = dict.fromkeys(name for _, name in self._steps if name)

    def read(self, values: Sequence[bytes], at: int) -> list[dict[str, Any] | None]:
        """Return the fields of each record; None where it is not plain.

        Args:
            values: Each is one record.
            at: Where in its value each begins.
        """
        batch = _Batch(values, at)
        # What is the same in all records is in the row that is copied for each.
        alike = self._blank.copy()
        columns: dict[str, _Values] = {}
        for step, name in self._steps:
            column = step(batch)
            if name is None:
                continue
            read = column()
            if isinstance(read, _Same):
                alike[name] = read.value
            else:
                columns[name] = read
        plain = batch.plain()
        names = tuple(columns)
        found: list[dict[str, Any] | None] = []
        for row, is_plain in zip(
            zip(*columns.values(), strict=True) if columns else repeat((), len(values)),
            plain,
            strict=True,
        ):
            fields = None
            if is_plain:
                fields = alike.copy()
                fields.update(zip(names, row, strict=True))
                if batch.has_broken and _BROKEN in fields.values():
                    fields = None
            found.append(fields)
        return found


class _Batch:
    """The bytes of all records, and how far each of them is read.

    A record that turns out not to be plain is read on all the same, wherever that
    leads, and no further than to its end.
    """

    def __init__(self, values: Sequence[bytes], at: int) -> None:
        self._data = b"".join((*values, _BEYOND))
        self._bytes = np.frombuffer(self._data, np.uint8)
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        self._ends: _Numbers = np.cumsum(lengths)
        self._at: _Numbers = self._ends - lengths + at
        self._plain: _Flags = np.ones(len(values), np.bool_)
        self._text = self._data.decode("latin-1")
        self.has_broken = False
        """Whether a text was found whose bytes are none."""
        self._stay_inside()

    def plain(self) -> list[bool]:
        """Return which of the records are plain, after the last field."""
        found: list[bool] = (self._plain & (self._at == self._ends)).tolist()
        return found

    def nullable(self, step: _Read) -> _Column:
        """Read a field that may be null."""
        branch = self._bytes[self._at]
        self._at += 1
        self._plain &= (branch == 0) | (branch == 2)  # 1, as Avro writes numbers
        self._stay_inside()
        some = np.flatnonzero(branch == 2)
        count = len(branch)
        if some.size == count:
            return step(self)
        if not some.size:
            return lambda: _Same(None)
        at, ends, plain = self._at, self._ends, self._plain
        self._at, self._ends, self._plain = at[some], ends[some], plain[some]
        column = step(self)
        at[some], plain[some] = self._at, self._plain
        self._at, self._ends, self._plain = at, ends, plain
        return lambda: _spread(column(), some, count)

    def strings(self) -> _Column:
        """Read a string."""
        number = self._number()
        begin = self._at
        self._plain &= number & 1 == 0  # else its length is negative
        self._at = begin + (number >> 1)
        self._stay_inside()
        end = self._at
        return lambda: self._texts(begin, end)

    def _texts(self, begin: _Numbers, end: _Numbers) -> _Values | _Same:
        # A slice of the whole costs less than bytes that are decoded, and is the same for ASCII.
        text = self._text
        first = text[begin[0] : end[0]]
        if first == text[begin[-1] : end[-1]] and (end - begin == len(first)).all():
            parts = self._bytes[begin[:, np.newaxis] + np.arange(len(first))]
            if (parts == parts[0]).all():
                return _Same(first if first.isascii() else self._decoded(first))
        found = [text[at:until] for at, until in zip(begin.tolist(), end.tolist(), strict=True)]
        return found if "".join(found).isascii() else [self._decoded(part) for part in found]

    def _decoded(self, text: str) -> Any:
        """Return the text that is in these bytes; `_BROKEN` where it is none."""
        try:
            return text.encode("latin-1").decode()
        except UnicodeDecodeError:
            self.has_broken = True
            return _BROKEN

    def numbers(self) -> _Column:
        """Read an int or a long."""
        number = self._number()
        return _listed((number >> 1) ^ -(number & 1))

    def booleans(self) -> _Column:
        """Read a boolean."""
        number = self._number()
        self._plain &= number <= 1
        return _listed(number == 1)

    def arrays(self) -> _Column:
        """Read an array that is empty."""
        number = self._number()
        self._plain &= number == 0
        count = len(number)
        return lambda: [[] for _ in range(count)]

    def _number(self) -> _Numbers:
        """Return the next number of each record, as it is written: the sign is its last bit."""
        byte = self._bytes[self._at]
        number = (byte & 0x7F).astype(np.int64)
        self._at = self._at + 1
        more = np.flatnonzero(byte & 0x80)
        shift = 7
        while more.size and shift < 7 * _LONGEST_NUMBER:
            byte = self._bytes[self._at[more]]
            number[more] |= (byte & 0x7F).astype(np.int64) << shift
            self._at[more] += 1
            more = more[byte > 0x7F]
            shift += 7
        self._plain[more] = False
        self._stay_inside()
        return number

    def _stay_inside(self) -> None:
        outside = self._at > self._ends
        if outside.any():
            self._plain &= ~outside
            np.minimum(self._at, self._ends, out=self._at)


_BROKEN: Final = object()
"""Stands for a text whose bytes are none."""
_Column: TypeAlias = Callable[[], "_Values | _Same"]
"""What was read of a field, as Python's own values: made only where it is wanted."""
_Read: TypeAlias = Callable[[_Batch], _Column]
_READS: Mapping[str, _Read] = {
    "string": _Batch.strings,
    "int": _Batch.numbers,
    "long": _Batch.numbers,
    "boolean": _Batch.booleans,
}


def _listed(values: NDArray[Any]) -> _Column:
    if (values == values[0]).all():
        return lambda: _Same(values[0].item())
    return lambda: list(values.tolist())


def _spread(read: _Values | _Same, places: _Numbers, count: int) -> _Values:
    """Return what was read at its places, and None at the others."""
    column: _Values = [None] * count
    values = repeat(read.value) if isinstance(read, _Same) else read
    for place, value in zip(places.tolist(), values, strict=False):
        column[place] = value
    return column


def _step(field: Mapping[str, Any]) -> _Read:
    match field["type"]:
        case str(kind) if kind in _READS:
            return _READS[kind]
        case ["null", str(kind)] if kind in _READS:
            read = _READS[kind]
            return lambda batch: batch.nullable(read)
        case {"type": "array"}:
            return _Batch.arrays
    raise TypeError(f"{field['name']}: the schema has a type without a rule")
