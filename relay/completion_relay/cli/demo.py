"""Room `cli`: the `demo` command. Touches a data folder and signals; the rest is the room `demo`'s."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from completion_relay.cli.boundary import NO
from completion_relay.cli.here import program
from completion_relay.cli.options import ConfigOption, JsonOption, PortOption
from completion_relay.cli.output import (
    console,
    print_json,
    print_line,
    print_note,
    print_table,
)
from completion_relay.demo.board import Board
from completion_relay.demo.judge import Line, taken_over
from completion_relay.demo.play import PROVED, Result, play
from completion_relay.demo.screen import shown
from completion_relay.demo.script import SLOTS
from completion_relay.embedded import EmbeddedStack
from completion_schemas.audit import audit_to_json_dict

_HEADINGS: Final = (
    "",
    "agent",
    "what happens",
    "its workflow",
    "the caller got",
    "audit trail",
    "by",
)


def demo(
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the servers keep their data and everybody's logs; without it a temporary "
            "folder that is removed in the end.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Leave Temporal, its UI and Kafka up in the end, until Ctrl-C."
        ),
    ] = False,
    kafka_port: PortOption = None,
    temporal_port: PortOption = None,
    ui_port: PortOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the whole loop on this machine, on a real Temporal server and a Kafka broker.

    A caller workflow hands each of 24 agents its activity's task token and is suspended. The
    agents succeed, fail and are canceled; one event is sent twice, one agent has no callback, and
    one of two relays is killed half-way. In the end each execution is a line: what the agent did,
    what its caller got, what the audit trail says.

    The embedded broker keeps a killed relay's place in the group for good; where Kafka would end its
    session after `session.timeout.ms`, the demo does so in its stead, and says it.

    Exits 0 only if every line is as it should be, 1 if one is not. It takes about 20 seconds, needs
    no Docker and no network, and leaves nothing running, also when it is interrupted.

    For example:

        completion-relay demo

        completion-relay demo --keep --ui-port 8233
    """
    # A client takes Temporal's own variables over what it is told, an API key among them.
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        del os.environ[name]
    folder = data or Path(tempfile.mkdtemp(prefix="completion-relay-demo-"))
    again = f"{program()} up --data {data}" if data else f"{program()} demo --keep"
    code: int | None = None
    try:
        stack = EmbeddedStack(
            folder, kafka_port=kafka_port, temporal_port=temporal_port, ui_port=ui_port
        )
        code = asyncio.run(
            _until_told(_demo(stack, config, keep=keep, again=again, as_json=as_json))
        )
    finally:
        if data is None and code not in {None, NO}:
            shutil.rmtree(folder, ignore_errors=True)
        elif data is None:
            print_note(f"What the servers, relays and the worker logged is in {folder}/logs")
    raise typer.Exit(code)


async def _demo(
    stack: EmbeddedStack, config: Path | None, *, keep: bool, again: str, as_json: bool
) -> int:
    board = Board()
    async with stack:
        out = console(stderr=as_json)
        out.print(f"Temporal UI  {stack.ui}  (while this runs)\n", soft_wrap=True)
        with shown(board, out) if not as_json else contextlib.nullcontext():
            result = await play(stack, board, config)
        if as_json:
            _print_json(stack, board, result)
        else:
            _print_result(board, result)
        if keep:
            print_note(
                f"Temporal UI {stack.ui}/namespaces/default/workflows/{result.caller_id}, Temporal "
                f"{stack.temporal} and Kafka {stack.kafka} are up until Ctrl-C"
            )
            with contextlib.suppress(asyncio.CancelledError):
                await stack.ended()
        else:
            print_note(
                f"The Temporal UI {stack.ui} ends with the demo: see the workflows there with "
                f"{again}"
            )
    return 0 if result.is_right else NO


async def _until_told(work: Coroutine[Any, Any, int]) -> int:
    """Return the code of `work`, or that of the signal that ended it; a second signal does not wait."""
    task = asyncio.ensure_future(work)
    told: list[int] = []

    def on_signal(number: int) -> None:
        if told:
            os._exit(128 + number)  # the guards end the servers
        told.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    try:
        code = await task
    except asyncio.CancelledError:
        if not told:
            raise
    # A library may have kept the cancellation for itself, and the work gone on to its end.
    return 128 + told[0] if told else code


def _print_result(board: Board, result: Result) -> None:
    print_line()
    print_table(_HEADINGS, [_row(line) for line in result.lines])
    for line in result.lines:
        for problem in line.problems:
            print_line(f"✗ {line.part.name}: {problem}")
    for check in result.checks:
        print_line(_mark(check.is_right).append(f" {check.text}", style="none"))
    print_line()
    right = sum(line.is_right for line in result.lines)
    print_line(
        f"{right} of {len(result.lines)} executions are as they should be, in "
        f"{board.seconds:.0f} s."
    )
    if result.is_right:
        print_line(Text.assemble(("Proved: ", "bold green"), PROVED))


def _row(line: Line) -> tuple[str | Text, ...]:
    # Two relays for one record: the first was killed before it could commit.
    by = dict.fromkeys(record.relay_id for record in line.seen.trail)
    return (
        _mark(line.is_right),
        line.part.name,
        line.part.ending,
        line.seen.agent.lower(),
        _got(line),
        ", ".join(record.disposition for record in line.decisions) or "nothing",
        ", ".join(by),
    )


def _got(line: Line) -> str:
    got = line.seen.got
    if got is None:
        return "nothing" if line.part.expected.got else "(nobody waits)"
    return got.error_type or got.text or got.outcome


def _print_json(stack: EmbeddedStack, board: Board, result: Result) -> None:
    for line in result.lines:
        got = line.seen.got
        print_json(
            {
                "execution": line.part.name,
                "what_happens": line.part.ending,
                "agent": line.seen.agent,
                "caller": None if got is None else dataclasses.asdict(got),
                "audit": [audit_to_json_dict(record) for record in line.seen.trail],
                "ended_by": line.seen.ended_by,
                "is_right": line.is_right,
                "problems": line.problems,
            }
        )
    seen = result.circumstances
    print_json(
        {
            "summary": {
                "is_right": result.is_right,
                "executions": len(result.lines),
                "right": sum(line.is_right for line in result.lines),
                "checks": [dataclasses.asdict(check) for check in result.checks],
                "peak_waiting": seen.peak_waiting,
                "slots": SLOTS,
                "killed": seen.killed,
                "taken_over": len(taken_over(seen)),
                "seconds": round(board.seconds, 1),
                "caller_workflow_id": result.caller_id,
                "kafka": stack.kafka,
                "temporal": stack.temporal,
                "ui": stack.ui,
                "data": str(stack.data),
                "proved": PROVED if result.is_right else None,
            }
        }
    )


def _mark(is_right: bool) -> Text:  # noqa: FBT001 - the one thing it shows
    return Text("✓", "bold green") if is_right else Text("✗", "bold red")
