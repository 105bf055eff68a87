"""Room `cli`: the options that commands share, and the settings they amount to. Touches nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from completion_relay.load import load_settings
from completion_relay.settings import AuditSettings, Settings

NO_DATABASE = "none"
"""In place of a database: the topic, whatever the settings say."""

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file with the settings; without it COMPLETION_RELAY_CONFIG names one.",
        show_default=False,
    ),
]
KafkaOption = Annotated[
    str | None,
    typer.Option(
        "--kafka",
        metavar="HOST:PORT[,…]",
        help="Kafka's bootstrap servers (setting kafka.bootstrap_servers).",
        show_default=False,
    ),
]
TemporalOption = Annotated[
    str | None,
    typer.Option(
        "--temporal",
        metavar="HOST:PORT",
        help="Temporal's frontend (setting temporal.address, or TEMPORAL_ADDRESS).",
        show_default=False,
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="FILE|postgresql://…",
        help=f"The index to ask (setting audit.database); `{NO_DATABASE}` asks the topic.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line, for programs.")
]
PortOption = Annotated[
    int | None,
    typer.Option(
        metavar="PORT", min=1, max=65_535, help="Default: a free one.", show_default=False
    ),
]


def settings_from(
    config: Path | None,
    *,
    kafka: str | None = None,
    temporal: str | None = None,
    database: str | None = None,
) -> Settings:
    """Return the settings with the command line's own on top.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    settings = load_settings(
        config,
        {
            "kafka": {"bootstrap_servers": kafka},
            "temporal": {"address": temporal},
            "audit": {"database": database},
        },
    )
    if database == NO_DATABASE:
        return settings.model_copy(update={"audit": AuditSettings()})
    return settings
