"""A guarded process: its ports, and what is said when it does not come up."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from completion_relay.embedded import PortTakenError, ServerFailedError
from completion_relay.embedded.process import (
    HOST,
    ServerProcess,
    claim_port,
    connectable,
    free_port,
)


async def _never_ready() -> None:
    raise ConnectionError("nobody home")


async def _ready() -> None:
    return None


def test_a_taken_port_is_refused_with_name_problem_and_fix() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(PortTakenError) as refused:
            claim_port("Kafka", port)

    assert str(refused.value) == (
        f"Kafka port {port} on 127.0.0.1: already in use: choose another port, or none for a "
        "free one"
    )


@pytest.mark.parametrize("port", [70_000, -1])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(PortTakenError, match=r"not a port: choose 1 to 65535"):
        claim_port("Kafka", port)


def test_a_free_port_that_was_asked_for_is_kept() -> None:
    port = free_port()

    assert claim_port("Kafka", port) == port


def test_no_port_asked_for_is_a_free_one() -> None:
    with socket.create_server((HOST, claim_port("Kafka", None))) as server:
        assert server.getsockname()[0] == HOST


def test_a_free_port_is_none_that_somebody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, free_port())) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(free_port.__module__ + "._FREE_PORTS", range(port, port + 1))

        with pytest.raises(PortTakenError, match=rf"ports {port} to {port} on .*: all in use"):
            free_port()


def test_a_free_port_is_none_that_the_system_gives_to_an_outgoing_connection() -> None:
    """One was taken between its choice and the bind of Temporal's UI, three times in a row."""
    assert max(free_port() for _ in range(50)) < 32_768


async def test_nothing_listening_is_not_connectable() -> None:
    with pytest.raises(OSError, match=r"onnect"):
        await connectable(free_port())


async def test_a_server_that_ends_at_once_is_named_with_its_log_and_last_words(
    tmp_path: Path,
) -> None:
    log = tmp_path / "logs" / "toy.log"
    process = ServerProcess("Toy", log)
    await process.start([sys.executable, "-c", "print('disk is full'); raise SystemExit(3)"])

    with pytest.raises(ServerFailedError) as failed:
        await process.ready(_never_ready, within=20)
    await process.stop()

    assert str(failed.value) == (
        f"Toy ended while it was starting with exit code 3: see {log}\n    disk is full"
    )


async def test_a_server_that_never_answers_is_named_with_the_last_problem(tmp_path: Path) -> None:
    process = ServerProcess("Toy", tmp_path / "toy.log")
    await process.start([sys.executable, "-c", "import signal; signal.pause()"])

    with pytest.raises(ServerFailedError, match=r"^Toy was not ready within 0 s .*nobody home"):
        await process.ready(_never_ready, within=0.1)
    await process.stop()


async def test_the_loaders_harmless_remark_is_not_among_the_last_words(tmp_path: Path) -> None:
    process = ServerProcess("Toy", tmp_path / "toy.log")
    process.log.write_text("real words\nlibc: weak version `GLIBC_2.39' not found\n\n")

    assert process.last_lines() == "    real words"


async def test_a_server_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(
    tmp_path: Path,
) -> None:
    process = ServerProcess("Toy", tmp_path / "toy.log")
    await process.start([sys.executable, "-c", "import signal; signal.pause()"])
    await process.ready(_ready, within=20)

    assert process.pid is not None
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    await process.stop()


async def test_ended_says_which_server_went_away_and_how(tmp_path: Path) -> None:
    process = ServerProcess("Toy", tmp_path / "toy.log")
    await process.start([sys.executable, "-c", "raise SystemExit(9)"])

    with pytest.raises(ServerFailedError, match=r"^Toy ended with exit code 9: see "):
        await process.ended()
    await process.stop()


async def test_a_killed_server_can_be_started_again(tmp_path: Path) -> None:
    process = ServerProcess("Toy", tmp_path / "toy.log")
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    await process.start(command)
    await process.kill()
    assert process.pid is None

    await process.start(command)

    assert process.pid is not None
    await process.stop()
