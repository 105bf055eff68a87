"""What `check --operator` says of a command, by what its user is allowed."""

from __future__ import annotations

from typing import cast

import pytest
from temporalio.client import Client

from completion_relay.calls import Calls
from completion_relay.cli.check_operator import Kind, Right, command_finding, rights
from completion_relay.cli.check_temporal import _Place, _refused
from completion_relay.cli.findings import Status as Mark
from completion_relay.connections import temporal_connections
from completion_relay.settings import Settings
from completion_relay.verdict import Answer, Status

READ, WRITE = Right(Kind.READ, "completions"), Right(Kind.WRITE, "completions")
GROUP = Right(Kind.DESCRIBE_GROUP, "g")


def test_a_command_is_refused_with_the_rights_that_it_lacks_and_no_others() -> None:
    found = command_finding("x", (READ, WRITE, GROUP), denied={WRITE, GROUP}, there={"completions"})
    assert found.status is Mark.FAILED
    assert found.detail == "may not be used: no Write on topic completions, Describe on group g"


def test_a_right_on_a_topic_that_is_not_there_is_of_no_use() -> None:
    found = command_finding("x", (READ, GROUP), denied=(), there=())
    assert (found.status, found.detail) == (Mark.FAILED, "topic completions is not there")


def test_what_has_all_its_rights_may_be_used() -> None:
    found = command_finding("x", (READ, GROUP), denied={WRITE}, there={"completions"})
    assert found.status is Mark.OK


def test_replays_are_asked_for_by_what_the_names_of_all_of_them_begin_with() -> None:
    """One pattern of an ACL (`--resource-pattern-type prefixed`) is enough for all that are to come."""
    needs = {str(right) for right in rights(Settings())["replay"]}
    assert "Read on groups that begin with completion-replay-" in needs
    assert "Write on transactional ids that begin with completion-replay/" in needs


@pytest.mark.parametrize(("completes", "role"), [(True, "write"), (False, "read")])
def test_who_only_looks_is_told_of_the_role_to_read(*, completes: bool, role: str) -> None:
    (connection,) = temporal_connections(Settings().temporal)
    client = cast("Client", None)  # nothing is asked of it
    at = _Place(client, Calls(at_once=1, seconds=1.0), connection, "orders", completes)
    found = _refused("look in orders", Answer(Status.PERMISSION_DENIED, "no"), at)
    assert f"the {role} role on orders" in found.fix
