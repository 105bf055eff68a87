"""The outcome options of `emit`: exactly one, and JSON as any SDK reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.converter import DataConverter

from completion_relay.cli.outcome import OutcomeOptions, json_payloads
from completion_relay.cli.token_file import InputError
from completion_schemas.events import Canceled, Completed, Failed, Heartbeat

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_VALUES)
async def test_every_json_value_reaches_a_workflow_as_it_is(value: Any) -> None:
    payloads = json_payloads("--result", json.dumps(value).encode())
    assert await DataConverter.default.decode(payloads.payloads) == [value]


@pytest.mark.parametrize("text", ["done", "", "{", "NaN", "[1,]", "\udcff"])
def test_what_is_not_json_is_refused_with_its_option_and_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"""--details is not JSON: .*'"done"'"""):
        json_payloads("--details", text.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (OutcomeOptions(result="1"), Completed),
        (OutcomeOptions(failure=""), Failed),
        (OutcomeOptions(cancel=True, details="[]"), Canceled),
        (OutcomeOptions(heartbeat=True), Heartbeat),
    ],
)
def test_the_one_outcome_that_is_given_is_taken(options: OutcomeOptions, kind: type) -> None:
    assert isinstance(options.outcome(), kind)


def test_a_failure_is_an_application_failure_as_temporal_asks_for() -> None:
    outcome = OutcomeOptions(failure="no", failure_type="Refused", non_retryable=True).outcome()
    assert isinstance(outcome, Failed)
    assert outcome.failure.message == "no"
    assert outcome.failure.application_failure_info.type == "Refused"
    assert outcome.failure.application_failure_info.non_retryable


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (OutcomeOptions(), "one outcome, got none"),
        (OutcomeOptions(result="1", cancel=True), "got --result and --cancel"),
        (OutcomeOptions(result="1", failure_type="T"), "belong to --failure"),
        (OutcomeOptions(cancel=True, non_retryable=True), "belong to --failure"),
        (OutcomeOptions(result="1", details="1"), "--details belongs to --cancel or --heartbeat"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: OutcomeOptions, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        options.outcome()
