"""Room `workflow`, samples: runs the callers' worker and the agents' worker until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys

from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import Worker

from completion_workflow import CompletionPlugin, Kafka
from completion_workflow.samples.agent import AGENTS, Agent, work
from completion_workflow.samples.caller import CALLERS, Caller, HandOff


def _slots(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of slots: give 1 or more")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m completion_workflow.samples", description=__doc__.partition(": ")[2]
    )
    parser.add_argument("--temporal", default="localhost:7233", metavar="HOST:PORT")
    parser.add_argument("--kafka", default="localhost:9092", metavar="HOST:PORT[,…]")
    parser.add_argument("--topic", default="completions", help="where completion events go")
    parser.add_argument(
        "--caller-slots", type=_slots, default=4, help="activity slots of the callers' worker"
    )
    parser.add_argument(
        "--metrics", metavar="IP:PORT", help="where to serve the SDK's Prometheus metrics"
    )
    return parser.parse_args()


def _refuse(problem: str) -> int:
    sys.stderr.write(f"error: {problem}\n")
    return 2


async def _run(given: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        plugin = CompletionPlugin(Kafka(bootstrap_servers=given.kafka, topic=given.topic))
    except ValueError as error:
        return _refuse(f"{error}: see --kafka and --topic")
    runtime = None
    if given.metrics:
        try:
            runtime = Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(given.metrics)))
        except ValueError as error:
            return _refuse(
                f"--metrics {given.metrics} cannot be served: {error}: give a free IP:PORT, "
                "such as 127.0.0.1:0"
            )
    try:
        client = await Client.connect(given.temporal, runtime=runtime)
    except ValueError as error:
        return _refuse(f"--temporal {given.temporal} is no address: {error}: give HOST:PORT")
    except RuntimeError:
        return _refuse(f"Temporal at {given.temporal} cannot be reached: see --temporal")
    callers = Worker(
        client,
        task_queue=CALLERS,
        workflows=[Caller],
        activities=[HandOff(client).run_agent],
        # Few are enough: a waiting activity holds none.
        max_concurrent_activities=given.caller_slots,
    )
    agents = Worker(
        client,
        task_queue=AGENTS,
        workflows=[Agent],
        activities=[work],
        plugins=[plugin],
    )
    async with callers, agents:
        print(f"samples: polling {CALLERS} and {AGENTS} on {given.temporal}", flush=True)  # noqa: T201 - the start-up line
        await stop.wait()
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    code = asyncio.run(_run(_arguments()))
    logging.shutdown()
    sys.stdout.flush()
    # Threads of Temporal's client outlive the interpreter and now and then abort a process
    # that had done its work (temporalio/sdk-python#300).
    os._exit(code)
