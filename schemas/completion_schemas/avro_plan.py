"""Room `events`: how each record of an Avro schema is written from and read into a message. Touches nothing.

A plan is made once per schema and message: for every field of the schema, in
the schema's order, how the message's field of that name is put and got.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from completion_schemas.avro import Schema
from completion_schemas.avro_binary import Cursor, put_boolean, put_bytes, put_long, put_string
from completion_schemas.errors import DecodeError, EncodeError
from completion_schemas.times import INT64

Put = Callable[[bytearray, Any], None]
Get = Callable[[Cursor], Any]

_SCALARS: dict[str, tuple[Put, Get]] = {
    "string": (put_string, Cursor.string),
    "bytes": (put_bytes, Cursor.bytes),
    "boolean": (put_boolean, Cursor.boolean),
    "int": (put_long, Cursor.long),
    "long": (put_long, Cursor.long),
}
_SECOND = 10**9
# Protobuf's own readers stop here: what is nested deeper could not be passed on.
_MAX_DEPTH = 100


class Field(Protocol):
    """One field of a record."""

    def put(self, out: bytearray, message: Message) -> None:
        """Append the message's field."""

    def get(self, cursor: Cursor, message: Message, depth: int) -> None:
        """Read the field into the message."""


class Record:
    """A record and the message that it is."""

    def __init__(self, message: Descriptor) -> None:
        self._name = message.full_name
        self._fields: tuple[Field, ...] = ()
        self._carried: frozenset[str] = frozenset()

    def fill(self, fields: list[Field], carried: set[str]) -> None:
        """Complete the record; apart from its construction, since a record may hold itself."""
        self._fields = tuple(fields)
        self._carried = frozenset(carried)

    def put(self, out: bytearray, message: Message) -> None:
        """Append the message.

        Raises:
            EncodeError: it has a field that the schema has not, or a time out of range.
        """
        for field, _ in message.ListFields():
            if field.name not in self._carried:
                raise EncodeError(
                    f"Avro cannot carry the event: its schema has no {self._name}.{field.name}; use protobuf"
                )
        for planned in self._fields:
            planned.put(out, message)

    def get(self, cursor: Cursor, message: Message, depth: int) -> None:
        """Read the record into an empty message.

        Raises:
            DecodeError: the bytes hold none, or are nested too deeply.
        """
        if depth > _MAX_DEPTH:
            raise DecodeError("the value is Avro nested too deeply")
        for planned in self._fields:
            planned.get(cursor, message, depth + 1)


@dataclass(frozen=True, slots=True)
class _Scalar:
    name: str
    scalar: tuple[Put, Get]

    def put(self, out: bytearray, message: Message) -> None:
        self.scalar[0](out, getattr(message, self.name))

    def get(self, cursor: Cursor, message: Message, depth: int) -> None:  # noqa: ARG002 - as Field
        try:
            setattr(message, self.name, self.scalar[1](cursor))
        except DecodeError:
            raise
        except (ValueError, OverflowError):
            # An Avro int is read as wide as a long; the message knows its own width.
            raise DecodeError(f"{self.name} is out of range") from None


@dataclass(frozen=True, slots=True)
class _Map:
    name: str
    scalar: tuple[Put, Get]

    def put(self, out: bytearray, message: Message) -> None:
        entries = getattr(message, self.name)
        if entries:
            put_long(out, len(entries))
            for key in sorted(entries):
                put_string(out, key)
                self.scalar[0](out, entries[key])
        put_long(out, 0)

    def get(self, cursor: Cursor, message: Message, depth: int) -> None:  # noqa: ARG002 - as Field
        entries = getattr(message, self.name)
        for _ in cursor.items():
            key = cursor.string()
            entries[key] = self.scalar[1](cursor)


@dataclass(frozen=True, slots=True)
class _Array:
    name: str
    record: Record

    def put(self, out: bytearray, message: Message) -> None:
        items = getattr(message, self.name)
        if items:
            put_long(out, len(items))
            for item in items:
                self.record.put(out, item)
        put_long(out, 0)

    def get(self, cursor: Cursor, message: Message, depth: int) -> None:
        items = getattr(message, self.name)
        for _ in cursor.items():
            self.record.get(cursor, items.add(), depth)


@dataclass(frozen=True, slots=True)
class _Nanoseconds:
    """A Timestamp or Duration, nullable."""

    name: str
    signed: bool

    def put(self, out: bytearray, message: Message) -> None:
        if not message.HasField(self.name):
            put_long(out, 0)
            return
        time = getattr(message, self.name)
        nanos = time.seconds * _SECOND + time.nanos
        if nanos not in INT64 or self._split(nanos) != (time.seconds, time.nanos):
            raise EncodeError(f"Avro cannot carry the event: {self.name} is out of range")
        put_long(out, 1)
        put_long(out, nanos)

    def get(self, cursor: Cursor, message: Message, depth: int) -> None:  # noqa: ARG002 - as Field
        if cursor.branch(2):
            time = getattr(message, self.name)
            time.SetInParent()
            time.seconds, time.nanos = self._split(cursor.long())

    def _split(self, nanos: int) -> tuple[int, int]:
        """Return seconds and nanos as protobuf has them: of a Duration both have its sign."""
        if self.signed and nanos < 0:
            seconds, rest = divmod(-nanos, _SECOND)
            return -seconds, -rest
        return divmod(nanos, _SECOND)


@dataclass(frozen=True, slots=True)
class _Union:
    """A message that may be missing, or a oneof of messages."""

    branches: tuple[tuple[str, Record], ...]

    def put(self, out: bytearray, message: Message) -> None:
        for index, (name, record) in enumerate(self.branches, start=1):
            if message.HasField(name):
                put_long(out, index)
                record.put(out, getattr(message, name))
                return
        put_long(out, 0)

    def get(self, cursor: Cursor, message: Message, depth: int) -> None:
        index = cursor.branch(len(self.branches) + 1)
        if index:
            name, record = self.branches[index - 1]
            inner = getattr(message, name)
            inner.SetInParent()
            record.get(cursor, inner, depth)


@cache
def plan(schema: Schema, message: Descriptor) -> Record:
    """Return how messages are written and read by a schema."""
    return _record(schema.definition, message, {})


def _record(definition: Any, message: Descriptor, known: dict[str, Record]) -> Record:
    if message.full_name in known:
        return known[message.full_name]
    record = known[message.full_name] = Record(message)
    fields: list[Field] = []
    carried: set[str] = set()
    for field in definition["fields"]:
        name = field["name"]
        oneof = message.oneofs_by_name.get(name)
        members = list(oneof.fields) if oneof else [message.fields_by_name[name]]
        carried.update(member.name for member in members)
        fields.append(_field(field["type"], members, known))
    record.fill(fields, carried)
    return record


def _field(kind: Any, members: list[FieldDescriptor], known: dict[str, Record]) -> Field:
    first = members[0]
    match kind:
        case str():
            return _Scalar(first.name, _SCALARS[kind])
        case {"type": "map", "values": values}:
            return _Map(first.name, _SCALARS[values])
        case {"type": "array", "items": items}:
            return _Array(first.name, _record(items, _message(first), known))
        case ["null", "long"]:
            return _Nanoseconds(first.name, _message(first).name == "Duration")
        case ["null", *records]:
            by_kind = {_message(member).full_name: member for member in members}
            branches = []
            for definition in records:
                member = by_kind[_full_name(definition)]
                branches.append((member.name, _record(definition, _message(member), known)))
            return _Union(tuple(branches))
    raise TypeError(f"{first.full_name}: the schema has a type without a rule")


def _message(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None:
        raise TypeError(f"{field.full_name}: the schema has a record where the message has none")
    return field.message_type


def _full_name(definition: Any) -> str:
    if isinstance(definition, str):
        return definition
    return f"{definition['namespace']}.{definition['name']}"
