"""Where an audit record's activity is asked for, and how what is found is said."""

from __future__ import annotations

import dataclasses
import os
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.relay.trails import decision

from completion_relay.audit_now import NowhereToAskError, place_of, said, workflow_link
from completion_relay.evidence import Decided, Finding, Pending, Undetermined
from completion_relay.settings import ClusterSettings, TemporalSettings
from completion_relay.verdict import Answer, Status
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition

TEMPORAL = TemporalSettings(
    address="default:1",
    config_file=os.devnull,
    ui_url="http://ui:8233/base/",
    clusters=(ClusterSettings(name="west", address="west:1", namespaces=("orders",)),),
)


def record(**more: Any) -> AuditRecord:
    ids = {"namespace": "orders", "workflow_id": "w", "run_id": "r", "activity_id": "a"}
    return decision("e", decided=1, **(ids | more))


@pytest.mark.parametrize(
    ("namespace", "address", "there"),
    [
        ("orders", "default:1", "orders"),
        ("west/orders", "west:1", "orders"),
        ("east/orders", "default:1", "east/orders"),
    ],
)
def test_a_namespace_is_asked_in_its_cluster(namespace: str, address: str, there: str) -> None:
    place = place_of(record(namespace=namespace), TEMPORAL)
    assert (place.connection.address, place.namespace) == (address, there)


@pytest.mark.parametrize("lacking", ["namespace", "workflow_id", "activity_id"])
def test_a_record_that_names_no_activity_cannot_be_asked_about(lacking: str) -> None:
    with pytest.raises(NowhereToAskError):
        place_of(record(**{lacking: ""}), TEMPORAL)


@given(ids=st.lists(st.text(min_size=1).filter(str.isprintable), min_size=3, max_size=3))
def test_a_link_has_each_id_as_one_part_of_its_path(ids: list[str]) -> None:
    namespace, workflow_id, run_id = ids
    made = record(namespace=f"x{namespace}", workflow_id=workflow_id, run_id=run_id)
    link = workflow_link(place_of(made, TEMPORAL), made)
    assert link is not None
    assert link.isascii()
    assert [unquote(part) for part in urlsplit(link).path.split("/")] == [
        *("", "base", "namespaces", f"x{namespace}", "workflows", workflow_id, run_id, "history")
    ]


def test_there_is_no_link_without_a_ui_or_a_run() -> None:
    no_run, west = record(run_id=""), record(namespace="west/orders")
    assert workflow_link(place_of(no_run, TEMPORAL), no_run) is None
    assert workflow_link(place_of(west, TEMPORAL), west) is None


@pytest.mark.parametrize(
    ("found", "kind", "text"),
    [
        (
            Decided(Disposition.APPLIED, "ended by us"),
            "completed",
            "ended by us: this record did it",
        ),
        (Decided(Disposition.CONFLICT, "ended"), "completed", "ended: not this event's doing"),
        (Decided(Disposition.CONFLICT, "ended"), "heartbeat", "ended"),
        (Decided(Disposition.EXPIRED, "it timed out"), "completed", "it timed out"),
        (Pending(3, is_started=False), "failed", "pending, not started, at attempt 3"),
        (Undetermined("nothing tells yet"), "completed", "nothing tells yet"),
        (Answer(Status.PERMISSION_DENIED, "no"), "completed", "PERMISSION_DENIED: no"),
    ],
)
def test_what_is_found_is_said_in_a_sentence(found: Finding | Answer, kind: str, text: str) -> None:
    assert said(found, dataclasses.replace(record(), type=kind)).endswith(text)
