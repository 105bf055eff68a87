"""A token that somebody shows is found in every form; its preview, and the ids in it, are none."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from google.protobuf.wrappers_pb2 import BytesValue
from hypothesis import given
from hypothesis import strategies as st
from tests.chaos.leaks import leaks
from tests.chaos.test_script import TOKEN

from completion_schemas.tokens import token_fingerprint, token_preview

OTHER = TOKEN[::-1]
NAMESPACE, RUN = TOKEN[2:38].decode(), TOKEN[43:79].decode()

FORMS: dict[str, Callable[[bytes], str]] = {
    "Base64": lambda piece: base64.b64encode(piece).decode(),
    "Base64 of URLs": lambda piece: base64.urlsafe_b64encode(piece).decode(),
    "hex": lambda piece: piece.hex(),
    "capital hex": lambda piece: piece.hex().upper(),
}
RAW: dict[str, Callable[[bytes], str]] = {
    "Python's bytes": repr,
    "Python's bytes in a JSON log": lambda piece: json.dumps(repr(piece)),
    "Python's text": lambda piece: repr(piece.decode("latin-1")),
    "text in JSON": lambda piece: json.dumps(piece.decode("latin-1")),
    "protobuf's text": lambda piece: str(BytesValue(value=piece)),
    "protobuf's text in a JSON log": lambda piece: json.dumps(str(BytesValue(value=piece))),
    "as it is": lambda piece: piece.decode("latin-1"),
}


@pytest.mark.parametrize("form", FORMS | RAW)
@pytest.mark.parametrize(
    "piece", [TOKEN, TOKEN[:60], TOKEN[30:60], TOKEN[-24:]], ids=["all", "head", "middle", "tail"]
)
def test_a_text_that_shows_a_token_or_a_piece_of_it_is_named(form: str, piece: bytes) -> None:
    said = {"one": "nothing", "another": f"before {(FORMS | RAW)[form](piece)} behind"}
    assert leaks([OTHER, TOKEN], said) == ["another"]


@given(st.integers(4, len(TOKEN) - 20), st.sampled_from(sorted(FORMS)))
def test_a_piece_is_found_wherever_it_is_cut_out(at: int, form: str) -> None:
    assert leaks([TOKEN], {"one": FORMS[form](TOKEN[at : at + 20])}) == ["one"]


@pytest.mark.parametrize("begin", range(1, 5))
def test_a_piece_of_base64_is_found_wherever_it_was_cut_off(begin: int) -> None:
    assert leaks([TOKEN], {"one": FORMS["Base64"](TOKEN)[-30 - begin : -begin]}) == ["one"]


def test_preview_and_fingerprint_may_be_shown() -> None:
    said = {"one": f"{token_preview(TOKEN)} {token_fingerprint(TOKEN)}"}
    assert leaks([TOKEN], said) == []


def test_the_ids_in_a_token_may_be_shown_as_they_are() -> None:
    said = {"one": f"namespace={NAMESPACE} run_id={RUN}\n{RUN}\\n{RUN}\x1b[0m{NAMESPACE} hand-off"}
    assert leaks([TOKEN], said) == []
