"""Room `tests/bench`: gRPC's unary calls over HTTP/2, as cheap as Python has them. Touches one socket.

Why not grpcio: its Python servers answer 3,000 (asyncio) to 5,000 (threads) calls
a second of a core, less than the caller can make, and a caller that waits pays
up to twice the CPU a call: it wakes up for each answer. This one reads what has
come in, answers all of it in one write, and leaves HPACK to `hpack`. It knows
what gRPC's unary calls need of RFC 9113 and no more: no push, no priorities, no
streams, answers of one small frame.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_FRAME = struct.Struct(">HBBBI")
_LARGEST_WINDOW = 2**31 - 1
_WINDOW_STEP = 2**30
_MAX_MESSAGE = 16_000
"""Bytes: an answer is one frame of the size that every peer takes (RFC 9113, 4.2)."""


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return _FRAME.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def _block(*headers: tuple[str, str]) -> bytes:
    # Never indexed: the same bytes for every stream, whatever was sent before.
    return Encoder().encode(
        [NeverIndexedHeaderTuple(name, value) for name, value in headers], huffman=False
    )


class Reply:
    """One answer, its frames made beforehand but for the stream's number."""

    def __init__(self, message: bytes = b"", *, status: int = 0, text: str = "") -> None:
        """Make the frames.

        Args:
            message: The serialised response; not sent unless `status` is 0 (OK).
            status: The gRPC status code.
            text: `grpc-message`, ASCII.
        """
        if len(message) > _MAX_MESSAGE:
            raise ValueError(f"an answer of {len(message)} bytes: at most {_MAX_MESSAGE}")
        start = ((":status", "200"), ("content-type", "application/grpc"))
        end = (("grpc-status", str(status)), *((("grpc-message", text),) if text else ()))
        if status:
            frames = [_frame(_HEADERS, _END_HEADERS | _END_STREAM, 0, _block(*start, *end))]
        else:
            body = struct.pack(">BI", 0, len(message)) + message
            frames = [
                _frame(_HEADERS, _END_HEADERS, 0, _block(*start)),
                _frame(_DATA, 0, 0, body),
                _frame(_HEADERS, _END_HEADERS | _END_STREAM, 0, _block(*end)),
            ]
        self.flow_bytes = 0 if status else len(message) + 5
        """What counts against the flow-control window."""
        # What stands before, between and after the stream's number of each frame.
        pieces = [b""]
        for frame in frames:
            pieces[-1] += frame[:5]
            pieces.append(frame[9:])
        self._pieces = pieces

    def on(self, stream: bytes) -> bytes:
        """Return the answer's bytes for a stream, whose number is given as four bytes."""
        return stream.join(self._pieces)


Handler = Callable[[str, bytes], Reply]
"""Takes the path and the gRPC body (prefix of 5 bytes and message) of a call; answers at once."""


@dataclass(slots=True)
class _Stream:
    path: str
    body: bytes = b""
    block: bytes = field(default=b"")
    """A header block that goes on in CONTINUATION frames."""
    ends: bool = False


class GrpcProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._decoder = Decoder()
        self._paths: dict[bytes, str] = {}
        """Header blocks that were read before and change nothing in HPACK's table."""
        self._streams: dict[int, _Stream] = {}
        self._unread = b""
        self._preface = len(_PREFACE)
        self._window = 65_535
        """Bytes of DATA that the peer still takes on this connection."""
        self._received = 0
        self._waiting: deque[tuple[bytes, Reply]] = deque()
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell the peer that it may send as much as it likes."""
        self._transport = cast("asyncio.Transport", transport)
        largest_window_for_streams = struct.pack(">HI", 4, _LARGEST_WINDOW)
        self._transport.write(
            _frame(_SETTINGS, 0, 0, largest_window_for_streams)
            + _frame(_WINDOW, 0, 0, struct.pack(">I", _LARGEST_WINDOW - 65_535))
        )

    def data_received(self, data: bytes) -> None:
        """Read the frames that are whole, and answer the calls that are."""
        data = self._unread + data if self._unread else data
        at, end = 0, len(data)
        if self._preface:
            if end < self._preface:
                self._unread = data
                return
            at, self._preface = self._preface, 0
        while end - at >= 9:
            high, low, kind, flags, stream = _FRAME.unpack_from(data, at)
            until = at + 9 + (high << 8) + low
            if until > end:
                break
            self._on_frame(kind, flags, stream & 0x7FFF_FFFF, data[at + 9 : until])
            at = until
        self._unread = data[at:]
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _HEADERS:
            self._on_headers(flags, stream, _without_padding(flags, payload))
        elif kind == _DATA:
            self._on_data(flags, stream, payload)
        elif kind == _CONTINUATION:
            call = self._streams[stream]
            self._on_block(flags, stream, call.block + payload, ends=call.ends)
        elif kind == _RST:
            self._streams.pop(stream, None)
        elif stream == 0:
            self._on_connection(kind, flags, payload)

    def _on_connection(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == _WINDOW:
            self._window += struct.unpack(">I", payload)[0]
            while self._waiting and self._window >= self._waiting[0][1].flow_bytes:
                self._send(*self._waiting.popleft())
        elif kind == _PING and not flags & _ACK:
            self._out.append(_frame(_PING, _ACK, 0, payload))
        elif kind == _SETTINGS and not flags & _ACK:
            self._out.append(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _GOAWAY and self._transport is not None:
            self._transport.close()

    def _on_data(self, flags: int, stream: int, payload: bytes) -> None:
        call = self._streams.get(stream)
        if call is not None:
            call.body += _without_padding(flags, payload)
            if flags & _END_STREAM:
                self._answer(stream)
        self._received += len(payload)
        if self._received > _WINDOW_STEP:
            self._out.append(_frame(_WINDOW, 0, 0, struct.pack(">I", self._received)))
            self._received = 0

    def _on_headers(self, flags: int, stream: int, block: bytes) -> None:
        if flags & _PRIORITY:
            block = block[5:]
        self._on_block(flags, stream, block, ends=bool(flags & _END_STREAM))

    def _on_block(self, flags: int, stream: int, block: bytes, *, ends: bool) -> None:
        if not flags & _END_HEADERS:
            self._streams[stream] = _Stream("", block=block, ends=ends)
            return
        self._streams[stream] = _Stream(self._paths.get(block) or self._path(block))
        if ends:
            self._answer(stream)

    def _path(self, block: bytes) -> str:
        table = self._decoder.header_table.dynamic_entries
        before = table[0] if table else None
        headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
        path = headers[":path"]
        resizes = block[0] & 0xE0 == 0x20
        if resizes or before is not (table[0] if table else None):
            # What the table's numbers stand for has changed.
            self._paths.clear()
        else:
            self._paths[block] = path
        return path

    def _answer(self, stream: int) -> None:
        call = self._streams.pop(stream)
        reply = self._handler(call.path, call.body)
        number = stream.to_bytes(4, "big")
        if self._waiting or reply.flow_bytes > self._window:
            self._waiting.append((number, reply))
        else:
            self._send(number, reply)

    def _send(self, number: bytes, reply: Reply) -> None:
        self._window -= reply.flow_bytes
        self._out.append(reply.on(number))


def _without_padding(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
