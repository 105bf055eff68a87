"""Room `cli`: what a supervisor and its children tell each other, a JSON object a line. Touches nothing.

Down goes one line: the settings, and where the supervisor's own pages are. The
settings are those that the supervisor has read, so that a child that is started again next week serves
what its siblings serve, whatever has become of the file and of the environment
since. Up come reports.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from pydantic import SecretBytes, SecretStr, ValidationError
from pydantic_core import to_jsonable_python

from completion_relay.load import ConfigurationError
from completion_relay.service import Serving
from completion_relay.settings import Settings


@dataclass(frozen=True, slots=True)
class Listening:
    """The child's own /healthz, /readyz and /metrics can be asked."""

    http: str
    """HOST:PORT."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Events are being decided."""

    serving: Serving


@dataclass(frozen=True, slots=True)
class Failed:
    """The child's last words: an error ended it."""

    code: int
    """The exit code that follows; see `cli.boundary`."""
    error: str
    """Lines for whoever started the relay."""


Report = Listening | Ready | Failed


def encode_settings(settings: Settings, pages: str) -> bytes:
    """Return the settings as a line, secrets included: it goes through a pipe and nowhere else.

    Args:
        settings: The child's.
        pages: HOST:PORT of the supervisor's pages, by which the child introduces itself to its group.
    """
    said = {"settings": settings.model_dump(round_trip=True), "pages": pages}
    return _line(json.dumps(said, default=_jsonable))


def decode_settings(line: bytes) -> tuple[Settings, str]:
    """Return what `encode_settings` was given."""
    said = json.loads(line)
    # As JSON once more: only then does it make tuples of lists.
    return Settings.model_validate_json(json.dumps(said["settings"])), said["pages"]


def settings_of(settings: Settings, number: int) -> Settings:
    """Return the settings of one child.

    Audit records tell the children apart by `relay_id`, here `HOST/2`; their
    pages are for the supervisor only.

    Args:
        settings: The relay's.
        number: The child's, from 1.

    Raises:
        ConfigurationError: `relay.relay_id` leaves no room for the number.
    """
    values = settings.model_dump(round_trip=True)
    values["relay"]["relay_id"] += f"/{number}"
    values["http"]["address"] = "127.0.0.1:0"
    try:
        return Settings.model_validate(values)
    except ValidationError:
        raise ConfigurationError(
            f"setting relay.relay_id: {len(settings.relay.relay_id)} characters, and with "
            "--processes its process's number follows: give a shorter one"
        ) from None


def encode_report(report: Report) -> bytes:
    """Return a report as a line."""
    return _line(json.dumps({type(report).__name__: dataclasses.asdict(report)}))


def decode_report(line: bytes) -> Report:
    """Return the report of a line.

    Raises:
        ValueError: it is none.
    """
    try:
        ((kind, fields),) = json.loads(line).items()
        match kind:
            case "Listening":
                return Listening(**fields)
            case "Ready":
                return Ready(_serving(**fields["serving"]))
            case "Failed":
                return Failed(**fields)
            case _:
                raise ValueError(f"no report is called {kind}")
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no report: {error}") from None


def _serving(
    *, namespaces: list[str], clusters: dict[str, tuple[str, list[str]]], **fields: Any
) -> Serving:
    # JSON has no tuples.
    others = {name: (address, tuple(served)) for name, (address, served) in clusters.items()}
    return Serving(namespaces=tuple(namespaces), clusters=others, **fields)


def _jsonable(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, SecretBytes):
        return value.get_secret_value().decode()
    return to_jsonable_python(value)


def _line(text: str) -> bytes:
    return text.encode() + b"\n"
