"""What the bench calls a process's most memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.bench.memory import Phases, Sample
from tests.bench.processes import peak_resident_bytes

_RISE_AND_FALL = "text = b'x' * 50_000_000; del text; print(flush=True); input()"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_that_was_given_back_between_two_samples_counts() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _RISE_AND_FALL], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        peak = peak_resident_bytes(process.pid)
        process.communicate(b"\n")
    assert peak is not None
    assert peak > 50_000_000


def test_a_system_that_keeps_no_peak_leaves_the_samples() -> None:
    samples = [Sample(0.0, megabytes, 0) for megabytes in (80.0, 90.0, 85.0)]
    phases = [Phases(70.0, samples, [], samples[:1], [70.0, peak]) for peak in (None, 120.0)]
    assert [one.most for one in phases] == [90.0, 120.0]
    assert {one.most_sampled for one in phases} == {90.0}
