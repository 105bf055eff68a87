"""Room `cli`: the `run` command. Touches nothing; the work is `service`'s, or `processes`'."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
from collections.abc import Callable
from typing import Annotated, Final

import typer

from completion_relay.cli.boundary import NO
from completion_relay.cli.options import (
    ConfigOption,
    JsonOption,
    KafkaOption,
    TemporalOption,
)
from completion_relay.cli.output import print_json, print_line
from completion_relay.event_loop import run_relay
from completion_relay.load import ConfigurationError, load_settings
from completion_relay.observe import configure_logging
from completion_relay.processes.supervisor import Supervisor
from completion_relay.service import Relay, Serving
from completion_relay.settings import Settings
from completion_relay.stop import stop_on_signals

_AUTO: Final = "auto"
_MOST_PROCESSES: Final = 64
"""Beyond it a mistyped number takes the machine's memory, some 100 MB a process."""


def run(
    *,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    temporal: TemporalOption = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A namespace to serve; repeatable, the first is for events that name none "
            "(setting temporal.namespaces).",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Kafka's consumer group, the same for all replicas (setting kafka.group_id).",
            show_default=False,
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where /healthz, /readyz, /metrics and /status are; port 0 takes a free one "
            "(setting http.address).",
            show_default=False,
        ),
    ] = None,
    processes: Annotated[
        str,
        typer.Option(
            metavar="N",
            help=f"How many processes to run on this machine, 1 to {_MOST_PROCESSES}, or "
            f"{_AUTO}: one a core. More than the topic has partitions stand idle.",
        ),
    ] = "1",
    as_json: JsonOption = False,
) -> None:
    """Run the relay: read completion events and decide the activities they name.

    Start as many as you like with the same group; Kafka shares the partitions out. Once events
    are being decided it prints one line with what it serves; logs go to standard error. While
    Kafka or Temporal is away it waits, and `/readyz` says for what.

    SIGTERM or Ctrl-C: decides what is under way, commits, leaves the group and exits 0. A second
    one stops at once; what was under way is delivered again.

    One process uses one core. `--processes N` runs N of them as one: one ready line, one address
    for the pages, restarted when one dies, stopped together.

    Example: `completion-relay run --kafka kafka:9092 --temporal temporal:7233 --namespace orders`
    """
    count = process_count(processes)
    settings = load_settings(
        config,
        {
            "kafka": {"bootstrap_servers": kafka, "group_id": group},
            "temporal": {
                "address": temporal,
                "namespaces": tuple(namespace) if namespace else None,
            },
            "http": {"address": http},
        },
    )
    configure_logging(settings.log)

    def ready(serving: Serving) -> None:
        if as_json:
            several = {"processes": count} if count > 1 else {}
            print_json(dataclasses.asdict(serving) | several)
        else:
            several_of = f"{count} processes " if count > 1 else ""
            print_line(f"completion-relay: {several_of}{serving}")

    if count == 1:
        run_relay(serve_until_signal(settings, ready))
    elif not asyncio.run(_supervise_until_signal(settings, count, ready)):
        raise typer.Exit(NO)


def process_count(text: str) -> int:
    """Return how many processes `--processes` asks for.

    Raises:
        ConfigurationError: it is neither a number in the bounds nor `auto`.
    """
    if text == _AUTO:
        return min(_cores(), _MOST_PROCESSES)
    if re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= _MOST_PROCESSES:
        return int(text)
    raise ConfigurationError(
        f"--processes {text}: should be 1 to {_MOST_PROCESSES}, or {_AUTO}: give at most one a "
        "core and one a partition of the topic"
    )


async def serve_until_signal(settings: Settings, on_ready: Callable[[Serving], None]) -> None:
    """Run a relay until SIGTERM or SIGINT; a second one ends the process at once.

    Raises:
        ConfigurationError: a setting, the HTTP address or a topic is wrong.
    """
    await Relay(settings).run(stop_on_signals(), on_ready=on_ready)


async def _supervise_until_signal(
    settings: Settings, processes: int, on_ready: Callable[[Serving], None]
) -> bool:
    supervisor = Supervisor(settings, processes)
    return await supervisor.run(stop_on_signals(supervisor.kill), on_ready=on_ready)


def _cores() -> int:
    # On Linux those that this process may use (taskset, a container's cpuset), not the machine's.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
