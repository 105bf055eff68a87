"""The settings: where they come from, and that whatever is wrong is named with problem and fix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from completion_relay.load import (
    CONFIG_VARIABLE,
    PREFIX,
    ConfigurationError,
    load_settings,
    setting_names,
)
from completion_relay.settings import Settings

NAMES = sorted(setting_names())

# One value for each setting that cannot be right, as a file has it.
WRONG: dict[str, str] = {
    "kafka.bootstrap_servers": '"localhost"',
    "kafka.group_id": '""',
    "kafka.client_id": '""',
    "kafka.security_protocol": '"TLS"',
    "kafka.sasl_mechanism": '"GSSAPI"',
    "kafka.sasl_username": "1",
    "kafka.sasl_password": "1",
    "kafka.ssl_cafile": "1",
    "kafka.ssl_certfile": "1",
    "kafka.ssl_keyfile": "1",
    "kafka.empty_fetch_pause_ms": "-1",
    "kafka.session_timeout_ms": "0",
    "kafka.rebalance_timeout_ms": '"soon"',
    "topics.completions": '"a topic"',
    "topics.audit": '""',
    "topics.dead_letter": f'"{"x" * 250}"',
    "topics.parked": '".."',
    "topics.signals": '"ü"',
    "temporal.address": '"localhost:99999"',
    "temporal.profile": '""',
    "temporal.config_file": "1",
    "temporal.namespaces": '[""]',
    "temporal.ui_url": '"localhost:8233"',
    "temporal.cluster": "1",
    "temporal.rpc_timeout": "0",
    "temporal.clusters": '[{name = "west"}]',
    "relay.relay_id": '""',
    "relay.max_in_flight": "0",
    "relay.max_looks": "0",
    "relay.stuck_after": "0",
    "relay.window": "0",
    "relay.window_bytes": f"{4 * 1024 * 1024 - 1}",
    "relay.retry_initial": "-1",
    "relay.retry_maximum": "0",
    "relay.retry_budget": "0",
    "relay.park_after": "0",
    "relay.park_initial": "0",
    "relay.park_maximum": "0",
    "relay.rate_limits": "{ orders = 0 }",
    "relay.look_timeout": "0",
    "relay.early_timeout": "-1",
    "relay.allow_current_run": '"perhaps"',
    "relay.commit_interval": "0",
    "relay.drain_timeout": "-1",
    "relay.max_message_bytes": "1",
    "audit.database": '"mysql://db/relay"',
    "http.address": '"9464"',
    "log.level": '"LOUD"',
    "log.format": '"xml"',
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def written(folder: Path, text: str) -> Path:
    file = folder / "relay.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(*args: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_settings(*args)
    return str(refused.value)


def variable(name: str) -> str:
    return PREFIX + name.upper().replace(".", "__")


def test_without_anything_given_the_defaults_hold() -> None:
    assert load_settings() == Settings()


def test_there_is_a_wrong_value_for_every_setting() -> None:
    assert sorted(WRONG) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_wrong_setting_names_itself_and_where_to_set_it(name: str, tmp_path: Path) -> None:
    section, _, setting = name.partition(".")
    file = written(tmp_path, f"[{section}]\n{setting} = {WRONG[name]}\n")
    said = refusal(file)
    assert said.count("\n") == 0
    assert said.startswith(f"setting {name}")
    assert said.endswith(f": set it in {file} or as {variable(name)}")


def cluster(**more: str) -> dict[str, str]:
    return {"name": "west", "address": "west:7233"} | more


@pytest.mark.parametrize(
    ("clusters", "said"),
    [
        ([cluster(), cluster()], "two of clusters are named 'west'"),
        ([cluster(name="eu")], "cluster 'eu' is the default one and in clusters, too"),
        ([{"name": "west"}], "cluster west is nowhere"),
        ([cluster(name="west/orders")], "setting temporal.clusters.0.name = 'west/orders'"),
        ([cluster(name="")], "should have 1 to 64 letters"),
        ([cluster(address="west")], "setting temporal.clusters.0.address = 'west'"),
        ([cluster(adress="west:1")], "did you mean temporal.clusters.0.address?"),
        ([cluster(rpc_timeout="0")], "setting temporal.clusters.0.rpc_timeout"),
        ([cluster(ui_url="http://ui?namespace=a")], "neither a user nor anything after the path"),
        ([cluster(max_in_flight="0")], "setting temporal.clusters.0.max_in_flight"),
    ],
)
def test_a_wrong_cluster_names_the_setting_and_the_problem(
    clusters: list[dict[str, str]], said: str
) -> None:
    error = refusal(None, {"temporal": {"cluster": "eu", "clusters": clusters}})
    assert said in error
    assert "\n" not in error


def test_several_clusters_are_read_from_a_file(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        '[temporal]\nnamespaces = ["orders"]\n'
        '[[temporal.clusters]]\nname = "west"\nprofile = "west"\n'
        '[[temporal.clusters]]\nname = "east"\naddress = "east:1"\nnamespaces = ["a", "b"]\n',
    )
    west, east = load_settings(file).temporal.clusters
    assert (west.name, west.profile, west.namespaces) == ("west", "west", ())
    assert (east.name, east.address, east.namespaces) == ("east", "east:1", ("a", "b"))


def test_what_is_wrong_on_the_command_line_is_said_to_be_there() -> None:
    said = refusal(None, {"kafka": {"bootstrap_servers": "nowhere"}})
    assert said == (
        "setting kafka.bootstrap_servers = 'nowhere': should be HOST:PORT with a port "
        "of 0 to 65535: it was given on the command line"
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_documents_itself(name: str) -> None:
    section, _, setting = name.partition(".")
    model: Any = Settings.model_fields[section].annotation
    assert model.model_fields[setting].description


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_setting_is_refused_with_the_right_one(name: str, tmp_path: Path) -> None:
    section, _, setting = name.partition(".")
    said = refusal(written(tmp_path, f"[{section}]\n{setting}x = 1\n"))
    assert f"unknown setting {name}x: did you mean {name}?" in said


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_variable_is_refused_with_the_right_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable(name) + "X", "1")
    assert f"did you mean {variable(name)}?" in refusal()


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, '[kafka]\ngroup_id = ""\n[log]\nlevel = "LOUD"\n')
    assert [line.split(" ")[1] for line in refusal(file).splitlines()] == [
        "kafka.group_id",
        "log.level",
    ]


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(
        tmp_path, '[kafka]\ngroup_id = "file"\nclient_id = "file"\nbootstrap_servers = "file:1"\n'
    )
    monkeypatch.setenv(variable("kafka.client_id"), "environment")
    monkeypatch.setenv(variable("kafka.bootstrap_servers"), "environment:1")
    kafka = load_settings(file, {"kafka": {"bootstrap_servers": "line:1"}}).kafka
    assert (kafka.group_id, kafka.client_id, kafka.bootstrap_servers) == (
        "file",
        "environment",
        "line:1",
    )


def test_what_the_command_line_leaves_out_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable("kafka.group_id"), "environment")
    assert load_settings(None, {"kafka": {"group_id": None}}).kafka.group_id == "environment"


def test_a_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(written(tmp_path, '[log]\nlevel = "DEBUG"\n')))
    assert load_settings().log.level == "DEBUG"


def test_a_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable("temporal.namespaces"), '["orders", "billing"]')
    assert load_settings().temporal.namespaces == ("orders", "billing")


def test_a_list_in_the_environment_that_is_no_json_is_refused_with_an_example(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable("temporal.namespaces"), "orders,billing")
    assert """COMPLETION_RELAY_TEMPORAL__NAMESPACES='["orders", "billing"]'""" in refusal()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[kafka\n", "is no TOML"),
        ("[kafak]\n", "unknown section [kafak]: did you mean kafka?"),
        ("kafka = 1\n", "kafka must be a section: write [kafka] on a line of its own"),
    ],
)
def test_a_file_that_is_not_right_is_named(text: str, said: str, tmp_path: Path) -> None:
    file = written(tmp_path, text)
    error = refusal(file)
    assert str(file) in error
    assert said in error


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_bytes(b'[kafka]\ngroup_id = "\xff"\n')
    assert "is no TOML" in refusal(file)


def test_a_password_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable("kafka.sasl_password"), "hunter2")
    monkeypatch.setenv(variable("kafka.security_protocol"), "SASL_SSL")
    said = refusal()
    assert "needs sasl_username and sasl_password" in said
    assert "hunter2" not in said
    assert "hunter2" not in repr(load_settings(None, {"kafka": {"sasl_username": "u"}}))


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({"kafka": {"ssl_certfile": "a.pem"}}, ("ssl_certfile", "ssl_keyfile")),
        ({"topics": {"audit": "completions"}}, ("five different topics",)),
        ({"relay": {"retry_initial": 50}}, ("retry_initial", "retry_maximum")),
        ({"relay": {"drain_timeout": 56}}, ("relay.drain_timeout", "kafka.rebalance_timeout_ms")),
    ],
)
def test_settings_that_contradict_each_other_are_both_named(
    overrides: dict[str, dict[str, Any]], names: tuple[str, ...]
) -> None:
    said = refusal(None, overrides)
    assert all(name in said for name in names)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Z"]), max_size=60))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_for_an_address_raises_anything_but_a_configuration_error(text: str) -> None:
    """What is taken has a host and a port in range; everything else is refused by name."""
    try:
        loaded = load_settings(None, {"http": {"address": text}})
    except ConfigurationError as error:
        assert str(error).startswith("setting http.address")  # noqa: PT017 - either way is right
    else:
        host, _, port = loaded.http.address.rpartition(":")
        assert host
        assert 0 <= int(port) <= 65_535


def test_a_wrong_database_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_settings(None, {"audit": {"database": "mysql://ann:s3cret@db/relay"}})
    assert "setting audit.database: is a URL of a database that there is no index for" in str(
        refused.value
    )
    assert "s3cret" not in str(refused.value)


def test_a_password_of_the_database_is_not_shown_with_the_settings() -> None:
    loaded = load_settings(None, {"audit": {"database": "postgresql://ann:s3cret@db/relay"}})
    assert "s3cret" not in repr(loaded)
