"""Room `cli`: what `check` asks Temporal. Touches Temporal; changes nothing there."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeWorkflowExecutionRequest,
    GetSystemInfoRequest,
    GetWorkflowExecutionHistoryReverseRequest,
    RespondActivityTaskCompletedByIdRequest,
)
from temporalio.client import Client

from completion_relay.calls import Calls
from completion_relay.cli.findings import Finding, Status
from completion_relay.cli.reach import RefusedError, UnreachableError, reaching_temporal
from completion_relay.completer import DEFAULT_BLOB_LIMIT
from completion_relay.connections import TemporalConnection, temporal_connections
from completion_relay.route import Destination
from completion_relay.settings import Settings
from completion_relay.verdict import Answer
from completion_relay.verdict import Status as RpcStatus

SHORT_RETENTION: Final = timedelta(days=7)
"""A namespace that forgets closed workflows sooner leaves little time to look into a late event."""

_DENIED: Final = (RpcStatus.PERMISSION_DENIED, RpcStatus.UNAUTHENTICATED)


async def temporal_findings(
    settings: Settings, *, completes: bool = True
) -> AsyncIterator[Finding]:
    """Yield what is found, cluster by cluster, in the order in which one thing needs the other.

    Args:
        settings: The clusters.
        completes: Whether activities are to be completed, or only looked at.

    Raises:
        ConfigurationError: a cluster's profile cannot be read, or tells too little.
    """
    for connection in temporal_connections(settings.temporal):
        async for finding in _cluster_findings(connection, completes=completes):
            yield finding


async def _cluster_findings(
    connection: TemporalConnection, *, completes: bool
) -> AsyncIterator[Finding]:
    within = timedelta(seconds=connection.rpc_timeout)
    try:
        with reaching_temporal(connection):
            # connect() itself has no time limit where a host swallows packets.
            client = await asyncio.wait_for(connection.client(), within.total_seconds())
            info = await client.workflow_service.get_system_info(
                GetSystemInfoRequest(), retry=False, timeout=within
            )
    except (UnreachableError, RefusedError) as error:
        yield Finding(connection.label, Status.FAILED, str(error))
        for namespace in connection.namespaces:
            place = Destination(connection.name, namespace)
            yield Finding(f"namespace {place}", Status.SKIPPED, "needs Temporal")
        return
    yield Finding(
        connection.label, Status.OK, f"{connection.address}: server {info.server_version}"
    )
    calls = Calls(at_once=1, seconds=connection.rpc_timeout)
    for namespace in connection.namespaces:
        at = _Place(client, calls, connection, namespace, completes)
        described = await _namespace(at)
        for finding in described:
            yield finding
        if described[0].status is not Status.FAILED:
            yield await _look(at)
            if completes:
                yield await _complete(at)


@dataclass(frozen=True, slots=True)
class _Place:
    """A namespace of a cluster that was reached."""

    client: Client
    call: Calls
    connection: TemporalConnection
    namespace: str
    completes: bool
    """Whether activities are to be completed there, or only looked at."""

    def __str__(self) -> str:
        return str(Destination(self.connection.name, self.namespace))


async def _namespace(at: _Place) -> list[Finding]:
    check = f"namespace {at}"
    answer = await at.call(
        at.client.workflow_service.describe_namespace,
        DescribeNamespaceRequest(namespace=at.namespace),
    )
    if isinstance(answer, Answer):
        if answer.status is RpcStatus.NOT_FOUND:
            return [
                Finding(
                    check,
                    Status.FAILED,
                    "is not there",
                    "create it with `temporal operator namespace create`, or name another in "
                    + (
                        f"namespaces of cluster {at.connection.name}"
                        if at.connection.name
                        else "temporal.namespaces or TEMPORAL_NAMESPACE"
                    ),
                )
            ]
        if answer.status is RpcStatus.PERMISSION_DENIED:
            # Nothing else needs that right: whether events can be completed is looked at by itself.
            if not at.completes:
                return [Finding(check, Status.SKIPPED, f"may not be described ({answer.message})")]
            return [
                Finding(
                    check,
                    Status.WARNING,
                    f"may not be described ({answer.message}): results of more than "
                    f"{DEFAULT_BLOB_LIMIT / 2**20:g} MiB, Temporal's default, fail their activity",
                    f"let this API key or certificate read {at} (DescribeNamespace)",
                )
            ]
        return [_refused(check, answer, at)]
    retention = answer.config.workflow_execution_retention_ttl.ToTimedelta()
    limit = answer.namespace_info.limits.blob_size_limit_error or DEFAULT_BLOB_LIMIT
    found = [
        Finding(
            check,
            Status.OK,
            f"takes results of up to {limit / 2**20:.4g} MiB, keeps closed workflows for "
            f"{retention.total_seconds() / 3_600:g} hours",
        )
    ]
    if retention < SHORT_RETENTION:
        found.append(
            Finding(
                check,
                Status.WARNING,
                f"closed workflows are forgotten before {SHORT_RETENTION.days} days: an event that "
                "comes again later than that is `unknown` instead of `duplicate`",
                "raise it with `temporal operator namespace update --retention`",
            )
        )
    return found


async def _look(at: _Place) -> Finding:
    """Ask what a look asks: one that may describe and not read history halts the namespace."""
    check, service = f"look in {at}", at.client.workflow_service
    nobody = WorkflowExecution(workflow_id=_nobody())
    described = await at.call(
        service.describe_workflow_execution,
        DescribeWorkflowExecutionRequest(namespace=at.namespace, execution=nobody),
    )
    found = _judged(described, check, "workflows may be described", at)
    if found.status is not Status.OK:
        return found
    read = await at.call(
        service.get_workflow_execution_history_reverse,
        GetWorkflowExecutionHistoryReverseRequest(
            namespace=at.namespace, execution=nobody, maximum_page_size=1
        ),
    )
    found = _judged(read, check, "workflows may be described, and their history read", at)
    if found.status is Status.OK:
        return found
    return replace(found, detail=f"history may not be read: {found.detail}")


async def _complete(at: _Place) -> Finding:
    """Complete an activity of a workflow that nobody has: NOT_FOUND comes after authorization."""
    answer = await at.call(
        at.client.workflow_service.respond_activity_task_completed_by_id,
        RespondActivityTaskCompletedByIdRequest(
            namespace=at.namespace,
            workflow_id=_nobody(),
            activity_id="none",
            identity="completion-relay-check",
        ),
    )
    return _judged(answer, f"complete in {at}", "activities may be completed", at)


def _judged(answer: object, check: str, granted: str, at: _Place) -> Finding:
    if isinstance(answer, Answer) and answer.status is not RpcStatus.NOT_FOUND:
        return _refused(check, answer, at)
    return Finding(check, Status.OK, granted)


def _refused(check: str, answer: Answer, at: _Place) -> Finding:
    fix = "see the server's log, and run this again"
    if answer.status in _DENIED:
        role = "write" if at.completes else "read"
        fix = f"give this API key or certificate the {role} role on {at} ({at.connection.help})"
    return Finding(check, Status.FAILED, f"{answer.status.name}: {answer.message}", fix)


def _nobody() -> str:
    return f"completion-relay-check-{uuid.uuid4()}"
