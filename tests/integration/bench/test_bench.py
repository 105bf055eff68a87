"""`make bench`, as far as the harness itself goes: the figures of `--quick` mean nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[3]


async def bench(*arguments: str | Path) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench", *map(str, arguments)),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out.decode()


async def test_a_quick_run_of_the_cpu_part_ends_well_and_writes_its_figures(
    kafka_address: str, tmp_path: Path
) -> None:
    file = tmp_path / "bench.json"
    code, out = await bench(
        *("--quick", "--only", "a", "--kafka", kafka_address),
        *("--json", file, "--plots", tmp_path / "plots"),
    )
    assert code == 0, out
    found = json.loads(file.read_text("utf-8"))
    assert found["quick"] is True
    assert found["machine"]["cores"] > 0
    assert found["machine"]["versions"]["temporalio"]
    (target,) = found["parts"]["a"]["targets"]
    figures = found["parts"]["a"]["figures"]
    loop, floor, relay = (
        figures[f"64/{what}"] for what in ("bare loop", "floor: the libraries alone", "relay")
    )
    assert target["value"] == relay["ratio"] == relay["cpu_micros"] / loop["cpu_micros"]
    assert relay["ratio_to_floor"] == relay["cpu_micros"] / floor["cpu_micros"]
    assert target["limit"] == 1.35
    assert [one["rounds"][0]["events"] for one in (loop, floor, relay)] == [1_000] * 3
    assert ("met: " if target["met"] else "MISSED: ") in out
    assert (floor["lowest_limit"], floor["most_in_flight"]) == (None, None)
    # Less than 64 where the machine stood still for a second.
    assert 1 <= relay["lowest_limit"] <= 64
    assert 0 <= relay["most_in_flight"] <= 64


async def test_a_quick_run_of_the_reading_part_finds_the_one_record_that_it_asks_for(
    kafka_address: str, tmp_path: Path
) -> None:
    file = tmp_path / "bench.json"
    code, out = await bench("--quick", "--only", "g", "--kafka", kafka_address, "--json", file)
    assert code == 0, out
    part = json.loads(file.read_text("utf-8"))["parts"]["g"]
    assert {target["limit"] for target in part["targets"]} == {50_000}
    hits = {way: figures["rounds"][0]["hits"] for way, figures in part["figures"].items()}
    assert sorted(hits.values()) == [0, 0, 1, 5_000, 5_000]


async def test_a_quick_run_of_the_database_part_asks_both_the_same(
    kafka_address: str, tmp_path: Path
) -> None:
    file = tmp_path / "bench.json"
    code, out = await bench("--quick", "--only", "h", "--kafka", kafka_address, "--json", file)
    assert code == 0, out
    figures = json.loads(file.read_text("utf-8"))["parts"]["h"]["figures"]
    found = [
        {question: asked["rows"] for question, asked in figures[name]["asked"].items()}
        for name in ("DuckDB", "SQLite")
    ]
    commands = {question: found[0].pop(question) for question in list(found[0]) if "`" in question}
    assert list(commands.values()) == [2, 50]
    assert found[0] == found[1]
    assert found[0]["an event"] == 1
    assert found[0]["by what has no index"] == 0


async def test_a_part_that_is_not_there_is_refused_with_those_that_are() -> None:
    code, out = await bench("--only", "a,x")
    assert code == 2
    assert "no part x: choose of a, b, c, d, e, f, g, h" in out
