import datetime

from completion_schemas.v1 import event_pb2 as _event_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CompletionSignal(_message.Message):
    __slots__ = ("activity", "cancel_requested", "paused", "reset", "origin", "observed_at")
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    activity: _event_pb2.ActivityReference
    cancel_requested: bool
    paused: bool
    reset: bool
    origin: _event_pb2.Origin
    observed_at: _timestamp_pb2.Timestamp
    def __init__(self, activity: _Optional[_Union[_event_pb2.ActivityReference, _Mapping]] = ..., cancel_requested: _Optional[bool] = ..., paused: _Optional[bool] = ..., reset: _Optional[bool] = ..., origin: _Optional[_Union[_event_pb2.Origin, _Mapping]] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
