"""Room `settings`: what settings are made of: names, addresses, and a section. Touches nothing."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from completion_relay.audit_index.location import checked

_LABEL = r"[^\s:/.\[\]]{1,63}"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?|\[[0-9a-fA-F:.%]+\]")


def host_port(text: str) -> str:
    """Return HOST:PORT as it is.

    Raises:
        ValueError: it is none.
    """
    host, _, port = text.rpartition(":")
    if not _HOST.fullmatch(host) or not re.fullmatch(r"\d{1,5}", port, re.ASCII):
        raise ValueError("should be HOST:PORT with a port of 0 to 65535")
    if int(port) > 65_535:
        raise ValueError("should have a port of at most 65535")
    return text


def _host_ports(text: str) -> str:
    for part in text.split(","):
        host_port(part.strip())
    return text


def _cluster_name(text: str) -> str:
    # A namespace of the cluster is shown as `cluster/namespace`.
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,64}", text):
        raise ValueError("should have 1 to 64 letters, digits, '.', '_' or '-'")
    return text


def _web_address(text: str) -> str:
    found = urlsplit(text)  # raises ValueError itself where the port is none
    host, port = found.hostname, found.port
    if found.scheme not in {"http", "https"} or not host or port == 0 or text != text.strip():
        raise ValueError(
            "should be http://HOST:PORT or https://HOST, with a path where there is one"
        )
    if found.query or found.fragment or found.username is not None:
        raise ValueError("should have neither a user nor anything after the path")
    return text


def _topic(text: str) -> str:
    # What Kafka itself accepts as a topic name (org.apache.kafka.common.internals.Topic).
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", text) or text in {".", ".."}:
        raise ValueError("should have 1 to 249 letters, digits, '.', '_' or '-'")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
ClusterName = Annotated[str, AfterValidator(_cluster_name)]
Topic = Annotated[str, AfterValidator(_topic)]
Database = Annotated[str, AfterValidator(checked)]
HostPort = Annotated[str, AfterValidator(host_port)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
HostPorts = Annotated[str, AfterValidator(_host_ports)]


class Section(BaseModel):
    """A section of settings: frozen, and nothing in it that is not known."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=False
    )
