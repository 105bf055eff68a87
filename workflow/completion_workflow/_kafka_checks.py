"""Room `workflow`: refuses settings of Kafka when they are given. Touches nothing.

aiokafka finds most of these out when it connects or sends. By then a callee has
worked for nothing: its outcome cannot be published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiokafka.codec
import aiokafka.conn
from aiokafka.abc import AbstractTokenProvider

from completion_schemas import codecs
from completion_schemas.errors import EncodeError
from completion_schemas.v1.event_pb2 import CompletionEvent

if TYPE_CHECKING:
    from completion_workflow.kafka import Kafka

_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_WITH_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_MECHANISMS = (*_WITH_PASSWORD, "GSSAPI", "OAUTHBEARER")
_COMPRESSIONS = {
    "gzip": aiokafka.codec.has_gzip,
    "snappy": aiokafka.codec.has_snappy,
    "lz4": aiokafka.codec.has_lz4,
    "zstd": aiokafka.codec.has_zstd,
}


def check(kafka: Kafka) -> None:
    """Return if events can be sent with these settings, as far as can be known without a broker.

    Raises:
        ValueError: a setting is wrong; the text says which, and the fix.
    """
    if not kafka.bootstrap_servers:
        raise ValueError("bootstrap_servers is empty: give HOST:PORT of a Kafka broker")
    if not kafka.topic:
        raise ValueError("topic is empty: leave it out for `completions`")
    if kafka.max_request_size < 1:
        raise ValueError(f"max_request_size is {kafka.max_request_size}: give bytes, at least 1")
    _check_content_type(kafka.content_type)
    _check_compression(kafka.compression_type)
    if kafka.security_protocol not in _PROTOCOLS:
        raise ValueError(
            f"security_protocol is {kafka.security_protocol!r}: choose {', '.join(_PROTOCOLS)}"
        )
    if kafka.security_protocol in ("SSL", "SASL_SSL") and kafka.ssl_context is None:
        raise ValueError(
            f"security_protocol {kafka.security_protocol} needs ssl_context: "
            "ssl.create_default_context()"
        )
    _check_sasl(kafka)


def _check_content_type(content_type: str) -> None:
    try:
        codecs.encode(content_type, CompletionEvent())
    except EncodeError as error:
        raise ValueError(
            f"content_type is {content_type!r}, in which no event can be written: "
            f"choose {codecs.PROTOBUF}, {codecs.JSON} or {codecs.AVRO}"
        ) from error


def _check_compression(compression: str | None) -> None:
    if compression is None:
        return
    if compression not in _COMPRESSIONS:
        raise ValueError(
            f"compression_type is {compression!r}: choose {', '.join(_COMPRESSIONS)}, or leave it out"
        )
    if not _COMPRESSIONS[compression]():
        raise ValueError(
            f"compression_type {compression} needs the package cramjam, which is not installed: "
            "pip install 'aiokafka[lz4,snappy,zstd]'"
        )


def _check_sasl(kafka: Kafka) -> None:
    mechanism = kafka.sasl_mechanism
    if mechanism not in _MECHANISMS:
        raise ValueError(f"sasl_mechanism is {mechanism!r}: choose {', '.join(_MECHANISMS)}")
    if not kafka.security_protocol.startswith("SASL_"):
        if mechanism != "PLAIN":
            # aiokafka would connect without it (0.14.0).
            raise ValueError(
                f"sasl_mechanism {mechanism} is not used with security_protocol "
                f"{kafka.security_protocol}: choose SASL_SSL or SASL_PLAINTEXT"
            )
        return
    if mechanism in _WITH_PASSWORD:
        for name in ("sasl_plain_username", "sasl_plain_password"):
            if not getattr(kafka, name):
                raise ValueError(
                    f"{name} is not given, and sasl_mechanism {mechanism} with security_protocol "
                    f"{kafka.security_protocol} needs it: give sasl_plain_username and "
                    "sasl_plain_password"
                )
    elif mechanism == "OAUTHBEARER":
        if not isinstance(kafka.sasl_oauth_token_provider, AbstractTokenProvider):
            raise ValueError(
                "sasl_oauth_token_provider is not a token provider, and sasl_mechanism OAUTHBEARER "
                "needs one: give an instance of a subclass of aiokafka.abc.AbstractTokenProvider"
            )
    elif aiokafka.conn.gssapi is None:
        raise ValueError(
            "sasl_mechanism GSSAPI needs the package gssapi, which is not installed: "
            "pip install gssapi"
        )
