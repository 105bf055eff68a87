"""Room `events`: messages as proto3's canonical JSON, and what a plain producer may write instead. Touches nothing.

Reading is protobuf's `json_format` after one pass over the JSON, which

- fills in what a producer without a Temporal library leaves to us:
  `{"json": <any JSON>}` in place of a payload, `{"message", "type",
  "nonRetryable"}` in place of a failure, wherever one may stand;
- refuses what `json_format` would let pass in silence: Base64 with characters
  that are none (they would be dropped, and the payload be another), and an
  object in the place of an outcome or payload of which no member is known (a
  result in the wrong place would be no result).

Other unknown members are ignored: a later version may add some.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from functools import cache
from typing import Any, Self, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from completion_schemas.errors import DecodeError, EncodeError
from completion_schemas.messages import M, refuse_unknown_fields
from completion_schemas.v1 import event_pb2

_PAYLOAD = "temporal.api.common.v1.Payload"
_FAILURE = "temporal.api.failure.v1.Failure"
_JSON_PLAIN = base64.b64encode(b"json/plain").decode("ascii")
_HINTS = {
    _PAYLOAD: 'write {"json": <any JSON>}, or Temporal\'s "metadata" and "data"',
    "temporal.api.common.v1.Payloads": 'write {"payloads": [{"json": <any JSON>}]}',
    "completion.v1.Completed": 'write {"result": {"payloads": [...]}}, or {} for no result',
    "completion.v1.Failed": 'write {"failure": {"message": ..., "type": ..., "nonRetryable": ...}}',
    "completion.v1.Canceled": 'write {"details": {"payloads": [...]}}, or {}',
    "completion.v1.Heartbeat": 'write {"details": {"payloads": [...]}}, or {}',
}
# protobuf's own texts quote the input; the names of the fields are all that is kept of them.
_FIELD_IN_ERROR = re.compile(r"Failed to parse (\w+) field")
_PLAIN_BASE64 = str.maketrans("-_", "+/")


class _Number(float):
    """A JSON number with a fraction or exponent, as it was written: 1e400 and 0.30 stay what they are."""

    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number


def encode(message: Message) -> bytes:
    """Return the message as canonical proto3 JSON in UTF-8, members sorted, the same bytes each time.

    Raises:
        EncodeError: JSON cannot carry all of it (fields of a newer Temporal, a duration out of range).
    """
    return json.dumps(
        to_object(message), ensure_ascii=False, separators=(",", ":"), sort_keys=True
    ).encode()


def to_object(message: Message) -> dict[str, Any]:
    """Return the message as the object that `encode` writes.

    Raises:
        EncodeError: as `encode`.
    """
    refuse_unknown_fields(message, "JSON")
    try:
        return json_format.MessageToDict(message)
    except (ValueError, TypeError, json_format.SerializeToJsonError):
        raise EncodeError("JSON cannot carry the event: a duration is out of range") from None


def decode(value: bytes, kind: type[M]) -> M:
    """Return the message of this kind that the JSON text says.

    Raises:
        DecodeError: it says none.
    """
    return from_object(load(value), kind)


def load(value: bytes) -> Any:
    """Return what the JSON text says; numbers keep their spelling.

    Raises:
        DecodeError: it is no JSON by RFC 8259, or an object has the same member twice
            (readers differ in which one they take).
    """
    try:
        return json.loads(
            value.decode("utf-8-sig"),
            parse_float=_Number,
            parse_constant=_no_constant,
            object_pairs_hook=_members,
        )
    except UnicodeDecodeError:
        raise DecodeError("the value is not JSON: it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise DecodeError(
            f"the value is not JSON: line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise DecodeError("the value is JSON nested too deeply") from None
    except DecodeError:
        raise
    except ValueError:
        # Python refuses integers of more than 4,300 digits.
        raise DecodeError("the value is JSON with an integer of too many digits") from None


def from_object(value: Any, kind: type[M]) -> M:
    """Return the message of this kind that an object from `load` says.

    Raises:
        DecodeError: it says none.
    """
    if not isinstance(value, dict):
        raise DecodeError(f"the value must be a JSON object ({kind.DESCRIPTOR.full_name})")
    message = kind()
    try:
        json_format.ParseDict(
            _plain(value, cast("Descriptor", kind.DESCRIPTOR), ""),
            message,
            ignore_unknown_fields=True,
        )
    except RecursionError:
        raise DecodeError("the value is JSON nested too deeply") from None
    except DecodeError:
        raise
    except (json_format.ParseError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise DecodeError(_refusal(str(error), kind)) from None
    return message


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DecodeError("the value is JSON in which an object has the same member twice")
    return members


def _no_constant(_: str) -> Any:
    raise DecodeError("the value is not JSON: NaN and Infinity are no JSON numbers")


def _plain(value: Any, kind: Descriptor, path: str) -> Any:
    """Return the value of a message as canonical JSON, with what was left to us filled in."""
    if not isinstance(value, dict) or kind.file.package == "google.protobuf":
        return value
    if kind.full_name == _PAYLOAD and "json" in value:
        return _payload(value, path)
    if kind.full_name == _FAILURE:
        value = _failure(value, path)
    fields = _fields(kind)
    if kind.full_name in _HINTS and value and not any(name in fields for name in value):
        raise DecodeError(f"{path} has no member that is known: {_HINTS[kind.full_name]}")
    plain = {}
    chosen: dict[str, str] = {}
    for name, member in value.items():
        field = fields.get(name)
        if field is None or member is None:
            continue
        oneof = field.containing_oneof
        if oneof is not None and chosen.setdefault(oneof.name, field.name) != field.name:
            raise DecodeError(
                f"{path or 'the event'} has both {chosen[oneof.name]} and {field.name}: give one {oneof.name}"
            )
        plain[name] = _field(member, field, f"{path}.{name}" if path else name)
    return plain


def _field(value: Any, field: FieldDescriptor, path: str) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        item = kind.fields_by_name["value"]
        if isinstance(value, dict):
            # The keys are the producer's and are not named in an error.
            return {key: _field(member, item, path) for key, member in value.items()}
    elif field.is_repeated and isinstance(value, list):
        return [_item(member, field, f"{path}[{index}]") for index, member in enumerate(value)]
    return _item(value, field, path)


def _item(value: Any, field: FieldDescriptor, path: str) -> Any:
    if field.message_type is not None:
        return _plain(value, field.message_type, path)
    if field.type == FieldDescriptor.TYPE_BYTES and isinstance(value, str):
        return _base64(value, path)
    return value


def _payload(value: dict[str, Any], path: str) -> dict[str, Any]:
    if len(value) > 1:
        raise DecodeError(
            f'{path} has "json" beside other members: "json" stands for a whole payload'
        )
    data = _dump(value["json"]).encode("ascii")
    return {
        "metadata": {"encoding": _JSON_PLAIN},
        "data": base64.b64encode(data).decode("ascii"),
    }


def _failure(value: dict[str, Any], path: str) -> dict[str, Any]:
    """Move a plain failure's `type` and `nonRetryable` to where Temporal has them."""
    short = {
        name: value[name] for name in ("type", "nonRetryable", "non_retryable") if name in value
    }
    if not short:
        return value
    if any(name.endswith(("FailureInfo", "_failure_info")) for name in value):
        raise DecodeError(
            f'{path} has "type" or "nonRetryable" beside a failure info: put them inside it'
        )
    rest = {name: member for name, member in value.items() if name not in short}
    return {**rest, "applicationFailureInfo": short}


def _base64(text: str, path: str) -> str:
    """Refuse what is no Base64 (standard or URL-safe, padded or not, as proto3 JSON allows)."""
    padded = text.translate(_PLAIN_BASE64).rstrip("=")
    padded += "=" * (-len(padded) % 4)
    try:
        base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError(f"{path} is not Base64") from None
    return padded


def _dump(value: Any) -> str:
    """Return JSON text in ASCII, numbers and lone surrogates as the producer wrote them."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dump, value)) + "]"
    return value.text if isinstance(value, _Number) else json.dumps(value)


@cache
def _fields(kind: Descriptor) -> dict[str, FieldDescriptor]:
    """Return the fields by both of the names that proto3 JSON accepts."""
    return {name: field for field in kind.fields for name in (field.name, field.json_name)}


def _refusal(text: str, kind: type[Message]) -> str:
    """Return which field was refused, told by names out of the schema only."""
    names = [name for name in _FIELD_IN_ERROR.findall(text) if name in _names()]
    path = ".".join(names if len(names) <= 6 else ["...", *names[-5:]])
    where = f"{path} is not valid" if path else "it is not valid"
    return f"the value is JSON but no {kind.DESCRIPTOR.full_name}: {where}"


@cache
def _names() -> frozenset[str]:
    """Return every name that a field of an event can have."""
    found: set[str] = set()
    todo, seen = [event_pb2.CompletionEvent.DESCRIPTOR], set()
    while todo:
        kind = todo.pop()
        if kind.full_name in seen:
            continue
        seen.add(kind.full_name)
        found.update(_fields(kind))
        todo += [field.message_type for field in kind.fields if field.message_type is not None]
    return frozenset(found)
