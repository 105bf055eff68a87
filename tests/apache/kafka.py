"""Room `tests/apache`: a real Apache Kafka cluster in KRaft mode, one or three brokers.

Touches JVM processes, loopback ports and one folder. Each node is broker and
controller; three of them survive the loss of one.

    async with ApacheKafka(folder, brokers=3) as cluster:
        await cluster.nodes[0].kill()
        await cluster.nodes[0].start()
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from tests.apache.jars import require_apache_kafka

from completion_relay.embedded.process import HOST, ServerProcess, connectable, free_port
from completion_relay.embedded.servers import kafka_ready

_READY_SECONDS = 90.0
_JAVA = (
    "java",
    *("-Xms64m", "-Xmx512m"),
    # Two cores and short runs: starting quickly matters, peak speed does not.
    *("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError"),
    f"-Dlog4j2.configurationFile={Path(__file__).parent / 'log4j2.xml'}",
)
NOBODY: Final[Mapping[str, str]] = MappingProxyType({})


class Node:
    """One broker and controller of a cluster; its ports and data stay its own.

    Args:
        folder: For its data, configuration and log.
        number: Its `node.id`, from 1.
        jars: The folder with Kafka's jars.
        users: Who may log in, with their passwords: none of them may do anything until an ACL says so.
    """

    def __init__(
        self, folder: Path, number: int, jars: Path, users: Mapping[str, str] = NOBODY
    ) -> None:
        self.number = number
        self.port = free_port()
        self.controller_port = free_port()
        self._users_port = free_port() if users else 0
        self._users = users
        self._folder = folder
        self._java = [*_JAVA, "-cp", str(jars / "*")]
        self._properties = folder / "server.properties"
        self._process = ServerProcess(f"Apache Kafka node {number}", folder / "kafka.log")

    @property
    def address(self) -> str:
        """`HOST:PORT` for clients."""
        return f"{HOST}:{self.port}"

    @property
    def address_of_users(self) -> str:
        """`HOST:PORT` for who logs in (SASL_PLAINTEXT, PLAIN)."""
        return f"{HOST}:{self._users_port}"

    @property
    def voter(self) -> str:
        """The node as `controller.quorum.voters` has it."""
        return f"{self.number}@{HOST}:{self.controller_port}"

    async def format(self, cluster_id: str, voters: Sequence[str]) -> None:
        """Write the configuration and an empty data folder.

        Raises:
            RuntimeError: the storage tool refused.
        """
        replicas = len(voters)
        in_sync = 2 if replicas == 3 else 1
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "process.roles": "broker,controller",
            "node.id": self.number,
            "controller.quorum.voters": ",".join(voters),
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self._folder / "data",
            # As where it matters: a topic that nobody created is missing, not made up.
            "auto.create.topics.enable": "false",
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "group.initial.rebalance.delay.ms": 0,
            # A dead broker is noticed within 3 s (default 9 s): tests wait for that.
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
        }
        if self._users:
            for name in ("listeners", "advertised.listeners"):
                settings[name] = f"{settings[name]},SASL_PLAINTEXT://{self.address_of_users}"
            who = " ".join(f'user_{name}="{password}"' for name, password in self._users.items())
            settings |= {
                "listener.security.protocol.map": (
                    "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"
                ),
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
                    f"org.apache.kafka.common.security.plain.PlainLoginModule required {who};"
                ),
                "authorizer.class.name": (
                    "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
                ),
                # Who does not log in: brokers, and the tests' own hands.
                "super.users": "User:ANONYMOUS",
            }
        self._properties.write_text(
            "".join(f"{name}={value}\n" for name, value in settings.items()), "utf-8"
        )
        tool = await asyncio.create_subprocess_exec(
            *self._java,
            "kafka.tools.StorageTool",
            # One word: an id may begin with a dash, which looks like an option by itself.
            *("format", f"--cluster-id={cluster_id}", "--config", str(self._properties)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await tool.communicate()
        if tool.returncode != 0:
            raise RuntimeError(f"StorageTool format: {said.decode('utf-8', 'replace')}")

    async def launch(self) -> None:
        """Start the process; returns at once."""
        await self._process.start([*self._java, "kafka.Kafka", self._properties])

    async def ready(self) -> None:
        """Return when the node answers clients.

        Raises:
            ServerFailedError: it ended or took too long.
        """

        async def probe() -> None:
            await connectable(self.port)
            await kafka_ready(self.address)

        await self._process.ready(probe, within=_READY_SECONDS)

    async def start(self) -> None:
        """Start the node and return when it answers clients."""
        await self.launch()
        await self.ready()

    async def stop(self) -> None:
        """Stop the node as an operator would: its leaderships are handed over first."""
        await self._process.stop()

    async def kill(self) -> None:
        """End the node at once, as a crash would."""
        await self._process.kill()


class ApacheKafka:
    """An Apache Kafka cluster while the `async with` block lasts.

    Skips the test where there is no Java or no Maven; fails it where `CI` is `true`.

    Args:
        folder: For the data and logs of all nodes.
        brokers: 1, or 3 with replication 3 and 2 in sync.
        users: Who may log in, with their passwords; see `Node`.
    """

    def __init__(
        self, folder: Path, *, brokers: int = 1, users: Mapping[str, str] = NOBODY
    ) -> None:
        if brokers not in (1, 3):
            raise ValueError(
                f"brokers must be 1 or 3, not {brokers}: two lose their quorum with one"
            )
        jars = require_apache_kafka()
        self.nodes = [Node(folder / f"node-{n}", n, jars, users) for n in range(1, brokers + 1)]

    @property
    def address(self) -> str:
        """`HOST:PORT[,HOST:PORT…]` for `bootstrap_servers`."""
        return ",".join(node.address for node in self.nodes)

    async def alive(self) -> int:
        """Return how many brokers the cluster itself counts."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        try:
            await admin.start()
            return len((await admin.describe_cluster())["brokers"])
        finally:
            await admin.close()

    async def __aenter__(self) -> Self:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        voters = [node.voter for node in self.nodes]
        try:
            await asyncio.gather(*(node.format(cluster_id, voters) for node in self.nodes))
            # All before any is waited for: a quorum needs the majority.
            for node in self.nodes:
                await node.launch()
            await asyncio.gather(*(node.ready() for node in self.nodes))
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        # Killed: nobody reads the data again, and a last controller waits for its peers.
        await asyncio.gather(*(node.kill() for node in self.nodes))
