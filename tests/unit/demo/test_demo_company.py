"""How the demo's processes are told their settings, and what happens when one of them ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn, cast

import pytest

from completion_relay.demo.company import Overrides, together
from completion_relay.embedded import EmbeddedStack, ServerFailedError
from completion_relay.first_of import unless_ended
from completion_relay.load import load_settings


@pytest.fixture
def overrides() -> Overrides:
    stack = SimpleNamespace(kafka="127.0.0.1:19092", temporal="127.0.0.1:17233")
    return Overrides(cast("EmbeddedStack", stack))


def test_a_relay_reads_from_its_variables_what_the_demo_has_set(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in overrides.variables(relay={"relay_id": "relay-9"}):
        name, _, value = variable.partition("=")
        monkeypatch.setenv(name, value)

    read = load_settings()

    expected = overrides.settings(None)
    assert read.relay.relay_id == "relay-9"
    assert (read.kafka, read.temporal) == (expected.kafka, expected.temporal)


def test_the_scenes_settings_win_over_those_of_a_file(overrides: Overrides, tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('[kafka]\nbootstrap_servers = "production:9092"\n[topics]\naudit = "mine"\n')

    settings = overrides.settings(file)

    assert settings.kafka.bootstrap_servers == "127.0.0.1:19092"
    assert settings.topics.audit == "mine"


async def _ends() -> NoReturn:
    raise ServerFailedError("Kafka ended")


async def _never() -> None:
    await asyncio.Event().wait()


async def _answer() -> int:
    return 42


async def test_work_is_over_when_a_server_ends() -> None:
    with pytest.raises(ServerFailedError, match="Kafka ended"):
        await unless_ended(_never(), _never(), _ends())


async def test_work_returns_what_it_has_while_the_servers_run() -> None:
    assert await unless_ended(_answer(), _never()) == 42


async def test_the_first_error_ends_what_is_done_side_by_side() -> None:
    ended = asyncio.Event()

    async def long() -> None:
        try:
            await _never()
        finally:
            ended.set()

    with pytest.raises(ServerFailedError):
        await together(long(), _ends())

    assert ended.is_set()
