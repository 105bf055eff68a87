"""Room `events`: the completion signal as a Kafka record, in the same encodings as the event. Touches nothing."""

from __future__ import annotations

from completion_schemas import codecs
from completion_schemas.cloudevents import SPEC_VERSION, read_headers, source
from completion_schemas.codecs import PROTOBUF
from completion_schemas.errors import DecodeError, EncodeError, InvalidEventError
from completion_schemas.events import CompletionSignal
from completion_schemas.messages import signal_from_message, signal_message
from completion_schemas.record import Headers, KafkaRecord
from completion_schemas.times import nanos_rfc3339
from completion_schemas.v1.signal_pb2 import CompletionSignal as SignalMessage

SIGNAL_TYPE = "completion.activity.signal.v1"


def encode_signal(
    signal: CompletionSignal, *, content_type: str = PROTOBUF, headers: Headers = ()
) -> KafkaRecord:
    """Return the record to send; its key is the activity's, as the event's was.

    Args:
        signal: What Temporal answered.
        content_type: As for an event.
        headers: Further headers, sent as they are.

    Raises:
        EncodeError: the signal names no activity, or the encoding cannot carry it.
    """
    if not signal.activity:
        raise EncodeError("the signal names no activity: give the reference of the heartbeat")
    media = codecs.media_type(content_type)
    try:
        value = codecs.encode(media, signal_message(signal))
        key = signal.activity.key
    except InvalidEventError as error:
        raise EncodeError(str(error)) from None
    attributes = {
        "specversion": SPEC_VERSION,
        # One answer is one signal: the activity and the moment tell them apart.
        "id": f"{key}/{signal.observed_at}",
        "source": source(signal.origin),
        "type": SIGNAL_TYPE,
        "time": nanos_rfc3339(signal.observed_at),
    }
    own = [("content-type", media.encode())]
    own += [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    return KafkaRecord(key.encode(), value, (*own, *headers))


def decode_signal(headers: Headers, value: bytes | None) -> CompletionSignal:
    """Return the signal that a record holds.

    Raises:
        DecodeError: it holds none.
    """
    read = read_headers(headers)
    if value is None:
        raise DecodeError("the value is null: a signal is never a tombstone")
    if read.get("ce_type", SIGNAL_TYPE) != SIGNAL_TYPE:
        raise DecodeError(f"header ce_type must be {SIGNAL_TYPE}")
    media = codecs.media_type(read.get("content-type", ""))
    return signal_from_message(codecs.decode(media, value, SignalMessage))
