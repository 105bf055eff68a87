"""Room `settings`: the settings as aiokafka's and Temporal's own connection options.

Touches the files that hold certificates and Temporal's profile; connects to
nothing. The one place where settings become options, so that every command
reaches the servers in the same way.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.helpers import create_ssl_context
from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile, ClientConnectConfig
from temporalio.service import GrpcCompression

from completion_relay.load import ConfigurationError
from completion_relay.route import Routes
from completion_relay.setting_types import host_port
from completion_relay.settings import ClusterSettings, KafkaSettings, Settings, TemporalSettings

DEFAULT_TEMPORAL_ADDRESS = "localhost:7233"
DEFAULT_NAMESPACE = "default"

_SOURCE_LINE = re.compile(r"\s*\d*\s*\|")


def kafka_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Return what aiokafka's consumer, producer and admin client take to connect.

    Raises:
        ConfigurationError: a certificate file cannot be read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": [part.strip() for part in kafka.bootstrap_servers.split(",")],
        "client_id": kafka.client_id,
        "security_protocol": kafka.security_protocol,
    }
    if kafka.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = (
            kafka.sasl_password.get_secret_value() if kafka.sasl_password else None
        )
    if kafka.security_protocol.endswith("SSL"):
        try:
            options["ssl_context"] = create_ssl_context(
                cafile=kafka.ssl_cafile,
                certfile=kafka.ssl_certfile,
                keyfile=kafka.ssl_keyfile,
            )
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"setting kafka.ssl_*: {error}: give readable PEM files in kafka.ssl_cafile, "
                "kafka.ssl_certfile and kafka.ssl_keyfile"
            ) from None
    return options


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What a person is told about a cluster's settings: whose they are, and where they are set."""

    whose: str
    address: str
    file: str
    profile: str
    tls: str
    reaching: str


_DEFAULT_WORDS = _Words(
    whose="",
    address="setting temporal.address",
    file="temporal.config_file or TEMPORAL_CONFIG_FILE",
    profile="temporal.config_file and temporal.profile, or TEMPORAL_CONFIG_FILE and TEMPORAL_PROFILE",
    tls="TEMPORAL_TLS_*, or [profile.….tls] of Temporal's configuration file",
    reaching="temporal.address (--temporal or TEMPORAL_ADDRESS) and TEMPORAL_TLS_* and "
    "TEMPORAL_API_KEY",
)


def _words(cluster: ClusterSettings) -> _Words:
    setting = f"[[temporal.clusters]] {cluster.name}"
    return _Words(
        whose=f"{setting}: ",
        address=f"{setting}: address",
        file="its config_file, or temporal.config_file or TEMPORAL_CONFIG_FILE",
        profile="its profile and config_file",
        tls="[profile.….tls] of Temporal's configuration file",
        reaching=f"address, profile and config_file of {setting}",
    )


class TemporalConnection:
    """Where a cluster of Temporal is, and the namespaces served there."""

    def __init__(self, temporal: TemporalSettings, cluster: ClusterSettings | None = None) -> None:
        """Read a cluster's profile; connect to nothing.

        TEMPORAL_* variables are the default cluster's. For a further one only
        TEMPORAL_CONFIG_FILE counts: several profiles stand in one file.

        Args:
            temporal: The default cluster's settings.
            cluster: A further one's, if it is that.

        Raises:
            ConfigurationError: Temporal's configuration file cannot be read, or tells too little.
        """
        self._words = _words(cluster) if cluster else _DEFAULT_WORDS
        self.name = cluster.name if cluster else ""
        """By which events call it; empty for the default one."""
        self.rpc_timeout = (cluster or temporal).rpc_timeout
        """Deadline of one call, seconds."""
        self.ui_url = (cluster or temporal).ui_url
        """Where its web UI is, if that is known."""
        self._config = self._read(temporal, cluster)
        address = (cluster or temporal).address or self._config.get("target_host")
        namespace = self._config.get("namespace")
        if cluster is None:
            address = address or DEFAULT_TEMPORAL_ADDRESS
            namespace = namespace or DEFAULT_NAMESPACE
        self.address = self._checked(address)
        """`HOST:PORT` of its frontend."""
        self.namespaces: tuple[str, ...] = (cluster or temporal).namespaces or (
            (namespace,) if namespace else ()
        )
        """The first is for events that name none."""
        if not self.namespaces:
            raise ConfigurationError(
                f"{self._words.whose}serves no namespace: set its namespaces, or a namespace in its "
                "profile"
            )

    @property
    def label(self) -> str:
        """What it is called in readiness and logs: `temporal`, a further one with its name."""
        return f"temporal {self.name}" if self.name else "temporal"

    @property
    def help(self) -> str:
        """Where it is set how the cluster is reached, for a person who cannot reach it."""
        return self._words.reaching

    def _read(
        self, temporal: TemporalSettings, cluster: ClusterSettings | None
    ) -> ClientConnectConfig:
        if cluster and not (cluster.profile or cluster.config_file):
            # With an address alone nothing is read: the default profile's API key
            # is not for another cluster.
            return {}
        own = cluster.config_file if cluster else None
        file = own or temporal.config_file or os.environ.get("TEMPORAL_CONFIG_FILE")
        if file and not Path(file).exists():
            # The SDK takes a missing file for an empty one: without TLS, key and namespace.
            raise ConfigurationError(
                f"{self._words.whose}Temporal's configuration file {file}: no such file: see "
                f"{self._words.file}"
            )
        try:
            profile = ClientConfigProfile.load(
                profile=(cluster or temporal).profile,
                config_source=Path(file) if file else None,
                disable_env=cluster is not None,
            )
            return profile.to_client_connect_config()
        except OSError as error:
            raise ConfigurationError(
                f"{self._words.whose}Temporal's TLS files: {error.filename}: {error.strerror}: see "
                f"{self._words.tls}"
            ) from None
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"{self._words.whose}Temporal's profile: {_without_source(error)}: see "
                f"{self._words.profile}"
            ) from None

    def _checked(self, address: str | None) -> str:
        if not address:
            raise ConfigurationError(
                f"{self._words.whose}its profile has no address: add one there, or set its address"
            )
        try:
            return host_port(address)
        except ValueError as error:
            variable = "" if self.name else ", or TEMPORAL_ADDRESS"
            raise ConfigurationError(
                f"{self._words.address} = {address!r}: {error}: set it{variable}"
            ) from None

    async def client(self, *, lazy: bool = False) -> Client:
        """Return a client for the first namespace.

        gzip is the SDK's default and costs more than it saves on messages of a
        few hundred bytes: 105 µs of CPU a call with it, 80 µs without (measured,
        facts section 0).

        Args:
            lazy: Connect at the first call, so that a Temporal that is away does
                not keep the caller from starting.

        Raises:
            RuntimeError: Temporal cannot be reached, and `lazy` was not asked for.
        """
        config = dict(self._config)
        config.update(
            target_host=self.address,
            namespace=self.namespaces[0],
            lazy=lazy,
            grpc_compression=GrpcCompression.NONE,
        )
        return await Client.connect(**config)  # type: ignore[arg-type]


def _without_source(error: Exception) -> str:
    # The SDK quotes the line of the file that it cannot read, and an API key may be in it.
    lines = [line for line in str(error).splitlines() if line and not _SOURCE_LINE.match(line)]
    return ": ".join(lines)


def connect_reason(text: str) -> str:
    """Return why Temporal's client could not connect, of what it says in Rust's debug format."""
    for pattern in (r'message: "([^"]+)"', r'error: "([^"]+)"', r'ConnectError\("([^"]+)"'):
        if found := re.search(pattern, text):
            return found[1]
    lines = text.removeprefix("Failed client connect: ").splitlines()
    return lines[0] if lines else "no answer in time"


def temporal_connections(temporal: TemporalSettings) -> tuple[TemporalConnection, ...]:
    """Return the connection of every cluster, the default one first.

    Raises:
        ConfigurationError: a cluster's profile cannot be read, or tells too little.
    """
    return (
        TemporalConnection(temporal),
        *(TemporalConnection(temporal, cluster) for cluster in temporal.clusters),
    )


def first_namespace(temporal: TemporalSettings, cluster: str) -> str:
    """Return the namespace of a cluster's events that name none.

    Args:
        temporal: The settings of all clusters.
        cluster: As events name it; empty for the default one.

    Raises:
        ConfigurationError: there is no such cluster, or its profile cannot be read.
    """
    if cluster in ("", temporal.cluster):
        return TemporalConnection(temporal).namespaces[0]
    for other in temporal.clusters:
        if other.name == cluster:
            return TemporalConnection(temporal, other).namespaces[0]
    raise ConfigurationError(
        f"cluster {cluster!r} is not in these settings, so its first namespace is not known: name "
        "the namespace, or give the relay's settings with --config"
    )


def routes_of(settings: Settings, connections: Sequence[TemporalConnection]) -> Routes:
    """Return what a relay with these settings serves.

    Args:
        settings: All of them.
        connections: What `temporal_connections` returns.
    """
    default, *others = connections
    return Routes(
        namespaces=default.namespaces,
        cluster=settings.temporal.cluster,
        others={other.name: other.namespaces for other in others},
        allow_current_run=settings.relay.allow_current_run,
    )
