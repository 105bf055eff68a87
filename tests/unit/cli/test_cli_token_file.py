"""A token from a file: Base64 or raw, told apart, never repeated in an error."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion_relay.cli.token_file import InputError, TokenFormat, parse_token, read_token

TOKENS = st.binary(min_size=1, max_size=300)
# What a token is on the wire: a protobuf message whose first field is a 36-character
# namespace id. 0x24 is '$', which no Base64 has.
SERVER_TOKENS = TOKENS.map(lambda rest: b"\x0a\x24" + b"5" * 36 + rest)


@given(TOKENS)
def test_base64_is_read_with_or_without_saying_so(token: bytes) -> None:
    written = base64.b64encode(token)
    assert parse_token(written, TokenFormat.AUTO) == token
    assert parse_token(written, TokenFormat.BASE64) == token


@given(TOKENS)
def test_base64_may_be_broken_into_lines_url_safe_and_unpadded(token: bytes) -> None:
    assert parse_token(base64.encodebytes(token), TokenFormat.AUTO) == token
    assert (
        parse_token(base64.urlsafe_b64encode(token).rstrip(b"=") + b"\n", TokenFormat.BASE64)
        == token
    )


@given(SERVER_TOKENS)
def test_a_servers_raw_token_is_never_taken_for_base64(token: bytes) -> None:
    assert parse_token(token, TokenFormat.AUTO) == token


@given(TOKENS.filter(lambda token: token.strip()))
def test_raw_is_taken_as_it_is(token: bytes) -> None:
    assert parse_token(token, TokenFormat.RAW) == token


def test_what_is_not_base64_is_refused_without_being_repeated() -> None:
    with pytest.raises(InputError, match=r"not Base64.*--token-format raw") as refused:
        parse_token(b"secret$token", TokenFormat.BASE64)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("written_as", list(TokenFormat))
def test_an_empty_file_is_refused(written_as: TokenFormat) -> None:
    with pytest.raises(InputError, match="--token-file: it is empty"):
        parse_token(b" \n", written_as)


@pytest.mark.parametrize("length", [160, 400], ids=["a file's name", "too long for one"])
def test_a_token_in_the_place_of_its_file_is_not_repeated(length: int) -> None:
    token = base64.b64encode(b"\x0a\x24" + b"5" * 36 + b"\x42" * length)[:length].decode()
    with pytest.raises(InputError, match=r"no such file: it takes a FILE \(or -\), not") as refused:
        read_token(token, TokenFormat.AUTO)
    assert token[:8] not in str(refused.value)


def test_a_directory_in_the_place_of_the_file_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Is a directory: it takes a FILE") as refused:
        read_token(str(tmp_path), TokenFormat.AUTO)
    assert tmp_path.name not in str(refused.value)
