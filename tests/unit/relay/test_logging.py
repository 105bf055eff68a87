"""What the relay writes as its log, and what it keeps out of it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from completion_relay.health import Health
from completion_relay.identity import RecordMark
from completion_relay.observe import Observer, configure_logging
from completion_relay.settings import LogSettings
from completion_relay.verdict import Answer, Status


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Standard error, with the relay's logging at its most talkative."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    root, quiet = logging.getLogger(), logging.getLogger("aiokafka")
    before = root.handlers, root.level, quiet.level, structlog.get_config()
    configure_logging(LogSettings(level="DEBUG"))
    yield out
    root.handlers, level, quiet_level, config = before
    root.setLevel(level)
    quiet.setLevel(quiet_level)
    structlog.configure(**config)
    logging.captureWarnings(False)


@pytest.mark.parametrize("name", ["aiokafka.conn", "aiokafka.producer.producer"])
def test_aiokafkas_debug_lines_are_not_written(name: str, log: io.StringIO) -> None:
    """They hold whole requests: payloads, and the password of a SASL handshake."""
    logging.getLogger(name).debug("Request %s", b"a password")
    assert log.getvalue() == ""


def test_other_libraries_lines_are(log: io.StringIO) -> None:
    logging.getLogger("somebody.else").debug("said")
    assert json.loads(log.getvalue())["event"] == "said"


def test_an_event_that_goes_on_being_refused_is_named_with_its_answer(log: io.StringIO) -> None:
    """Nobody runs at DEBUG, and an operator who is told that something is stuck looks for what it is."""
    observer = Observer(namespaces=("orders",), health=Health())
    mark = RecordMark("approved-7", "completions", 3, 42)
    for waits in range(1, 17):
        answer = Answer(Status.UNAVAILABLE, "shard is away")
        observer.retried("orders", answer, mark, waits=waits, seconds=1.0)
    told = [json.loads(line) for line in log.getvalue().splitlines()]
    named = [line for line in told if line["level"] == "info"]
    assert [line["tries"] for line in named] == [8, 16]
    assert (named[0]["event_id"], named[0]["position"]) == ("approved-7", "completions/3/42")
    assert (named[0]["status"], named[0]["message"]) == ("UNAVAILABLE", "shard is away")
