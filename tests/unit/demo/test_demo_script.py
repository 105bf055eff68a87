"""The demo's script: the scene that issue and contract ask for, in the samples' own words."""

from __future__ import annotations

import dataclasses
from collections import Counter

from temporalio import activity, workflow

from completion_relay.demo import script
from completion_relay.demo.script import Ending, Got
from completion_workflow.samples import agent, caller


def test_a_caller_waits_for_twenty_four_and_nobody_for_one() -> None:
    waited_for = Counter(part.expected.got is not None for part in script.script())

    assert waited_for == {True: 24, False: 1}


def test_every_ending_is_in_the_cast() -> None:
    assert {part.ending for part in script.script()} == set(Ending)


def test_names_are_unique() -> None:
    names = [part.name for part in script.script()]

    assert len(set(names)) == len(names)


def test_most_succeed() -> None:
    endings = Counter(part.ending for part in script.script())

    assert endings[Ending.SUCCESS] > len(script.script()) / 2


def test_workflows_and_task_queues_have_the_names_that_the_samples_give_them() -> None:
    types = [workflow._Definition.must_from_class(cls).name for cls in (caller.Caller, agent.Agent)]

    assert types == [script.CALLER, script.AGENT]
    assert (caller.CALLERS, agent.AGENTS) == (script.CALLERS, script.AGENTS)


def test_a_task_and_what_a_caller_got_have_the_fields_of_the_samples() -> None:
    assert all(agent.Task(**part.task) for part in script.script())  # type: ignore[arg-type]
    assert dataclasses.asdict(Got("failed", "x", "E")) == dataclasses.asdict(
        caller.Got("failed", "x", "E")
    )


def test_the_hand_off_activity_is_what_the_caller_starts() -> None:
    definition = activity._Definition.must_from_callable(caller.HandOff.run_agent)

    assert definition.name == "run_agent"
