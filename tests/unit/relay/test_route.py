"""Which cluster and namespace an event goes to."""

from __future__ import annotations

import base64

import pytest

from completion_relay.replay.headers import NAMESPACE
from completion_relay.route import Destination, Routes, redirected
from completion_relay.verdict import DeadLetter
from completion_schemas.dispositions import DeadLetterReason
from completion_schemas.errors import DecodeError
from completion_schemas.events import ActivityReference, Completed, CompletionEvent, UnixNanos

ROUTES = Routes(
    namespaces=("orders", "billing"), cluster="eu", others={"west": ("orders", "stock")}
)
TOKEN = base64.b64encode(b"some token").decode()


def event(**reference: object) -> CompletionEvent:
    return CompletionEvent(
        event_id="e-1",
        occurred_at=UnixNanos(1),
        activity=ActivityReference(**reference),  # type: ignore[arg-type]
        outcome=Completed(),
    )


@pytest.mark.parametrize("cluster", ["", "eu"])
def test_an_event_without_a_namespace_goes_to_the_first(cluster: str) -> None:
    to = ROUTES.destination_of(event(task_token=TOKEN, cluster=cluster))
    assert to == Destination("", "orders")


def test_an_event_goes_where_it_says() -> None:
    to = ROUTES.destination_of(event(task_token=TOKEN, namespace="billing", cluster="eu"))
    assert to == Destination("", "billing")


@pytest.mark.parametrize(("named", "namespace"), [("", "orders"), ("stock", "stock")])
def test_an_event_goes_to_the_cluster_that_it_names(named: str, namespace: str) -> None:
    to = ROUTES.destination_of(event(task_token=TOKEN, namespace=named, cluster="west"))
    assert to == Destination("west", namespace)


def test_a_namespace_of_another_cluster_is_told_from_one_of_the_default() -> None:
    assert [str(place) for place in ROUTES.served()] == [
        "orders",
        "billing",
        "west/orders",
        "west/stock",
    ]


@pytest.mark.parametrize(
    ("reference", "reason", "words"),
    [
        ({"task_token": TOKEN, "namespace": "hr"}, DeadLetterReason.FORBIDDEN, "namespace 'hr'"),
        ({"task_token": TOKEN, "cluster": "us"}, DeadLetterReason.FORBIDDEN, "cluster 'us'"),
        ({"task_token": TOKEN, "cluster": "us"}, DeadLetterReason.FORBIDDEN, "eu, west"),
        (
            {"task_token": TOKEN, "cluster": "west", "namespace": "billing"},
            DeadLetterReason.FORBIDDEN,
            "namespaces of cluster west",
        ),
        (
            {"workflow_id": "w", "activity_id": "a"},
            DeadLetterReason.INVALID,
            "run_id is missing",
        ),
        (
            {"sealed_token": TOKEN, "token_fingerprint": "00" * 16},
            DeadLetterReason.INVALID,
            "no key to open it",
        ),
    ],
)
def test_an_event_that_cannot_be_routed_says_why(
    reference: dict[str, str], reason: DeadLetterReason, words: str
) -> None:
    verdict = ROUTES.destination_of(event(**reference))
    assert isinstance(verdict, DeadLetter)
    assert verdict.reason is reason
    assert words in verdict.detail


def test_the_current_run_is_a_policy() -> None:
    routes = Routes(namespaces=("orders",), allow_current_run=True)
    to = routes.destination_of(event(workflow_id="w", activity_id="a"))
    assert to == Destination("", "orders")


def test_without_a_name_the_default_cluster_is_meant_by_none() -> None:
    routes = Routes(namespaces=("orders",))
    assert isinstance(routes.destination_of(event(task_token=TOKEN, cluster="eu")), DeadLetter)


def redirect(*values: bytes | None, **reference: object) -> CompletionEvent:
    headers = [("ce_id", b"e-1"), *((NAMESPACE, value) for value in values)]
    return redirected(event(**reference), headers)


def test_an_event_is_for_the_namespace_that_a_replay_has_given_it() -> None:
    ids = {"workflow_id": "w", "run_id": "r", "activity_id": "a"}
    given = redirect(b"billing", namespace="hr", **ids)
    assert ROUTES.destination_of(given) == Destination("", "billing")
    # What is said about one activity has one key, by which its order is kept.
    assert given.activity_key == event(namespace="billing", **ids).activity_key


def test_an_event_without_such_a_header_is_as_it_was() -> None:
    assert redirect(task_token=TOKEN) == event(task_token=TOKEN)


def test_a_namespace_that_is_not_served_is_forbidden_to_a_replay_too() -> None:
    to = ROUTES.destination_of(redirect(b"hr", task_token=TOKEN, namespace="orders"))
    assert isinstance(to, DeadLetter)
    assert to.reason is DeadLetterReason.FORBIDDEN


@pytest.mark.parametrize("values", [(b"orders", b"billing"), (b"",), (None,), (b"\xff",)])
def test_a_namespace_that_is_not_plain_is_refused(values: tuple[bytes | None, ...]) -> None:
    with pytest.raises(DecodeError, match="completion-replay-namespace"):
        redirect(*values, task_token=TOKEN)
