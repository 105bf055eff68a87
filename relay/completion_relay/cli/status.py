"""Room `cli`: `completion-relay status`. Touches the room `status`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from completion_relay.cli.boundary import NO
from completion_relay.cli.options import ConfigOption, JsonOption, KafkaOption
from completion_relay.cli.output import print_json
from completion_relay.cli.reach import REQUEST_TIMEOUT_MS, reaching_kafka
from completion_relay.cli.status_report import as_object, print_report
from completion_relay.connections import kafka_options
from completion_relay.load import load_settings
from completion_relay.status.overview import overview


def status(
    *,
    show_all: Annotated[
        bool,
        typer.Option("--all", help="Also show the partitions and namespaces that are well."),
    ] = False,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Kafka's consumer group of the relay (setting kafka.group_id).",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the relay is: its replicas, its lag, what is stuck, halted or parked.

    The first line says whether all is well. How far each partition is decided comes from Kafka, with
    no relay running as well; it finds the replicas in the consumer group, and asks each for its page
    `/status`. One that cannot be asked from here is listed, with the reason. It needs the right to
    describe the group and to read the two topics, writes nothing and joins no group.

    Exits 0 if all is well, 1 if something needs a person (no relay runs, a partition that nobody has,
    a replica that is not ready or does not answer, an event that is stuck), 2 if Kafka cannot be
    reached. What an event waits for: `completion-relay audit show EVENT_ID`.

    For example:

        completion-relay status --kafka kafka:9092

        completion-relay status --json | jq '.troubles'
    """
    settings = load_settings(config, {"kafka": {"bootstrap_servers": kafka, "group_id": group}})
    options = kafka_options(settings.kafka) | {"request_timeout_ms": REQUEST_TIMEOUT_MS}
    with reaching_kafka(settings.kafka):
        found = asyncio.run(overview(settings, options))
    if as_json:
        print_json(as_object(found))
    else:
        print_report(found, show_all=show_all)
    if found.troubles():
        raise typer.Exit(NO)
