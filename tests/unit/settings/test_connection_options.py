"""The settings as connection options of aiokafka and Temporal."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from pydantic import SecretStr

from completion_relay.connections import (
    TemporalConnection,
    first_namespace,
    kafka_options,
    temporal_connections,
)
from completion_relay.load import ConfigurationError
from completion_relay.settings import ClusterSettings, KafkaSettings, TemporalSettings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("TEMPORAL_"):
            monkeypatch.delenv(name)
    # Nobody's own profile file, either.
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


def test_several_bootstrap_servers_are_a_list() -> None:
    options = kafka_options(KafkaSettings(bootstrap_servers="a:1, b:2"))
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert options["security_protocol"] == "PLAINTEXT"
    assert "ssl_context" not in options


def test_sasl_over_tls_has_credentials_and_a_context() -> None:
    options = kafka_options(
        KafkaSettings(
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="u",
            sasl_password=SecretStr("p"),
        )
    )
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("u", "p")
    assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_certificate_that_cannot_be_read_names_the_settings(
    content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"setting kafka\.ssl_\*: .*readable PEM files"):
        kafka_options(KafkaSettings(security_protocol="SSL", ssl_cafile=str(file)))


def test_temporal_is_local_where_nothing_says_otherwise() -> None:
    connection = TemporalConnection(TemporalSettings())
    assert connection.address == "localhost:7233"
    assert connection.namespaces == ("default",)


def test_temporals_own_variables_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal:7233")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "orders")
    connection = TemporalConnection(TemporalSettings())
    assert (connection.address, connection.namespaces) == ("temporal:7233", ("orders",))


def test_the_relays_settings_win_over_temporals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal:7233")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "orders")
    connection = TemporalConnection(TemporalSettings(address="other:1", namespaces=("a", "b")))
    assert (connection.address, connection.namespaces) == ("other:1", ("a", "b"))


def test_a_profile_of_temporals_file_is_used(tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.prod]\naddress = "prod:7233"\nnamespace = "orders"\n')
    connection = TemporalConnection(TemporalSettings(config_file=str(file), profile="prod"))
    assert (connection.address, connection.namespaces) == ("prod:7233", ("orders",))


@pytest.mark.parametrize(
    ("content", "profile"), [("[profile", None), ('[profile.a]\naddress = "a:1"\n', "b")]
)
def test_a_profile_that_cannot_be_read_names_the_settings(
    content: str, profile: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"Temporal's profile: .*temporal\.config_file"):
        TemporalConnection(TemporalSettings(config_file=str(file), profile=profile))


def test_the_line_of_a_profile_that_cannot_be_read_is_not_repeated(tmp_path: Path) -> None:
    """An API key may be in it."""
    file = tmp_path / "temporal.toml"
    file.write_text("[profile.default]\napi_key = hunter2\n")
    with pytest.raises(ConfigurationError, match="line 2, column") as refused:
        TemporalConnection(TemporalSettings(config_file=str(file)))
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_temporal_configuration_file_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    by_variable: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The SDK takes it for an empty one: no TLS, no key, another namespace."""
    if by_variable:
        monkeypatch.setenv("TEMPORAL_CONFIG_FILE", "no-such-file.toml")
    settings = TemporalSettings(config_file=None if by_variable else "no-such-file.toml")
    with pytest.raises(ConfigurationError, match=r"no-such-file\.toml: no such file"):
        TemporalConnection(settings)


def test_a_certificate_file_that_is_not_there_names_temporals_own_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEMPORAL_TLS_CLIENT_CERT_PATH", "/nonexistent/cert.pem")
    monkeypatch.setenv("TEMPORAL_TLS_CLIENT_KEY_PATH", "/nonexistent/key.pem")
    with pytest.raises(ConfigurationError, match="TEMPORAL_TLS_"):
        TemporalConnection(TemporalSettings())


PROFILES = """
[profile.default]
address = "default:7233"
namespace = "orders"
api_key = "the default one's"
[profile.west]
address = "west:7233"
namespace = "stock"
[profile.nowhere]
namespace = "stock"
[profile.open]
address = "open:7233"
"""


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    file = tmp_path / "profiles.toml"
    file.write_text(PROFILES)
    return file


def test_a_further_cluster_has_its_own_profile_of_the_same_file(profiles: Path) -> None:
    default, west = temporal_connections(
        TemporalSettings(
            config_file=str(profiles), clusters=(ClusterSettings(name="west", profile="west"),)
        )
    )
    assert (default.name, default.address, default.namespaces) == ("", "default:7233", ("orders",))
    assert (west.name, west.address, west.namespaces) == ("west", "west:7233", ("stock",))


def test_a_further_cluster_may_have_its_own_file_and_the_file_be_named_by_temporals_variable(
    monkeypatch: pytest.MonkeyPatch, profiles: Path
) -> None:
    own = ClusterSettings(name="west", config_file=str(profiles))
    assert TemporalConnection(TemporalSettings(), own).address == "default:7233"
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(profiles))
    by_variable = ClusterSettings(name="west", profile="west")
    assert TemporalConnection(TemporalSettings(), by_variable).address == "west:7233"


@pytest.mark.parametrize(
    "cluster",
    [
        ClusterSettings(name="west", profile="west"),
        ClusterSettings(name="west", address="west:7233", namespaces=("stock",)),
    ],
)
async def test_the_default_clusters_key_and_variables_are_not_for_another(
    monkeypatch: pytest.MonkeyPatch, profiles: Path, cluster: ClusterSettings
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "elsewhere:1")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "elsewhere")
    monkeypatch.setenv("TEMPORAL_API_KEY", "a key")
    west = TemporalConnection(TemporalSettings(config_file=str(profiles)), cluster)
    assert (west.address, west.namespaces) == ("west:7233", ("stock",))
    client = await west.client(lazy=True)
    assert client.service_client.config.api_key is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"profile": "north"}, "Temporal's profile: .*'north' not found: see its profile"),
        ({"profile": "nowhere"}, "its profile has no address: .* or set its address"),
        ({"profile": "open"}, "serves no namespace: set its namespaces"),
        ({"address": "open:7233"}, "serves no namespace: set its namespaces"),
        (
            {"config_file": "no-such-file.toml"},
            r"Temporal's configuration file no-such-file\.toml: no such file: see its",
        ),
    ],
)
def test_a_further_cluster_that_cannot_be_reached_or_serves_nothing_is_refused_by_name(
    profiles: Path, more: dict[str, str], said: str
) -> None:
    cluster = ClusterSettings(name="north", **more)
    with pytest.raises(ConfigurationError, match=rf"^\[\[temporal\.clusters\]\] north: {said}"):
        TemporalConnection(TemporalSettings(config_file=str(profiles)), cluster)


def test_the_first_namespace_is_that_of_the_cluster_that_is_named(profiles: Path) -> None:
    west = ClusterSettings(name="west", profile="west")
    temporal = TemporalSettings(config_file=str(profiles), cluster="eu", clusters=(west,))
    found = [first_namespace(temporal, cluster) for cluster in ("", "eu", "west")]
    assert found == ["orders", "orders", "stock"]
    with pytest.raises(ConfigurationError, match="cluster 'east' is not in these settings"):
        first_namespace(temporal, "east")
