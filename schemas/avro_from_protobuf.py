"""Derives an Avro schema from a protobuf message, mechanically; part of `generate.py`.

    message                  record of the same full name; a field of one is nullable
    oneof of messages        nullable union of those records, named as the oneof
    repeated, map            array, map
    string, bytes, bool      string, bytes, boolean
    int32, enum              int (proto3 enums are open: an Avro enum would lose values)
    int64                    long
    Timestamp, Duration      nullable long, nanoseconds

Anything else is refused here, at generation, until a rule is written for it.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor

Schema = dict[str, Any]

NANOSECONDS = {
    "google.protobuf.Timestamp": "nanoseconds since 1970-01-01T00:00:00Z",
    "google.protobuf.Duration": "nanoseconds",
}
_SCALARS: dict[int, tuple[str, Any]] = {
    FieldDescriptor.TYPE_STRING: ("string", ""),
    FieldDescriptor.TYPE_BYTES: ("bytes", ""),
    FieldDescriptor.TYPE_BOOL: ("boolean", False),
    FieldDescriptor.TYPE_INT32: ("int", 0),
    FieldDescriptor.TYPE_ENUM: ("int", 0),
    FieldDescriptor.TYPE_INT64: ("long", 0),
}


def avro_schema(message: Descriptor, docs: dict[str, str]) -> Schema:
    """Return the schema of a message.

    Args:
        message: The root.
        docs: Comments by full name of message, field or oneof.
    """
    schema: Schema = _record(message, docs, set())
    return schema


def _record(message: Descriptor, docs: dict[str, str], seen: set[str]) -> Any:
    if message.full_name in seen:
        return message.full_name
    seen.add(message.full_name)
    fields: list[Schema] = []
    done: set[str] = set()
    for field in message.fields:
        oneof = field.containing_oneof
        if oneof is None:
            fields.append(_field(field, docs, seen))
        elif oneof.name not in done:
            done.add(oneof.name)
            fields.append(_oneof(oneof, docs, seen))
    namespace, _, name = message.full_name.rpartition(".")
    record = {"type": "record", "name": name, "namespace": namespace}
    if message.full_name in docs:
        record["doc"] = docs[message.full_name]
    return {**record, "fields": fields}


def _field(field: FieldDescriptor, docs: dict[str, str], seen: set[str]) -> Schema:
    kind = field.message_type
    doc = docs.get(field.full_name, "")
    made: Schema
    if kind is not None and kind.GetOptions().map_entry:
        made = {
            "type": {"type": "map", "values": _value(kind.fields_by_name["value"], docs, seen)},
            "default": {},
        }
    elif field.is_repeated:
        made = {"type": {"type": "array", "items": _value(field, docs, seen)}, "default": []}
    elif kind is not None and kind.full_name in NANOSECONDS:
        doc = f"{doc} ({NANOSECONDS[kind.full_name]})".strip()
        made = {"type": ["null", "long"], "default": None}
    elif kind is not None:
        made = {"type": ["null", _record(kind, docs, seen)], "default": None}
    else:
        made = {"type": _value(field, docs, seen), "default": _SCALARS[field.type][1]}
    return {"name": field.name, **({"doc": doc} if doc else {}), **made}


def _value(field: FieldDescriptor, docs: dict[str, str], seen: set[str]) -> Any:
    kind = field.message_type
    if kind is not None and kind.full_name not in NANOSECONDS:
        return _record(kind, docs, seen)
    if field.type not in _SCALARS:
        raise TypeError(f"{field.full_name}: no rule for its type; write one in {__file__}")
    return _SCALARS[field.type][0]


def _oneof(oneof: OneofDescriptor, docs: dict[str, str], seen: set[str]) -> Schema:
    kinds = [field.message_type for field in oneof.fields if field.message_type is not None]
    if len({kind.full_name for kind in kinds}) != len(oneof.fields):
        raise TypeError(f"{oneof.full_name}: an Avro union needs one message of its own per case")
    doc = docs.get(oneof.full_name, "")
    return {
        "name": oneof.name,
        **({"doc": doc} if doc else {}),
        "type": ["null", *(_record(kind, docs, seen) for kind in kinds)],
        "default": None,
    }
