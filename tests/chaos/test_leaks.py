"""A token that somebody shows is found, and its preview is none."""

from __future__ import annotations

import base64

import pytest
from tests.chaos.leaks import leaks

from completion_schemas.tokens import token_fingerprint, token_preview

TOKEN = bytes(range(100, 211))
OTHER = TOKEN[::-1]


@pytest.mark.parametrize(
    "text", [base64.b64encode(TOKEN).decode(), TOKEN.hex(), base64.b64encode(TOKEN).decode()[:60]]
)
def test_a_text_that_shows_a_token_is_named(text: str) -> None:
    said = {"one": "nothing", "another": f"before {text} behind"}
    assert leaks([OTHER, TOKEN], said) == ["another"]


def test_preview_and_fingerprint_may_be_shown() -> None:
    said = {"one": f"{token_preview(TOKEN)} {token_fingerprint(TOKEN)}"}
    assert leaks([TOKEN], said) == []
