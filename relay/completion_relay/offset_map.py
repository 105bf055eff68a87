"""Room `ledger`: what is settled ahead of a committed offset, as Kafka's commit metadata. Core: touches nothing.

Kafka keeps a string beside each committed offset (`offset.metadata.max.bytes`:
4,096 bytes by default). The ledger writes there what is settled ahead of it, so
that whoever reads on from that offset does not decide it again (the idea is
Confluent's Parallel Consumer's).

`base` is the offset as Kafka has it: the first one that is not covered by the
commit. Nothing settled ahead is the empty string, which is also what a relay
without this map, and Kafka's tool that resets offsets, leave there. Else:

    1 character    version: "1"
    the rest       Base64 (RFC 4648 section 4, padded) of
        4 bytes      CRC-32 (zlib's), big-endian, of: the version, base in decimal ASCII digits,
                     ":", and the tokens
        the others   tokens, each for the offsets that follow those of the one before, from
                     `base` on; what comes after the last one is not settled

    a token is one of
        0bbbbbbb             bitmap of 7 offsets, the lowest bit is the first one's; 1 is settled
        1sclllll [clllllll]* run of offsets of one kind, s = 1: settled. The l are the run's
                             length, never 0, the lowest bits first; c = 1: another byte follows

    Example: base 100 with 101 to 103 and 107 to 1,106 settled is
        0b00001110             100 to 106: 101, 102 and 103
        0b11101000 0b00011111  1,000 settled ones: 8 + 31 * 32

A run where it is the shorter one, else a bitmap: a dense stretch and one huge gap
would be too long for either alone.

What is read wrongly here is an event that is never delivered, hence the checksum.
It covers the base because MirrorMaker copies metadata beside an offset that it
translated for another cluster (`Checkpoint.offsetAndMetadata` of Kafka's
connect/mirror-client), where the map would name other records.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator, Sequence

from completion_schemas.errors import CompletionError

METADATA_LIMIT = 4_096
"""Bytes. The default of Kafka's `offset.metadata.max.bytes`; a commit with more is refused."""

_VERSION = "1"
_CHECKSUM_BYTES = 4
_MOST_BYTES = (METADATA_LIMIT - len(_VERSION)) // 4 * 3 - _CHECKSUM_BYTES
"""Of tokens."""
_BITMAP = 7
"""Offsets in a bitmap. A run beyond that is never longer as a run: 31 in one byte."""
_OFFSETS = 2**63
"""Kafka's offsets are signed 64-bit numbers."""


class MetadataError(CompletionError, ValueError):
    """This is no map of this base that this relay can read; to be taken for an empty one."""


def encode(base: int, settled: Iterable[range]) -> str:
    """Write down what is settled from `base` on.

    Never longer than `METADATA_LIMIT`: what does not fit is left out from the
    end, and would be decided again. The ledger stops the intake long before.

    Args:
        base: The offset to be committed, +1 included.
        settled: Offsets from `base` on, ascending, not overlapping. Offsets that are
            never delivered may be among them: that makes longer and fewer runs.

    Raises:
        ValueError: the ranges are empty, overlap or do not ascend from `base`.
    """
    tokens = bytearray()
    for token in _tokens(_lengths(base, settled)):
        if len(tokens) + len(token) > _MOST_BYTES:
            break
        tokens += token
    if not tokens:
        return ""
    return _VERSION + base64.b64encode(_checksum(base, tokens) + tokens).decode()


def decode(base: int, metadata: str) -> list[range]:
    """Read what is settled from `base` on: ascending ranges that do not touch.

    They are as few as the metadata is short, whatever it claims: a run of 2**60
    offsets is one range.

    Args:
        base: The committed offset that the metadata stood beside.
        metadata: What stood there; anything, whoever wrote it.

    Raises:
        MetadataError: it is not empty, and not a map of this version and base.
    """
    if not metadata:
        return []
    if len(metadata) > METADATA_LIMIT:
        raise MetadataError(f"commit metadata of {len(metadata)} characters: no relay wrote it")
    if not metadata.startswith(_VERSION):
        raise MetadataError(
            f"commit metadata that begins with {metadata[0]!r}: this relay reads version "
            f"{_VERSION}: it is another program's, or a newer relay is in the group"
        )
    try:
        content = base64.b64decode(metadata[len(_VERSION) :], validate=True)
    except ValueError as error:
        raise MetadataError(f"commit metadata is damaged: {error}") from None
    tokens = content[_CHECKSUM_BYTES:]
    if content[:_CHECKSUM_BYTES] != _checksum(base, tokens):
        raise MetadataError(
            f"commit metadata does not fit offset {base}: it is damaged, or was written for "
            "another offset and copied"
        )
    settled: list[range] = []
    for start, stop in _read(base, tokens):
        if settled and settled[-1].stop == start:
            settled[-1] = range(settled[-1].start, stop)
        else:
            settled.append(range(start, stop))
    if settled and settled[-1].stop > _OFFSETS:
        raise MetadataError(f"commit metadata goes beyond Kafka's last offset, {_OFFSETS - 1}")
    return settled


def weight(step: int) -> int:
    """What one more delivered record may add to the map, whichever records get settled.

    In sevenths of a byte; the sum over all records makes `longest`. An offset in a
    bitmap takes one; a run of n takes at most (9 + log2 n) of them, and never more
    than n. A long step from one record to the next holds at most 14 offsets that are
    in bitmaps: 6 of one that began before it, and 7 and the record at its end. So it
    takes no more than 23 + log2 n.

    Args:
        step: From the record before to this one; 1 where there is no gap.
    """
    return min(step, 23 + step.bit_length())


def longest(weights: int) -> int:
    """How many characters `encode` needs at most for records of this `weight` in sum."""
    return len(_VERSION) + -(-(_CHECKSUM_BYTES + weights // _BITMAP + 1) // 3) * 4


def _lengths(base: int, settled: Iterable[range]) -> list[int]:
    """Offsets not settled, settled, not settled, … from `base` on; ends with settled ones."""
    lengths: list[int] = []
    end = base
    for run in settled:
        if run.start < end or run.stop <= run.start or run.step != 1:
            raise ValueError(f"{run} does not follow offset {end - 1}")
        if lengths and run.start == end:
            lengths[-1] += run.stop - run.start
        else:
            lengths += (run.start - end, run.stop - run.start)
        end = run.stop
    return lengths


def _tokens(lengths: Sequence[int]) -> Iterator[bytes]:
    bits = filled = 0
    for at, length in enumerate(lengths):
        is_settled, rest = at % 2, length
        while rest:
            if not filled and rest > _BITMAP:
                yield _run(is_settled, rest)
                break
            taken = min(rest, _BITMAP - filled)
            if is_settled:
                bits |= ((1 << taken) - 1) << filled
            filled += taken
            rest -= taken
            if filled == _BITMAP:
                yield bytes((bits,))
                bits = filled = 0
    if filled:
        yield bytes((bits,))


def _run(is_settled: int, length: int) -> bytes:
    rest = length >> 5
    token = [0x80 | is_settled << 6 | bool(rest) << 5 | length & 0x1F]
    while rest:
        token.append(bool(rest >> 7) << 7 | rest & 0x7F)
        rest >>= 7
    return bytes(token)


def _read(base: int, tokens: bytes) -> Iterator[tuple[int, int]]:
    """First settled offset and the one after the last, ascending; they may touch."""
    at = base
    rest = iter(tokens)
    for token in rest:
        if token < 0x80:
            for bit in range(_BITMAP):
                if token >> bit & 1:
                    yield at + bit, at + bit + 1
            at += _BITMAP
            continue
        length, shift, more = token & 0x1F, 5, token & 0x20
        while more:
            byte = next(rest, None)
            if byte is None:
                raise MetadataError("commit metadata is damaged: its last run has no end")
            length |= (byte & 0x7F) << shift
            shift, more = shift + 7, byte & 0x80
        if not 0 < length <= _OFFSETS:
            raise MetadataError("commit metadata is damaged: a run of no possible length")
        if token & 0x40:
            yield at, at + length
        at += length


def _checksum(base: int, tokens: bytes | bytearray) -> bytes:
    return zlib.crc32(f"{_VERSION}{base}:".encode() + tokens).to_bytes(_CHECKSUM_BYTES, "big")
