"""How a token is named: recognisable, never readable (promise 4)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import names, tokens

import completion_schemas.events
import completion_schemas.tokens
from completion_schemas.events import ActivityReference
from completion_schemas.tokens import LONGEST_REMEMBERED, token_fingerprint, token_preview


@given(token=tokens)
def test_a_preview_shows_at_most_20_characters_and_at_most_a_third(token: bytes) -> None:
    text = base64.b64encode(token).decode()
    shown = token_preview(token).removesuffix("...")

    assert text.startswith(shown)
    assert len(shown) <= min(20, len(text) / 3)
    assert token_preview(token).endswith("...")


@given(token=st.binary(min_size=45, max_size=300))
def test_a_preview_of_an_ordinary_token_has_20_characters(token: bytes) -> None:
    assert token_preview(token) == base64.b64encode(token).decode()[:20] + "..."


@given(token=tokens)
def test_a_fingerprint_is_the_first_16_bytes_of_sha_256_in_hex(token: bytes) -> None:
    assert token_fingerprint(token) == hashlib.sha256(token).hexdigest()[:32]


def test_no_token_has_neither() -> None:
    assert (token_preview(b""), token_fingerprint(b"")) == ("", "")


@given(token=tokens, workflow_id=names, activity_id=names)
def test_the_key_of_an_activity_is_its_fingerprint_also_where_ids_are_given(
    token: bytes, workflow_id: str, activity_id: str
) -> None:
    reference = ActivityReference(
        task_token=base64.b64encode(token).decode(),
        workflow_id=workflow_id,
        activity_id=activity_id,
    )

    assert reference.key == token_fingerprint(token)


@given(namespace=names, workflow_id=names, activity_id=names)
def test_the_key_of_an_activity_by_ids_names_them(
    namespace: str, workflow_id: str, activity_id: str
) -> None:
    reference = ActivityReference(
        namespace=namespace, workflow_id=workflow_id, activity_id=activity_id, run_id="r"
    )

    assert reference.key == f"{namespace}/{workflow_id}/{activity_id}"


@pytest.mark.parametrize(
    "remembered", [completion_schemas.events._remembered, completion_schemas.tokens._remembered]
)
def test_what_is_longer_than_a_token_is_not_remembered(remembered: Any) -> None:
    """Anybody may write megabytes in a token's place, and a thousand of them would be kept."""
    token = b"\x01" * (LONGEST_REMEMBERED + 1)
    before = remembered.cache_info().currsize
    reference = ActivityReference(task_token=base64.b64encode(token).decode())
    assert reference.token_bytes() == token
    assert len(reference.key) == 32
    assert remembered.cache_info().currsize == before
