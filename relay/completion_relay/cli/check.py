"""Room `cli`: `completion-relay check`. Touches what `check_kafka`, `check_operator` and `check_temporal` touch."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from completion_relay.cli.boundary import NO
from completion_relay.cli.check_kafka import kafka_findings
from completion_relay.cli.check_operator import operator_findings
from completion_relay.cli.check_temporal import temporal_findings
from completion_relay.cli.findings import Finding, Status
from completion_relay.cli.options import (
    ConfigOption,
    JsonOption,
    KafkaOption,
    TemporalOption,
    settings_from,
)
from completion_relay.cli.output import print_json, print_line
from completion_relay.load import CONFIG_VARIABLE
from completion_relay.settings import Settings


def check(
    *,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    temporal: TemporalOption = None,
    operator: Annotated[
        bool,
        typer.Option(
            "--operator",
            help="Check which of the operators' commands this user may use, and not what a relay needs.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check that a relay with these settings can do its work: one line a check.

    It reads the settings, reaches Kafka and Temporal, compares the topics with what they should
    be, and tries whether it may read, write (in a transaction that it aborts), look at workflows
    and complete activities (of a workflow that does not exist). It changes nothing, and may run
    beside a relay at work.

    With `--operator` it says instead which of the commands of people this user may use: `status`,
    `audit`, `skip`, `park`, `replay`, `emit`. Kafka's rights alone decide that, and for what a replay
    would do Temporal's right to look. Run it as the user who types them.

    Marks: ✓ right · ! works, but may lose something on a bad day · ✗ does not work · - not tried.
    Exits 1 if anything does not work, 2 if the settings cannot be read at all.

    For example:

        completion-relay check --config relay.toml

        completion-relay check --kafka broker-1:9092 --temporal temporal:7233 --json

        completion-relay check --operator --config ann.toml
    """
    settings = settings_from(config, kafka=kafka, temporal=temporal)
    counted = asyncio.run(_check(settings, config, operator=operator, as_json=as_json))
    if not as_json:
        print_line()
        print_line(
            f"{counted[Status.OK]} right, {counted[Status.WARNING]} to consider, "
            f"{counted[Status.FAILED]} wrong"
        )
    if counted[Status.FAILED]:
        raise typer.Exit(NO)


async def _check(
    settings: Settings, config: Path | None, *, operator: bool, as_json: bool
) -> Counter[Status]:
    counted: Counter[Status] = Counter()

    def tell(finding: Finding) -> None:
        counted[finding.status] += 1
        if as_json:
            print_json(finding.as_json())
        else:
            print_line(finding.line())

    file = config or os.environ.get(CONFIG_VARIABLE)
    tell(Finding("settings", Status.OK, f"read from {file or 'the environment and defaults'}"))
    async for finding in operator_findings(settings) if operator else kafka_findings(settings):
        tell(finding)
    async for finding in temporal_findings(settings, completes=not operator):
        if operator and finding.status is Status.FAILED:
            # Only what a replay would do now, and what `audit show` adds, is asked of it.
            finding = replace(finding, status=Status.WARNING)  # noqa: PLW2901
        tell(finding)
    return counted
