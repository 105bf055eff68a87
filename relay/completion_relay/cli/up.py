"""Room `cli`: the `up` command. Touches the embedded stack, and a relay in this process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from completion_relay.cli.here import program, python
from completion_relay.cli.options import ConfigOption, JsonOption, PortOption
from completion_relay.cli.output import print_fields, print_json, print_line
from completion_relay.cli.run import serve_until_signal
from completion_relay.embedded import EMPTY_FETCH_PAUSE_MS, EmbeddedStack
from completion_relay.embedded.process import HOST, free_port
from completion_relay.first_of import unless_ended
from completion_relay.load import load_settings
from completion_relay.observe import configure_logging
from completion_relay.service import Serving
from completion_relay.topic_admin import create_topics


def up(
    *,
    data: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where Temporal and Kafka keep their data between runs."),
    ] = Path(".completion-relay"),
    kafka_port: PortOption = None,
    temporal_port: PortOption = None,
    ui_port: PortOption = None,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where the relay's /healthz, /readyz, /metrics and /status are; default: a free port.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a real Temporal server, a Kafka broker and a relay on this machine until Ctrl-C.

    For development: nothing asks for a password, only this machine is served, and the broker
    writes to disk about a second after it acknowledged. The data stays in `--data` for the next
    run. Once events are being decided it prints the addresses of everything; the relay's logs go
    to standard error.

    Ctrl-C or SIGTERM: decides what is under way, commits, stops the servers and exits 0.

    For example:

        completion-relay up

        completion-relay up --data ~/relay-data --temporal-port 7233 --ui-port 8233 --kafka-port 9092
    """
    # A client takes Temporal's own variables over what it is told, an API key among them.
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        del os.environ[name]
    stack = EmbeddedStack(data, kafka_port=kafka_port, temporal_port=temporal_port, ui_port=ui_port)
    asyncio.run(_up(stack, config, http or f"{HOST}:{free_port()}", as_json=as_json))


async def _up(stack: EmbeddedStack, config: Path | None, http: str, *, as_json: bool) -> None:
    async with stack:
        settings = load_settings(
            config,
            {
                "kafka": {
                    "bootstrap_servers": stack.kafka,
                    "security_protocol": "PLAINTEXT",
                    "empty_fetch_pause_ms": EMPTY_FETCH_PAUSE_MS,
                },
                # The user's own profile may ask for TLS.
                "temporal": {
                    "address": stack.temporal,
                    "namespaces": ("default",),  # the development server has no other
                    "config_file": os.devnull,
                },
                "http": {"address": http},
            },
        )
        configure_logging(settings.log)
        await create_topics(settings)

        def ready(serving: Serving) -> None:
            addresses = {
                "temporal": stack.temporal,
                "temporal_ui": stack.ui,
                "kafka": stack.kafka,
                "topic": settings.topics.completions,
                # Not the setting: `--http HOST:0` takes a port that only the relay knows.
                "relay": f"http://{serving.http}/readyz",
                "data": str(stack.data),
            }
            if as_json:
                print_json(addresses)
            else:
                _print_addresses(addresses)

        await unless_ended(serve_until_signal(settings, ready), stack.ended())


def _print_addresses(addresses: dict[str, str]) -> None:
    temporal, kafka = addresses["temporal"], addresses["kafka"]
    print_fields((name.replace("_", " "), value) for name, value in addresses.items())
    print_line()
    print_line(
        "A worker that hands off and reports; its code is the package completion_workflow.samples:"
    )
    print_line(f"  {python()} -m completion_workflow.samples --temporal {temporal} --kafka {kafka}")
    print_line(
        "An activity that waits, completed by hand; workflow, run and activity as the UI shows them:"
    )
    print_line(
        f"  {program()} emit --kafka {kafka} --workflow-id … --run-id … "
        "--activity-id … --result '\"done\"'"
    )
    print_line("What became of it:")
    print_line(f"  {program()} audit list --kafka {kafka}")
    print_line()
    print_line("Ctrl-C stops everything and keeps the data.")
