"""Room `route`: which cluster and namespace an event goes to, if to any. Core: touches nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from completion_relay.replay.headers import namespace_of
from completion_relay.verdict import DeadLetter
from completion_schemas.dispositions import DeadLetterReason
from completion_schemas.events import CompletionEvent
from completion_schemas.record import Headers


def redirected(event: CompletionEvent, headers: Headers) -> CompletionEvent:
    """Return the event with the namespace that a replay has given it, else as it is.

    Before anything is made of it: the key of an event by ids has the namespace, and whatever
    is said about one activity must have one key. Whether that namespace is served is asked
    as for any other.

    Raises:
        DecodeError: the record's headers do not say clearly which one is meant.
    """
    namespace = namespace_of(headers)
    if namespace is None or namespace == event.activity.namespace:
        return event
    return replace(event, activity=replace(event.activity, namespace=namespace))


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an event is completed."""

    cluster: str
    """Empty for the default one, also where the event named that."""
    namespace: str

    def __str__(self) -> str:
        """Return what metrics, logs, the audit trail and readiness call it.

        The namespace alone; that of a further cluster with the cluster's name
        before it, `west/orders`.
        """
        return f"{self.cluster}/{self.namespace}" if self.cluster else self.namespace


@dataclass(frozen=True, slots=True)
class Routes:
    """What this relay serves: the default cluster, further ones, and the namespaces of each."""

    namespaces: tuple[str, ...]
    """Of the default cluster; the first is for events that name none."""
    cluster: str = ""
    """The name by which events may call the default cluster; it always answers to the empty one."""
    others: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The namespaces of each further cluster, by its name; the first as above."""
    allow_current_run: bool = False
    """Whether ids without run_id may mean the current run."""

    def served(self) -> Iterator[Destination]:
        """Yield every place that events may go to."""
        for cluster, namespaces in (("", self.namespaces), *self.others.items()):
            for namespace in namespaces:
                yield Destination(cluster, namespace)

    def destination_of(self, event: CompletionEvent) -> Destination | DeadLetter:
        """Return where to complete, or why nowhere."""
        reference = event.activity
        cluster = "" if reference.cluster == self.cluster else reference.cluster
        namespaces = self.others.get(cluster) if cluster else self.namespaces
        if namespaces is None:
            names = ", ".join(filter(None, (self.cluster, *self.others)))
            return DeadLetter(
                DeadLetterReason.FORBIDDEN,
                f"cluster {cluster!r} is not served here; served are {names or 'none by a name'} "
                "(settings temporal.cluster and temporal.clusters)",
            )
        namespace = reference.namespace or namespaces[0]
        if namespace not in namespaces:
            setting = f"namespaces of cluster {cluster}" if cluster else "temporal.namespaces"
            return DeadLetter(
                DeadLetterReason.FORBIDDEN,
                f"namespace {namespace!r} is not served here; served are "
                f"{', '.join(namespaces)} (setting {setting})",
            )
        if not reference.task_token:
            if not reference.has_ids:
                return DeadLetter(
                    DeadLetterReason.INVALID,
                    "the reference has a sealed token alone, and this relay has no key to open it",
                )
            if not reference.run_id and not self.allow_current_run:
                return DeadLetter(
                    DeadLetterReason.INVALID,
                    "activity.run_id is missing: without it Temporal takes the current run, which "
                    "may be another one; name the run (or set relay.allow_current_run)",
                )
        return Destination(cluster, namespace)
