"""Kafka's settings are refused when they are given, not when a result is lost."""

import ssl
from typing import Any

import pytest
from aiokafka.abc import AbstractTokenProvider

from completion_workflow import Kafka

_SASL = {"security_protocol": "SASL_PLAINTEXT"}
_USER = {"sasl_plain_username": "u", "sasl_plain_password": "p"}


class _Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    async def token(self) -> str:
        return "token"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"bootstrap_servers": ""}, "bootstrap_servers is empty"),
        ({"bootstrap_servers": []}, "bootstrap_servers is empty"),
        ({"topic": ""}, "topic is empty"),
        ({"max_request_size": 0}, "max_request_size is 0"),
        ({"security_protocol": "TLS"}, "security_protocol is 'TLS': choose PLAINTEXT, SSL"),
        ({"security_protocol": "SSL"}, "SSL needs ssl_context"),
        ({"security_protocol": "SASL_SSL"}, "SASL_SSL needs ssl_context"),
        (
            {"content_type": "application/jsn"},
            "content_type is 'application/jsn'.*: choose application/protobuf, application/json or",
        ),
        ({"content_type": ""}, "content_type is ''"),
        (
            {"content_type": "application/cloudevents+json"},
            "content_type is 'application/cloudevents",
        ),
        ({"compression_type": "lz5"}, "compression_type is 'lz5': choose gzip, snappy, lz4, zstd"),
        ({"compression_type": ""}, "compression_type is '': choose"),
        ({"sasl_mechanism": "PLAINN"}, "sasl_mechanism is 'PLAINN': choose PLAIN, SCRAM-SHA-256"),
        (
            {"sasl_mechanism": "SCRAM-SHA-512"},
            "SCRAM-SHA-512 is not used with security_protocol PLAINTEXT: choose SASL_SSL",
        ),
        (
            _SASL | {"sasl_mechanism": "OAUTHBEARER"},
            "sasl_oauth_token_provider is not a token provider.*AbstractTokenProvider",
        ),
        (
            _SASL | {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": "a token"},
            "sasl_oauth_token_provider is not a token provider",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name(settings: dict[str, Any], text: str) -> None:
    """The text has the name, the problem and the fix."""
    with pytest.raises(ValueError, match=text):
        Kafka(**({"bootstrap_servers": "localhost:9092"} | settings))


def test_tls_with_a_context_is_taken() -> None:
    """The ordinary way to connect outside a laptop."""
    context = ssl.create_default_context()
    kafka = Kafka(bootstrap_servers="k:9093", security_protocol="SSL", ssl_context=context)
    assert kafka.ssl_context is context


def test_a_password_is_not_shown() -> None:
    """Settings end up in logs."""
    assert "hunter2" not in repr(Kafka(bootstrap_servers="k:9092", sasl_plain_password="hunter2"))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("missing", ["sasl_plain_username", "sasl_plain_password"])
def test_sasl_without_half_of_the_credentials_is_refused(mechanism: str, missing: str) -> None:
    """The text names the half that is missing, and shows none of the other."""
    given: dict[str, Any] = {**_SASL, **_USER, "sasl_mechanism": mechanism, missing: None}
    with pytest.raises(ValueError, match=f"{missing} is not given.*sasl_mechanism {mechanism} "):
        Kafka(bootstrap_servers="k:9092", **given)


@pytest.mark.parametrize(
    "settings",
    [
        _SASL | _USER,
        _SASL | _USER | {"sasl_mechanism": "SCRAM-SHA-256"},
        _SASL | _USER | {"sasl_mechanism": "SCRAM-SHA-512"},
        _SASL | {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": _Tokens()},
        {"compression_type": "gzip"},
        {"compression_type": "snappy"},
        {"compression_type": "lz4"},
        {"compression_type": "zstd"},
        {"content_type": "application/protobuf"},
        {"content_type": "application/json"},
        {"content_type": "Application/JSON; charset=utf-8"},
        {"content_type": "avro/binary"},
    ],
)
def test_what_can_be_sent_with_is_taken(settings: dict[str, Any]) -> None:
    """Every mechanism, compression and encoding that the documentation names."""
    kafka = Kafka(bootstrap_servers="k:9092", **settings)
    assert {name: getattr(kafka, name) for name in settings} == settings


@pytest.mark.parametrize("compression", ["snappy", "lz4", "zstd"])
def test_a_compression_without_its_library_is_refused(
    compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker installs no compression library unless it is asked to."""
    monkeypatch.setattr("aiokafka.codec.cramjam", None)
    fix = r"pip install 'aiokafka\[lz4,snappy,zstd\]'"
    with pytest.raises(ValueError, match=f"compression_type {compression} needs .*cramjam.*{fix}"):
        Kafka(bootstrap_servers="k:9092", compression_type=compression)


def test_kerberos_without_its_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise aiokafka fails an assertion at each connection."""
    monkeypatch.setattr("aiokafka.conn.gssapi", None)
    settings: dict[str, Any] = {**_SASL, "sasl_mechanism": "GSSAPI"}
    with pytest.raises(ValueError, match=r"GSSAPI needs the package gssapi.*pip install gssapi"):
        Kafka(bootstrap_servers="k:9092", **settings)


def test_kerberos_with_its_library_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs neither password nor token provider."""
    monkeypatch.setattr("aiokafka.conn.gssapi", object())
    settings: dict[str, Any] = {**_SASL, "sasl_mechanism": "GSSAPI"}
    assert Kafka(bootstrap_servers="k:9092", **settings).sasl_mechanism == "GSSAPI"
