"""Room `workflow`: what a worker imports, on the waiting side and on the finishing side.

Waiting side, in an activity: `hand_off()` gives the reference to pass to the
callee, then `activity.raise_complete_async()`.
Finishing side, in a workflow: `await report(callback, work)`.
On the worker: `CompletionPlugin`. See `workflow/README.md` for all of it.

Nothing here imports the relay. This file is executed inside Temporal's workflow
sandbox whenever a workflow imports it: it may import only what a workflow may.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from temporalio import workflow

# Passed through: our modules are deterministic, and types must be the same
# inside the sandbox and outside. The worker need not know of it.
with workflow.unsafe.imports_passed_through():
    from completion_schemas.errors import InvalidEventError
    from completion_schemas.events import ActivityReference
    from completion_workflow._names import PUBLISH_COMPLETION, PUBLISH_HEARTBEAT
    from completion_workflow.hand_off import hand_off
    from completion_workflow.reporting import heartbeat, report

if TYPE_CHECKING:
    from completion_workflow.direct import Direct
    from completion_workflow.kafka import Kafka
    from completion_workflow.plugin import CompletionPlugin

__all__ = [
    "PUBLISH_COMPLETION",
    "PUBLISH_HEARTBEAT",
    "ActivityReference",
    "CompletionPlugin",
    "Direct",
    "InvalidEventError",
    "Kafka",
    "hand_off",
    "heartbeat",
    "report",
]

# The worker's half, with its network libraries: only when asked for, so that a
# workflow never loads them.
_OF_THE_WORKER = {
    "CompletionPlugin": "completion_workflow.plugin",
    "Direct": "completion_workflow.direct",
    "Kafka": "completion_workflow.kafka",
}


def __getattr__(name: str) -> Any:
    if name not in _OF_THE_WORKER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with workflow.unsafe.imports_passed_through():
        return getattr(import_module(_OF_THE_WORKER[name]), name)
