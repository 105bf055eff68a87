"""Room `tests/drills`: the sizes of the drills, the stack of each, and its figures.

    --activities N   that wait in each drill
    --records N      on the topic whose offsets are reset
    --figures FILE   writes what each drill came to, as JSON

The figures are in the terminal's summary, too.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from temporalio.client import Client
from tests.chaos.load import Waiting, connect
from tests.drills.proof import Figures
from tests.drills.stack import Stack

_ACTIVITIES = 200
_RECORDS = 10_000
_FIGURES = pytest.StashKey[list[Figures]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("drills")
    group.addoption(
        "--activities", type=int, default=_ACTIVITIES, metavar="N", help="that wait in each drill"
    )
    group.addoption(
        "--records", type=int, default=_RECORDS, metavar="N", help="whose offsets are reset"
    )
    group.addoption("--figures", type=Path, metavar="FILE", help="for what came of each drill")


# With defaults wherever they are asked for: a run of all of tests/ finds this file too late for them.


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = [dataclasses.asdict(one) for one in config.stash[_FIGURES]]
    if figures:
        terminalreporter.section("drills")
    for one in figures:
        terminalreporter.write_line(json.dumps(one))
    file: Path | None = config.getoption("--figures", None)
    if file is not None:
        file.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


@pytest.fixture(autouse=True)
async def time_limit() -> None:
    """Leave it to pytest-timeout: every wait of a drill is bounded by itself and says what for."""


@pytest.fixture
def activities(request: pytest.FixtureRequest) -> int:
    number: int = request.config.getoption("--activities", _ACTIVITIES)
    return number


@pytest.fixture
def records(request: pytest.FixtureRequest) -> int:
    number: int = request.config.getoption("--records", _RECORDS)
    return number


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[Figures], None]:
    """Keep what a drill came to."""
    return request.config.stash[_FIGURES].append


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(tmp_path) as stack:
        yield stack


@pytest.fixture
async def client(stack: Stack) -> Client:
    return await connect(stack.temporal.address)


@pytest.fixture
def waiting(client: Client) -> Waiting:
    """The activities that wait; whoever uses it runs its worker."""
    return Waiting(client)
