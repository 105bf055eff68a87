"""The null frontend's HTTP/2, fed with bytes as a socket would."""

from __future__ import annotations

import asyncio
import itertools
import struct
from dataclasses import dataclass, field

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st
from tests.bench.grpc_server import GrpcProtocol, Reply

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 4, 6, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)


@dataclass
class Connection:
    """A client's end: what was answered, by stream."""

    protocol: GrpcProtocol
    transport: Transport = field(default_factory=Transport)

    def __post_init__(self) -> None:
        self.protocol.connection_made(self.transport)

    def frames(self) -> list[tuple[int, int, int, bytes]]:
        """Return kind, flags, stream and payload of each frame so far."""
        found, data = [], self.transport.written
        while data:
            size = int.from_bytes(data[:3], "big")
            found.append((data[3], data[4], struct.unpack(">I", data[5:9])[0], data[9 : 9 + size]))
            data = data[9 + size :]
        return found

    def answers(self) -> dict[int, tuple[bytes, str]]:
        """Return message and gRPC status of each stream that has ended."""
        decoder = Decoder()
        messages: dict[int, bytes] = {}
        ended = {}
        for kind, flags, stream, payload in self.frames():
            if kind == DATA:
                messages[stream] = messages.get(stream, b"") + payload
            elif kind == HEADERS:
                headers = {str(name): str(value) for name, value in decoder.decode(payload)}
                if flags & END_STREAM:
                    ended[stream] = (messages.get(stream, b""), headers["grpc-status"])
        return ended


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def call(encoder: Encoder, stream: int, path: str, body: bytes) -> bytes:
    block = encoder.encode([(":method", "POST"), (":path", path), ("te", "trailers")])
    return frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body)


def echo(path: str, body: bytes) -> Reply:
    return Reply(path.encode() + body) if path != "/fail" else Reply(status=14, text="away")


def enclosed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


@given(
    calls=st.lists(
        st.tuples(st.sampled_from(["/a", "/b", "/fail", "/c"]), st.binary(max_size=40)),
        min_size=1,
        max_size=12,
    ),
    cuts=st.lists(st.integers(0, 1_000), max_size=12),
)
def test_every_call_is_answered_by_its_path_and_body_however_the_bytes_come_in(
    calls: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    encoder = Encoder()  # with a dynamic table, as clients have
    data = PREFACE + frame(SETTINGS, 0, 0, b"")
    for number, (path, body) in enumerate(calls):
        data += call(encoder, 2 * number + 1, path, body)
    connection = Connection(GrpcProtocol(echo))
    places = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    for begin, end in itertools.pairwise(places):
        connection.protocol.data_received(data[begin:end])
    assert connection.answers() == {
        2 * number + 1: (b"", "14") if path == "/fail" else (enclosed(path.encode() + body), "0")
        for number, (path, body) in enumerate(calls)
    }


def test_a_header_block_in_two_frames_and_padded_data_are_read() -> None:
    block = Encoder().encode([NeverIndexedHeaderTuple(":path", "/long")])
    connection = Connection(GrpcProtocol(echo))
    connection.protocol.data_received(
        PREFACE
        + frame(HEADERS, 0, 1, block[:3])
        + frame(CONTINUATION, END_HEADERS, 1, block[3:])
        + frame(DATA, END_STREAM | PADDED, 1, b"\x02body\x00\x00")
    )
    assert connection.answers() == {1: (enclosed(b"/longbody"), "0")}


def test_answers_beyond_the_peers_window_wait_for_more_of_it() -> None:
    message = b"x" * 10_000
    connection = Connection(GrpcProtocol(lambda _path, _body: Reply(message)))
    encoder = Encoder()
    calls = b"".join(call(encoder, 2 * number + 1, "/a", b"") for number in range(8))
    connection.protocol.data_received(PREFACE + calls)
    assert len(connection.answers()) == 6  # of 10,005 bytes each, in 65,535
    connection.protocol.data_received(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 20_010)))
    assert len(connection.answers()) == 8


def test_a_ping_is_answered() -> None:
    connection = Connection(GrpcProtocol(echo))
    connection.protocol.data_received(PREFACE + frame(PING, 0, 0, b"12345678"))
    assert (PING, ACK, 0, b"12345678") in connection.frames()
