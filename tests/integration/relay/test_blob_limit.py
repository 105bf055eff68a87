"""A namespace that may not be described, on a real server: a stand-in refuses that one call."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode, WorkflowService
from tests.integration.relay.waiting import Scene, completed, event, payloads, relay

from completion_relay.cli.check_temporal import temporal_findings
from completion_relay.cli.findings import Status
from completion_relay.observe import Observer
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import Completed

OVER_THE_DEFAULT = 5 * 1024 * 1024 // 2


@pytest.fixture(autouse=True)
def _denied(monkeypatch: pytest.MonkeyPatch) -> None:
    async def denied(_service: WorkflowService, _request: object, **_: Any) -> NoReturn:
        raise RPCError("Request unauthorized.", RPCStatusCode.PERMISSION_DENIED, b"")

    monkeypatch.setattr(WorkflowService, "describe_namespace", denied)


async def test_results_are_judged_by_temporals_default_and_that_is_said(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []

    def assumed(_observer: Observer, namespace: str, why: str) -> None:
        told.append((namespace, why))

    monkeypatch.setattr(Observer, "assumed", assumed)
    async with relay(scene.settings()):
        small, reference = await scene.waiting()
        await scene.emit(event(reference, completed(b'"small"')))
        assert await small.result() == "small"
        large, reference = await scene.waiting()
        result = payloads(b'"' + b"x" * OVER_THE_DEFAULT + b'"')
        at = await scene.emit(event(reference, Completed(result)))
        with pytest.raises(WorkflowFailureError):
            await large.result()
        audit = await scene.decided(at)
    assert told == [
        ("default", "the namespace may not be described (PERMISSION_DENIED: Request unauthorized.)")
    ]
    assert (audit.disposition, audit.reason) == (
        Disposition.DEAD_LETTERED,
        DeadLetterReason.TOO_LARGE,
    )
    assert "Temporal's default, because the namespace may not be described" in audit.detail


async def test_check_warns_of_it_and_looks_at_everything_else(scene: Scene) -> None:
    found = {finding.check: finding async for finding in temporal_findings(scene.settings())}
    denied = found.pop("namespace default")
    assert denied.status is Status.WARNING
    assert "results of more than 2 MiB" in denied.detail
    assert "DescribeNamespace" in denied.fix
    assert {name: finding.status for name, finding in found.items()} == {
        "temporal": Status.OK,
        "look in default": Status.OK,
        "complete in default": Status.OK,
    }
