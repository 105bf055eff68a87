"""A short run with faults of every kind: what the contract promises holds at its end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.chaos.command import progress
from tests.chaos.plan import Kind
from tests.chaos.run import Run, carry_out

SHORT = Run(seed=2, activities=400, seconds=30, pause=1.1, settle=120)


def test_the_short_run_has_faults_of_every_kind() -> None:
    assert {fault.kind for fault in SHORT.plan()} == set(Kind)


@pytest.mark.timeout(290)
async def test_every_promise_holds_after_a_short_run_with_faults_of_every_kind(
    tmp_path: Path,
) -> None:
    report = await carry_out(SHORT, tmp_path, progress())
    assert report.faults == Counter(str(fault.kind) for fault in SHORT.plan())
    assert report.wrong == {}
    assert report.told["signals"], "none came, so none was judged"
    assert report.told["parked copies"], "none was parked, so none could be lost"
    assert report.is_well
