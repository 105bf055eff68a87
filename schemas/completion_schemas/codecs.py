"""Room `events`: which content type is read and written by which encoding. Touches nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

from google.protobuf.message import Message

from completion_schemas import avro_codec, json_codec, messages
from completion_schemas.errors import DecodeError, EncodeError
from completion_schemas.messages import M

PROTOBUF: Final = "application/protobuf"
JSON: Final = "application/json"
AVRO: Final = "avro/binary"


class Codec(Protocol):
    """One encoding; each of these is a module."""

    def encode(self, message: Message) -> bytes:
        """Return the message's bytes, or raise EncodeError."""

    def decode(self, value: bytes, kind: type[M]) -> M:
        """Return the message that the bytes hold, or raise DecodeError."""


_CODECS: Mapping[str, Codec] = {
    PROTOBUF: messages,
    "application/x-protobuf": messages,
    JSON: json_codec,
    AVRO: avro_codec,
    "application/avro": avro_codec,
    "application/vnd.apache.avro+binary": avro_codec,
}
# A content type is repeated in an error only where it looks like one: it might
# be anything, a token too (promise 4).
_MEDIA_TYPE = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,40}")


def media_type(content_type: str) -> str:
    """Return the content type without parameters, in lower case, as it is looked up."""
    return content_type.partition(";")[0].strip().lower()


def encode(content_type: str, message: Message) -> bytes:
    """Return the message in the encoding of the content type.

    Raises:
        EncodeError: there is no such encoding, or it cannot carry all of the message.
    """
    codec = _CODECS.get(media_type(content_type))
    if codec is None:
        raise EncodeError(unsupported(media_type(content_type)))
    return codec.encode(message)


def decode(media: str, value: bytes, kind: type[M]) -> M:
    """Return the message that a value of this media type holds.

    Raises:
        DecodeError: it holds none, or the media type is not one that is read.
    """
    codec = _CODECS.get(media)
    if codec is None:
        raise DecodeError(unsupported(media))
    check_framing(value)
    return codec.decode(value, kind)


def check_framing(value: bytes) -> None:
    """Refuse a value in Confluent's wire format, which no registry is there to resolve.

    No encoding of an event can begin so: 0x00 and 0x01 are no protobuf tag, no
    JSON, and as Avro they would be an empty or a negative length of the event id.

    Raises:
        DecodeError: it begins with 0x00 and a schema id, or 0x01 and a schema GUID.
    """
    if value[:1] == b"\x00" and len(value) >= 5:
        how = "0x00 and a schema id"
    elif value[:1] == b"\x01" and len(value) >= 17:
        how = "0x01 and a schema GUID"
    else:
        return
    raise DecodeError(
        f"the value is in Confluent wire format ({how}), and no schema registry is configured: "
        "send it without a registry serializer"
    )


def unsupported(media: str) -> str:
    """Return what to say about a media type that is not read."""
    shown = f" {media}" if _MEDIA_TYPE.fullmatch(media) else ""
    return (
        f"content-type{shown} is not supported: use {PROTOBUF}, {JSON} or {AVRO}, "
        "or application/cloudevents+json"
    )
