"""What `emit --wait` says of the decision."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.relay.trails import decision
from typer.testing import CliRunner

from completion_relay.cli import emit
from completion_relay.cli.app import app
from completion_schemas.dispositions import DeadLetterReason, Disposition

BY_IDS = ("--workflow-id", "w", "--run-id", "r", "--activity-id", "5")


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["fields", "json"])
def test_a_dead_letter_is_said_with_its_reason(
    form: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = dataclasses.replace(
        decision("e", decided=1),
        disposition=Disposition.DEAD_LETTERED,
        reason=DeadLetterReason.FORBIDDEN,
    )

    async def publish(*_: Any, **__: Any) -> tuple[Any, Any]:
        return SimpleNamespace(partition=0, offset=0), decided

    monkeypatch.setattr(emit, "publish", publish)
    command = ["emit", *BY_IDS, "--cancel", "--wait", "1", *form]
    done = CliRunner().invoke(app, command, prog_name="completion-relay")
    assert done.exit_code == 1
    if form:
        assert json.loads(done.stdout)["reason"] == "forbidden"
    else:
        assert ["reason", "forbidden"] in [line.split() for line in done.stdout.splitlines()]
