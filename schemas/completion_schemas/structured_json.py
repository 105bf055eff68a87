"""Room `events`: CloudEvents' structured mode, attributes and data in one JSON value. Touches nothing.

The data is a JSON object in `data`, or any encoding in Base64 in `data_base64`;
`datacontenttype` says which, and is JSON where it is missing (CloudEvents JSON format).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from google.protobuf.message import Message

from completion_schemas import codecs, json_codec
from completion_schemas.errors import DecodeError
from completion_schemas.messages import M

FAMILY = "application/cloudevents"
"""What the content type of structured mode begins with."""
MEDIA_TYPE = "application/cloudevents+json"
CONTENT_TYPE = f"{MEDIA_TYPE}; charset=UTF-8"

_SPEC_VERSION = "1.0"


class Envelope(NamedTuple):
    """The attributes that are looked at; empty where they are missing or no text."""

    id: str
    type: str


def encode(attributes: Mapping[str, str], media: str, message: Message) -> bytes:
    """Return the envelope with the message in it.

    Raises:
        EncodeError: the encoding cannot carry all of the message.
    """
    data: dict[str, Any]
    if media == codecs.JSON:
        data = {"data": json_codec.to_object(message)}
    else:
        data = {"data_base64": base64.b64encode(codecs.encode(media, message)).decode("ascii")}
    envelope = {**attributes, "datacontenttype": media, **data}
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def decode(media: str, value: bytes, kind: type[M]) -> tuple[Envelope, M]:
    """Return the attributes and the message that an envelope holds.

    Raises:
        DecodeError: it is no envelope, or its data is no such message.
    """
    if media != MEDIA_TYPE:
        raise DecodeError(codecs.unsupported(media))
    codecs.check_framing(value)
    envelope = json_codec.load(value)
    if not isinstance(envelope, dict):
        raise DecodeError("the value must be a JSON object (a CloudEvent in structured mode)")
    if envelope.get("specversion") != _SPEC_VERSION:
        raise DecodeError(f'specversion must be there and say "{_SPEC_VERSION}"')
    return _attributes(envelope), _data(envelope, kind)


def peek(value: bytes) -> Envelope:
    """Return the attributes as far as they can be read; never raises."""
    try:
        envelope = json_codec.load(value)
    except DecodeError:
        return Envelope("", "")
    return _attributes(envelope) if isinstance(envelope, dict) else Envelope("", "")


def _attributes(envelope: dict[str, Any]) -> Envelope:
    found = (envelope.get(name) for name in ("id", "type"))
    return Envelope(*(text if isinstance(text, str) else "" for text in found))


def _data(envelope: dict[str, Any], kind: type[M]) -> M:
    content_type = envelope.get("datacontenttype") or codecs.JSON
    if not isinstance(content_type, str):
        raise DecodeError("datacontenttype must be a text such as application/json")
    media = codecs.media_type(content_type)
    data, encoded = envelope.get("data"), envelope.get("data_base64")
    if (data is None) == (encoded is None):
        raise DecodeError("give the event in data or in data_base64, one of the two")
    if encoded is None:
        if media != codecs.JSON:
            raise DecodeError(
                f"data is JSON, but datacontenttype is not {codecs.JSON}: use data_base64"
            )
        return json_codec.from_object(data, kind)
    if not isinstance(encoded, str):
        raise DecodeError("data_base64 must be a text")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError("data_base64 is not Base64") from None
    return codecs.decode(media, decoded, kind)
