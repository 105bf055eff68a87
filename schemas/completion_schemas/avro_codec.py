"""Room `events`: messages as Avro, by the schemas in `avro/`. Touches nothing.

A schema there was derived from the protobuf messages (`schemas/generate.py`) and
says which fields there are and in which order; the message says what each one
means. So the layout stays that of the shipped schema when a newer `temporalio`
brings messages with more fields: those fields cannot be written and say so.

A value is the bare Avro binary of the newest shipped version. Avro's
single-object encoding is read too: no event begins with its marker, which would
be a negative length of the event id.
"""

from __future__ import annotations

from google.protobuf.message import Message

from completion_schemas import avro
from completion_schemas.avro_binary import Cursor
from completion_schemas.avro_plan import plan
from completion_schemas.errors import EncodeError
from completion_schemas.messages import M, refuse_unknown_fields

_KINDS = {
    "completion.v1.CompletionEvent": "event",
    "completion.v1.CompletionSignal": "signal",
}


def encode(message: Message) -> bytes:
    """Return the message as bare Avro binary of the newest schema, the same bytes each time.

    Raises:
        EncodeError: the schema cannot carry all of it.
    """
    refuse_unknown_fields(message, "Avro")
    schema = avro.latest(_KINDS[message.DESCRIPTOR.full_name])
    out = bytearray()
    try:
        plan(schema, message.DESCRIPTOR).put(out, message)
    except UnicodeEncodeError:
        raise EncodeError("Avro cannot carry the event: a text is not valid Unicode") from None
    return bytes(out)


def decode(value: bytes, kind: type[M]) -> M:
    """Return the message of this kind that the bytes hold, all of them.

    Raises:
        DecodeError: they hold none.
    """
    schema = avro.latest(_KINDS[kind.DESCRIPTOR.full_name])
    if value.startswith(avro.SINGLE_OBJECT_MARKER):
        schema, value = avro.open_single_object(value, schema.kind)
    cursor = Cursor(value)
    message = kind()
    plan(schema, kind.DESCRIPTOR).get(cursor, message, 0)
    cursor.end()
    return message
