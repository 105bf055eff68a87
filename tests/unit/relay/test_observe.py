"""What metrics say of a namespace that nobody serves: its name is the emitter's to choose."""

from __future__ import annotations

from tests.unit.relay.trails import decision

from completion_relay.health import Health
from completion_relay.observe import Observer


def test_a_namespace_that_is_not_served_is_counted_as_other() -> None:
    """Else whoever may write to the topic makes as many series as he likes, with any text in them."""
    observer = Observer(namespaces=("orders",), health=Health())
    for namespace in ("orders", "whatever", "I like"):
        observer.decided(decision("e-1", decided=1.0, namespace=namespace))
    samples = [
        sample
        for metric in observer.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "completion_relay_events_total"
    ]
    assert {sample.labels["namespace"]: sample.value for sample in samples} == {
        "orders": 1,
        "other": 2,
    }
