"""What `check` says of a namespace by what Temporal lets it do there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from completion_relay.calls import Calls
from completion_relay.cli.check_temporal import _look, _Place
from completion_relay.cli.findings import Finding, Status
from completion_relay.connections import temporal_connections
from completion_relay.settings import Settings

DESCRIBE, READ = "describe_workflow_execution", "get_workflow_execution_history_reverse"


async def looked(*, denied: str = "") -> Finding:
    """Return what is found where one call is refused, and the others know of no such workflow."""

    def answers(name: str) -> Any:
        async def call(*_: Any, **__: Any) -> None:
            if name == denied:
                raise RPCError("Request unauthorized.", RPCStatusCode.PERMISSION_DENIED, b"")
            raise RPCError("no such workflow", RPCStatusCode.NOT_FOUND, b"")

        return call

    service = SimpleNamespace(**{name: answers(name) for name in (DESCRIBE, READ)})
    client = cast("Client", SimpleNamespace(workflow_service=service))
    (connection,) = temporal_connections(Settings().temporal)
    return await _look(_Place(client, Calls(at_once=1, seconds=1.0), connection, "orders", True))


async def test_who_may_describe_and_read_history_may_look() -> None:
    assert (await looked()).status is Status.OK


@pytest.mark.parametrize(
    ("denied", "detail"),
    [
        (DESCRIBE, "PERMISSION_DENIED: Request unauthorized."),
        (READ, "history may not be read: PERMISSION_DENIED: Request unauthorized."),
    ],
)
async def test_a_look_needs_both_rights(denied: str, detail: str) -> None:
    """The first look that has to read history would halt the namespace."""
    found = await looked(denied=denied)
    assert (found.status, found.detail) == (Status.FAILED, detail)
    assert "the write role on orders" in found.fix
