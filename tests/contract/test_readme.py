"""The example of the README is a record that is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from completion_schemas import avro
from completion_schemas.cloudevents import decode_record
from completion_schemas.events import Completed

README = Path(__file__).resolve().parents[2] / "schemas" / "README.md"

pytestmark = pytest.mark.source_tree


def found(pattern: str) -> str:
    match = re.search(pattern, README.read_text(), re.DOTALL)
    assert match, pattern
    return match[1]


def test_the_record_sent_by_kcat_is_an_event_under_its_key() -> None:
    headers = [
        (name, value.encode()) for name, value in re.findall(r"-H (\S+?)=(\S+)", README.read_text())
    ]

    event = decode_record(headers, found(r"<<'JSON'\n(.*?)\nJSON\n").encode())

    assert isinstance(event.outcome, Completed)
    assert event.outcome.result.payloads[0].data == b'{"approved":true}'
    assert event.activity_key == found(r"-k (\S+)")


@pytest.mark.parametrize("kind", ["event", "signal", "audit"])
def test_the_fingerprints_are_those_of_the_shipped_schemas(kind: str) -> None:
    for schema in avro.versions(kind):
        fingerprint = found(rf"{kind} v{schema.version}\s+`([0-9a-f]{{16}})`")
        assert fingerprint == schema.fingerprint.hex()
