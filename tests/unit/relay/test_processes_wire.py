"""What a supervisor and its children tell each other, and when a child is started again."""

from __future__ import annotations

import json
import random
import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion_relay.load import ConfigurationError, setting_names
from completion_relay.processes.replica import how_it_ended, restart_wait
from completion_relay.processes.wire import (
    Failed,
    Listening,
    Ready,
    Report,
    decode_report,
    decode_settings,
    encode_report,
    encode_settings,
    settings_of,
)
from completion_relay.service import Serving
from completion_relay.settings import Settings

SERVINGS = st.builds(
    Serving,
    topic=st.text(),
    kafka=st.text(),
    group=st.text(),
    namespaces=st.lists(st.text()).map(tuple),
    temporal=st.text(),
    http=st.text(),
)
REPORTS: st.SearchStrategy[Report] = st.one_of(
    st.builds(Listening, st.text()),
    st.builds(Ready, SERVINGS),
    st.builds(Failed, st.integers(0, 255), st.text()),
)

CHOSEN: dict[str, dict[str, Any]] = {
    "kafka": {
        "bootstrap_servers": "a:1,b:2",
        "security_protocol": "SASL_SSL",
        "sasl_username": "relay",
        "sasl_password": 'a "secret"\nof ours ü',
    },
    "temporal": {"namespaces": ("orders", "billing"), "rpc_timeout": 2.5},
    "relay": {
        "relay_id": "here",
        "rate_limits": {"orders": 500.0},
        "stuck_after": float("inf"),
    },
    "http": {"address": "0.0.0.0:9464"},
    "log": {"format": "console"},
}


@given(REPORTS)
def test_a_report_is_one_line_and_comes_back_as_it_was(report: Report) -> None:
    line = encode_report(report)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_report(line) == report


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["Listening", "Ready", "Failed", "serving", "http"]), inner
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_a_line_that_is_no_report_is_refused_or_read_and_never_breaks_the_reader(
    line: bytes,
) -> None:
    try:
        report = decode_report(line)
    except ValueError:
        return
    assert isinstance(report, Report)


def test_the_settings_come_back_as_they_were_with_their_secrets() -> None:
    settings = Settings.model_validate(CHOSEN)
    line = encode_settings(settings, "0.0.0.0:9464")
    assert line.count(b"\n") == 1
    again, pages = decode_settings(line)
    assert pages == "0.0.0.0:9464"
    assert again == settings
    assert again.kafka.sasl_password is not None
    assert again.kafka.sasl_password.get_secret_value() == CHOSEN["kafka"]["sasl_password"]


@pytest.mark.parametrize("name", list(setting_names()))
def test_a_child_has_every_setting_of_the_relay_but_its_id_and_its_address(name: str) -> None:
    settings = Settings.model_validate(CHOSEN)
    child = settings_of(settings, 2)
    own = {"relay.relay_id": "here/2", "http.address": "127.0.0.1:0"}
    section, _, field = name.partition(".")
    expected = own.get(name, getattr(getattr(settings, section), field))
    assert getattr(getattr(child, section), field) == expected


def test_a_relay_id_that_leaves_no_room_for_the_number_is_refused() -> None:
    settings = Settings.model_validate({"relay": {"relay_id": "x" * 255}})
    with pytest.raises(ConfigurationError, match=r"relay\.relay_id: 255 characters.*shorter"):
        settings_of(settings, 1)


@given(st.integers(1, 10_000), st.randoms(use_true_random=False))
def test_the_wait_before_a_restart_is_jittered_and_bounded(deaths: int, rng: random.Random) -> None:
    wait = restart_wait(deaths, rng)
    assert 0.25 <= wait <= 30
    assert wait >= min(30, 0.5 * 2.0 ** min(deaths - 1, 10)) / 2


def test_each_death_in_a_row_doubles_the_longest_wait_until_half_a_minute() -> None:
    rng = random.Random()
    rng.uniform = lambda _low, high: high  # type: ignore[method-assign, assignment]
    waits = [restart_wait(deaths, rng) for deaths in range(1, 9)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (70, "exit code 70"),
        (-signal.SIGKILL, "SIGKILL"),
        (-signal.SIGABRT, "SIGABRT"),
        (-200, "signal 200"),
    ],
)
def test_how_a_process_ended_is_said_in_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words
