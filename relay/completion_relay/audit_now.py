"""Room `audit_story`: what Temporal says now about the activity of an audit record. Touches temporalio.

Asked as the relay itself asks (`triage`), once and in a bounded time; it changes
nothing there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from completion_relay.calls import Calls
from completion_relay.clock import SystemClock
from completion_relay.connections import TemporalConnection
from completion_relay.evidence import Decided, Finding, Pending, Question
from completion_relay.identity import RecordMark
from completion_relay.settings import TemporalSettings
from completion_relay.triage import Triage
from completion_relay.verdict import Answer
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition
from completion_schemas.errors import CompletionError

LOOK_SECONDS: Final = 15.0
"""Longest time that is spent on asking."""

_WHO: Final = {
    Disposition.APPLIED: "this record did it",
    Disposition.DUPLICATE: "this event did it, from another record",
    Disposition.CONFLICT: "not this event's doing",
}


class NowhereToAskError(CompletionError):
    """The record does not tell enough, or of a place that is not in these settings; the message says which."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the activity of an audit record is."""

    connection: TemporalConnection
    namespace: str


def place_of(record: AuditRecord, temporal: TemporalSettings) -> Place:
    """Return where the activity is, by the namespace as the audit trail calls it.

    Raises:
        NowhereToAskError: the record names no activity.
        ConfigurationError: Temporal's own settings of that cluster are wrong.
    """
    if not (record.workflow_id and record.activity_id and record.namespace):
        raise NowhereToAskError("the record names no workflow and activity to ask about")
    name, _, rest = record.namespace.partition("/")
    for cluster in temporal.clusters:
        if rest and cluster.name == name:
            return Place(TemporalConnection(temporal, cluster), rest)
    return Place(TemporalConnection(temporal), record.namespace)


def workflow_link(place: Place, record: AuditRecord) -> str | None:
    """Return the address of the workflow's history in Temporal's web UI; None: it is not known where that is."""
    if not place.connection.ui_url or not record.run_id:
        return None
    namespace, workflow, run = (
        quote(part, safe="") for part in (place.namespace, record.workflow_id, record.run_id)
    )
    base = place.connection.ui_url.rstrip("/")
    return f"{base}/namespaces/{namespace}/workflows/{workflow}/{run}/history"


def unset_ui(place: Place) -> str | None:
    """Return which setting would say where Temporal's web UI is; None: it is set."""
    if place.connection.ui_url:
        return None
    of = place.connection.name
    return f"ui_url of the [[temporal.clusters]] {of}" if of else "temporal.ui_url"


async def ask(place: Place, record: AuditRecord) -> str:
    """Return in a sentence what is known of the activity now.

    Raises:
        RuntimeError: the cluster cannot be reached.
        TimeoutError: there was no answer within `LOOK_SECONDS`.
    """
    connection = place.connection
    async with asyncio.timeout(LOOK_SECONDS):
        triage = Triage(
            await connection.client(),
            Calls(seconds=connection.rpc_timeout, at_once=1),
            SystemClock(),
        )
        found = await triage.find(place.namespace, _question(record))
    return said(found, record)


def _question(record: AuditRecord) -> Question:
    return Question(
        mark=RecordMark(record.event_id, record.topic, record.partition, record.offset),
        outcome=record.type,
        workflow_id=record.workflow_id,
        run_id=record.run_id,
        activity_id=record.activity_id,
        attempt=record.attempt,
        # The trail has no token: among activities of one id time tells which was meant.
        occurred_at=record.occurred_at or 0,
    )


def said(found: Finding | Answer, record: AuditRecord) -> str:
    """Return what a look has found, for a person."""
    match found:
        case Answer():
            return f"Temporal does not tell: {found.status}: {found.message}"
        case Pending():
            state = "started" if found.is_started else "not started"
            return f"the activity is pending, {state}, at attempt {found.attempt}"
        case Decided():
            # A heartbeat ends nothing: whoever did is no conflict with it.
            who = _WHO.get(found.disposition, "") if record.type != "heartbeat" else ""
            return f"{found.detail}: {who}" if who else found.detail
        case _:
            return found.detail
