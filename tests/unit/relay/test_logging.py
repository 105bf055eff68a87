"""What the relay writes as its log, and what it keeps out of it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from completion_relay.observe import configure_logging
from completion_relay.settings import LogSettings


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
