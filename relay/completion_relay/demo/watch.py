"""Room `demo`: what Temporal and the callers' worker say of themselves. Touches both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from temporalio.api.enums.v1 import EventType, PendingActivityState
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from completion_relay.demo.board import Board
from completion_relay.demo.script import CALLERS

_POLL_SECONDS = 0.2
_SLOTS_AVAILABLE = "temporal_worker_task_slots_available"


async def watch(board: Board, caller: WorkflowHandle[Any, Any], metrics: str) -> None:
    """Keep the board's numbers up to date, without end.

    Args:
        board: Told what is seen.
        caller: The waiting workflow.
        metrics: HOST:PORT of the worker's metrics.
    """
    async with aiohttp.ClientSession() as session:
        while True:
            # Activities before slots: if every slot is free now, none of those that were
            # seen a moment ago holds one.
            described = await caller.describe()
            pending = described.raw_description.pending_activities
            started = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
            waiting = sum(activity.state == started for activity in pending)
            async with session.get(f"http://{metrics}/metrics") as answer:
                free_slots = _free_slots(await answer.text())
            board.look(waiting=waiting, free_slots=free_slots)
            await asyncio.sleep(_POLL_SECONDS)


async def status(client: Client, workflow_id: str) -> str:
    """Return a workflow's status as Temporal calls it, empty if there is no such workflow."""
    try:
        described = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return ""
        raise
    return described.status.name if described.status else ""


async def who_ended(caller: WorkflowHandle[Any, Any]) -> Mapping[str, str]:
    """Return, from the history, the identity that ended each activity, by activity id."""
    ids: dict[int, str] = {}
    ended: dict[str, str] = {}
    async for event in caller.fetch_history_events():
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled = event.activity_task_scheduled_event_attributes
                ids[event.event_id] = scheduled.activity_id
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                done = event.activity_task_completed_event_attributes
                ended[ids[done.scheduled_event_id]] = done.identity
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                ended[ids[failed.scheduled_event_id]] = failed.identity
            case EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
                canceled = event.activity_task_canceled_event_attributes
                ended[ids[canceled.scheduled_event_id]] = canceled.identity
    return ended


def _free_slots(text: str) -> int:
    return sum(
        int(sample.value)
        for family in text_string_to_metric_families(text)
        if family.name == _SLOTS_AVAILABLE
        for sample in family.samples
        if sample.labels.get("task_queue") == CALLERS
        and sample.labels.get("worker_type") == "ActivityWorker"
    )
