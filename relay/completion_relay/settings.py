"""Room `settings`: every setting of the relay, frozen and checked once. Touches nothing.

Each one documents its meaning, default, unit, danger and the name that Kafka or
Temporal has for it. `load.py` fills them from the TOML file and the environment. Validation refuses,
it never edits.
"""

from __future__ import annotations

import socket
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from completion_relay.setting_types import (
    ClusterName,
    Database,
    HostPort,
    HostPorts,
    Name,
    Section,
    Topic,
    WebAddress,
)

CLOSING_SECONDS = 5.0
"""What is left for the journals' last writing once their events are drained. They have more
(`journal.py`), for a Kafka that does not answer: and that one does not move the group on either."""


class KafkaSettings(Section):
    """How to reach Kafka."""

    bootstrap_servers: HostPorts = "localhost:9092"
    """Kafka's `bootstrap.servers`: HOST:PORT, comma-separated."""
    group_id: Name = "completion-relay"
    """Kafka's `group.id`. All replicas of one relay share it. Danger: another group on the same
    topic decides every event a second time (harmless to the activities, doubled in the audit
    trail)."""
    client_id: Name = "completion-relay"
    """Kafka's `client.id`, for the broker's logs and quotas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Kafka's `security.protocol`."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """Kafka's `sasl.mechanism`; used with SASL_PLAINTEXT and SASL_SSL."""
    sasl_username: str | None = None
    """User for SASL."""
    sasl_password: SecretStr | None = None
    """Password for SASL. Better in COMPLETION_RELAY_KAFKA__SASL_PASSWORD than in the file."""
    ssl_cafile: str | None = None
    """PEM file of the authorities that sign the brokers' certificates; unset: the system's."""
    ssl_certfile: str | None = None
    """PEM file of the client certificate (mTLS)."""
    ssl_keyfile: str | None = None
    """PEM file of the client certificate's key."""
    session_timeout_ms: int = Field(default=10_000, ge=1_000)
    """Kafka's `session.timeout.ms`, milliseconds: a replica that is silent for so long is replaced."""
    rebalance_timeout_ms: int = Field(default=60_000, ge=5_000)
    """How long the group waits for a replica to drain, milliseconds (aiokafka's
    `rebalance_timeout_ms`, whose own default is only the session timeout). `relay.drain_timeout` must
    fit into it, and 5 s more for writing what is decided."""

    empty_fetch_pause_ms: int = Field(default=0, ge=0, le=1_000)
    """Least time that a fetch without records takes, milliseconds; 0 leaves it to the broker, whose
    own waiting is `fetch.max.wait.ms`. For brokers that answer at once, such as the embedded one,
    which would keep a core busy. Danger: what it adds to the latency of a quiet partition."""

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> KafkaSettings:
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_username and self.sasl_password
        ):
            raise ValueError(
                f"security_protocol {self.security_protocol} needs sasl_username and sasl_password"
            )
        if bool(self.ssl_certfile) != bool(self.ssl_keyfile):
            raise ValueError("ssl_certfile and ssl_keyfile belong together: give both or neither")
        return self


class TopicSettings(Section):
    """The topics' names (contract section 2)."""

    completions: Topic = "completions"
    """The completion events; retained long: it is what a replay reads."""
    audit: Topic = "completions.audit"
    """One final record per delivered event; retained longest."""
    dead_letter: Topic = "completions.dead-letter"
    """Events that cannot be applied, with their original bytes and the reason."""
    parked: Topic = "completions.parked"
    """Events not decided yet that would hold up others."""
    signals: Topic = "completions.signals"
    """What Temporal answered a heartbeat with."""

    @model_validator(mode="after")
    def _names_differ(self) -> TopicSettings:
        names = list(self.names())
        if len(set(names)) != len(names):
            raise ValueError(f"five different topics are needed, got {', '.join(names)}")
        return self

    def names(self) -> tuple[str, ...]:
        """Return the five names, the main topic first."""
        return (self.completions, self.audit, self.dead_letter, self.parked, self.signals)


class ClusterSettings(Section):
    """One more Temporal cluster, beside the default one of `[temporal]`.

    Credentials and TLS are those of its own profile in Temporal's configuration file. TEMPORAL_*
    variables are the default cluster's and do not count here: its key is not for others.
    """

    name: ClusterName
    """The name by which events call the cluster (`activity.cluster`), and by which readiness, logs
    and metrics do."""
    profile: Name | None = None
    """The profile of Temporal's configuration file; unset: none, unless config_file is given, then
    `default`."""
    config_file: str | None = None
    """Temporal's configuration file; unset, with a profile: that of the default cluster."""
    address: HostPort | None = None
    """HOST:PORT of the frontend; unset: the profile's."""
    namespaces: tuple[Name, ...] = ()
    """As `temporal.namespaces`; empty: the profile's one, and without that the cluster is refused."""
    rpc_timeout: float = Field(default=10.0, gt=0, le=120)
    """Deadline of one call, seconds (gRPC's `grpc-timeout`)."""
    ui_url: WebAddress | None = None
    """As `temporal.ui_url`, of this cluster."""
    max_in_flight: int | None = Field(default=None, ge=1, le=10_000)
    """Calls to this cluster under way at once; unset: `relay.max_in_flight`."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> ClusterSettings:
        if not (self.profile or self.config_file or self.address):
            raise ValueError(
                f"cluster {self.name} is nowhere: give it a profile, a config_file or an address"
            )
        return self


class TemporalSettings(Section):
    """Which Temporal the relay completes activities on.

    Address, credentials and TLS are Temporal's own: its profile file and TEMPORAL_* variables
    (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS_*`, …).
    """

    address: HostPort | None = None
    """HOST:PORT of the frontend; unset: the profile's, else localhost:7233."""
    profile: Name | None = None
    """The profile of Temporal's configuration file; unset: TEMPORAL_PROFILE, else `default`."""
    config_file: str | None = None
    """Temporal's configuration file; unset: TEMPORAL_CONFIG_FILE, else its usual place."""
    namespaces: tuple[Name, ...] = ()
    """The namespaces served. An event for any other is dead-lettered as `forbidden`. Empty: the
    profile's, else `default`. The first is the one for events that name none."""
    cluster: str = ""
    """The name by which events may call this cluster, the default one; it always answers to the empty
    name. An event that names a cluster which is neither this nor in `clusters` is `forbidden`."""
    rpc_timeout: float = Field(default=10.0, gt=0, le=120)
    """Deadline of one call, seconds (gRPC's `grpc-timeout`)."""
    ui_url: WebAddress | None = None
    """Where Temporal's web UI is, such as `http://localhost:8233`; unset: `audit show` gives no
    links. Only linked to, never called."""
    clusters: tuple[ClusterSettings, ...] = ()
    """Further clusters, each a `[[temporal.clusters]]` with a name of its own; each has its own
    connection, limits and health."""

    @model_validator(mode="after")
    def _names_differ(self) -> TemporalSettings:
        names = [cluster.name for cluster in self.clusters]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two of clusters are named {name!r}: give each its own name")
            if name == self.cluster:
                raise ValueError(
                    f"cluster {name!r} is the default one and in clusters, too: rename one of them"
                )
        return self


class RelaySettings(Section):
    """How the relay works."""

    relay_id: Name = Field(default_factory=socket.gethostname)
    """This replica's name in audit records and dead-letter headers; default: the host name."""
    max_in_flight: int = Field(default=256, ge=1, le=10_000)
    """Completion calls under way at once, for each namespace. Where Temporal throttles, or takes
    long to answer, the relay goes below by itself, and up again. Danger: a namespace admits 2,400
    requests a second by default (Temporal's `frontend.namespaceRPS`), shared with its workers."""
    rate_limits: dict[Name, Annotated[float, Field(gt=0, le=1_000_000)]] = Field(
        default_factory=dict
    )
    """Completion calls a second at most, by namespace, such as `{ orders = 500 }`; a namespace that
    is not named has no such limit. For a namespace whose workers need what Temporal's
    `frontend.namespaceRPS` leaves. Each relay process counts for itself."""
    max_looks: int = Field(default=16, ge=1, le=1_000)
    """Looks at what became of an activity under way at once in one namespace: after a NOT_FOUND, and
    before each call by ids. The second look of an event by ids that had to wait for its call comes on
    top, within `max_in_flight`. Danger: one look may read thousands of history events; too few hold
    up events by ids."""
    window: int = Field(default=2_000, ge=1, le=100_000)
    """Records per partition from the oldest undecided one on, those behind it that are decided
    included; at that many the partition is paused. Danger: memory, 12 KB for each that waits
    (measured), and what a crash decides again."""
    window_bytes: int = Field(default=32 * 1024 * 1024, ge=4 * 1024 * 1024, le=2**40)
    """Bytes of a partition's undecided events (keys, values and headers); at that many the partition
    is paused, as at `window` events. One event at most goes beyond it, so none is too large. Danger:
    memory, twice as much (measured: an event is held as it came, and decoded) for each partition of the
    events' and the parked topic; too little slows large results down, and parks what waits
    sooner."""
    retry_initial: float = Field(default=0.1, gt=0, le=60)
    """First wait before a call is repeated, seconds; doubled each time, with jitter."""
    retry_maximum: float = Field(default=30.0, gt=0, le=3_600)
    """Longest wait between two tries, seconds. Danger: it is also how long a namespace that has
    recovered may go unnoticed. A whole Temporal that was away is noticed within 5 s."""
    retry_budget: float = Field(default=3_600.0, gt=0)
    """How long an event that Temporal refuses for no fault of its own is tried, seconds. After that,
    and only where its workflow can be described and the activity is still pending, and another event of its
    namespace gets through to this process meanwhile, it is dead-lettered as `exhausted`. An outage takes
    nothing of it."""
    park_after: float = Field(default=300.0, gt=0)
    """How long an event may wait, after a refusal or for a namespace that is halted, before it is
    moved to the parked topic, seconds; at once where it holds up others. It is taken up again by
    itself, and one that nothing but its namespace kept is moved again after `park_maximum` at the earliest.
    Nothing is parked while nothing else could be decided either."""
    park_initial: float = Field(default=5.0, gt=0, le=3_600)
    """How long a parked event is left alone at first, seconds; doubled each time it is parked again,
    with jitter. One that nothing but its namespace kept goes as soon as that is well."""
    park_maximum: float = Field(default=60.0, gt=0, le=86_400)
    """How long at most, seconds. Danger: too long, and one of a namespace that is well again waits behind
    `window` events of one that is not; too short, and these are all written anew as often."""
    look_timeout: float = Field(default=15.0, gt=0, le=600)
    """How long a NOT_FOUND is looked into while history lags, seconds; then `unknown`. And how long an
    activity has to stay pending before an event with a call that had no answer is `expired` or
    `exhausted`, and before a failure by ids with such a call is called again. Danger: shorter than
    `temporal.rpc_timeout`, such a call may still land afterwards."""
    early_timeout: float = Field(default=60.0, ge=0, le=86_400)
    """How long an event by ids waits for its activity to be scheduled, seconds; then `unknown`. On the
    parked topic where it holds up others."""
    allow_current_run: bool = False
    """Whether an event by ids may leave out run_id and mean the current run. Danger: after
    continue-as-new that is another run's activity of the same id (seen on server 1.32.0)."""
    commit_interval: float = Field(default=1.0, gt=0, le=60)
    """Longest time between a decision and the commit of its offset, seconds."""
    drain_timeout: float = Field(default=20.0, ge=0, le=3_600)
    """How long a stop or a rebalance waits for calls under way, seconds. What is not decided by
    then is delivered again to whoever comes next; what only waits, at once."""
    stuck_after: float = Field(default=300.0, gt=0)
    """How long one event may be undecided before `/readyz` says `stuck`, seconds."""
    max_message_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """Largest event, bytes: what `topics create` gives the main topic as Kafka's
    `max.message.bytes`. Temporal takes results of up to 2 MiB by default."""

    @model_validator(mode="after")
    def _waits_are_ordered(self) -> RelaySettings:
        if self.retry_initial > self.retry_maximum:
            raise ValueError(
                f"retry_initial ({self.retry_initial}) must not exceed retry_maximum "
                f"({self.retry_maximum})"
            )
        if self.park_initial > self.park_maximum:
            raise ValueError(
                f"park_initial ({self.park_initial}) must not exceed park_maximum "
                f"({self.park_maximum})"
            )
        return self


class AuditSettings(Section):
    """Where the audit trail can be asked, beside its topic."""

    database: Database | None = Field(default=None, repr=False)
    """The index that `audit index` makes and keeps, and that `audit list`, `show`, `export` and `report`
    then ask: a file (DuckDB), or `postgresql://USER@HOST/DATABASE`; unset: they read the topic. Danger: it
    is as far as its indexer is. A password is better in `~/.pgpass` or PGPASSWORD than here; it is
    never shown."""


class HttpSettings(Section):
    """Where /healthz, /readyz, /metrics and /status are served."""

    address: HostPort = "127.0.0.1:9464"
    """HOST:PORT; port 0 takes a free one. Danger: no authentication, so bind it to what your
    probes and Prometheus can reach and no wider."""


class LogSettings(Section):
    """What is logged, to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level that is written. An event that was applied is one line at DEBUG, a dead letter
    at WARNING, any other outcome at INFO; the audit trail has them all. Danger: at DEBUG the lines
    cost a busy relay a fifth of its time."""
    format: Literal["json", "console"] = "json"
    """One JSON object a line, or lines for a person."""


class Settings(Section):
    """All settings of the relay."""

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    temporal: TemporalSettings = TemporalSettings()
    relay: RelaySettings = Field(default_factory=RelaySettings)
    audit: AuditSettings = AuditSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _drain_fits_the_rebalance(self) -> Settings:
        drained = self.relay.drain_timeout + CLOSING_SECONDS
        if drained * 1_000 > self.kafka.rebalance_timeout_ms:
            raise ValueError(
                f"relay.drain_timeout ({self.relay.drain_timeout:g} s) and {CLOSING_SECONDS:g} s for "
                "writing what is decided must fit into kafka.rebalance_timeout_ms "
                f"({self.kafka.rebalance_timeout_ms} ms), or the group moves on before the events "
                f"under way are decided: give {drained * 1_000:.0f} ms, or a shorter drain_timeout"
            )
        return self
