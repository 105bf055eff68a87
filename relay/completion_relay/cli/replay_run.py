"""Room `cli`: a replay as the command does it: plan, say so, send, say so. Touches the room `replay`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import typer

from completion_relay.cli.audit.decisions import ask_index, checked
from completion_relay.cli.audit.reading import print_unreadable
from completion_relay.cli.boundary import NO
from completion_relay.cli.output import is_terminal, plural, print_note
from completion_relay.cli.progress import progress, scanning
from completion_relay.cli.reach import REQUEST_TIMEOUT_MS, reaching_kafka
from completion_relay.cli.replay_order import How
from completion_relay.cli.replay_report import (
    print_done,
    print_not_decided,
    print_plan,
    print_result,
    print_row,
)
from completion_relay.cli.token_file import InputError
from completion_relay.connections import kafka_options
from completion_relay.replay.checkpoint import ReplayError
from completion_relay.replay.file import Export
from completion_relay.replay.lookups import LookUps
from completion_relay.replay.plan import Plan, Treatment
from completion_relay.replay.planning import Row, make_plan
from completion_relay.replay.reading import Order, Reading
from completion_relay.replay.sending import Result, export, send
from completion_relay.settings import Settings


def run_replay(settings: Settings, order: Order, how: How) -> None:
    """Replay, and say what is planned and what was done.

    Raises:
        CompletionError: something is wrong; the message names it, the problem and the fix.
        typer.Exit: with 1, where nothing is selected, or not all was decided in time.
    """
    with reaching_kafka(settings.kafka):
        is_well = asyncio.run(_run(settings, order, how))
    if not is_well:
        raise typer.Exit(NO)


async def _run(settings: Settings, order: Order, how: How) -> bool:
    options = {**kafka_options(settings.kafka), "request_timeout_ms": REQUEST_TIMEOUT_MS}
    async with Reading.open(order, settings, options) as reading:
        if reading.is_done:
            print_done(reading, as_json=how.as_json)
            return True
        plan = await _plan(settings, reading, how)
        if reading.finished and not plan.has_news:
            print_done(reading, as_json=how.as_json)
            _tell_of_trail(settings, reading)
            return True
        print_plan(reading, plan, rate=how.rate, as_json=how.as_json)
        _tell_of_trail(settings, reading)
        if not plan.selected and not plan.sent_before:
            if not reading.not_decided:  # else it may be there
                print_note("Nothing that is on the topic or in the file is asked for.")
            return False
        _check_cap(plan, order, how)
        if how.to_file is not None:
            return await _export(reading, plan, how)
        if how.yes:
            return await _send(reading, plan, how)
        print_note(_not_done(plan, how))
        return True


def _tell_of_trail(settings: Settings, reading: Reading) -> None:
    """Say what may be missing in a plan, because the trail does not have it or it cannot be read there."""
    print_not_decided(reading, settings.topics.audit)
    print_unreadable(settings.topics.audit, reading.unreadable)


def _not_done(plan: Plan, how: How) -> str:
    if how.dry_run:
        return "Nothing was written: this is what each would do now."
    if not plan.to_send:
        return "Nothing was sent, and --yes would send nothing."
    return f"Nothing was sent: add --yes to send {plural(plan.to_send, 'event')}."


def _check_cap(plan: Plan, order: Order, how: How) -> None:
    # Once it is done nobody tells of them any more: whoever sends or keeps the others is to have them, too.
    over = plan.treatments[Treatment.OVER_CAP]
    writes = how.yes or how.to_file is not None
    if over and writes and how.parked_file is None:
        raise InputError(
            f"--parked-file is missing: {plural(over, 'event')} reached --max-replays "
            f"{order.max_replays} and would be left out, so nothing was sent or written: give a file for "
            "them, or a higher --max-replays (--dry-run names them)"
        )


async def _plan(settings: Settings, reading: Reading, how: How) -> Plan:
    looks = LookUps(settings, reading.order.changes)
    # Lines on the same terminal would go through the bar.
    is_shown = not (how.dry_run and is_terminal())

    def told(row: Row) -> None:
        if how.dry_run:
            print_row(row, as_json=how.as_json)

    # By their ids an index has some events' records at once; of all others the trail is read anyway.
    ids = sorted(reading.order.selection.event_ids)
    of_index = await checked(await ask_index(settings, event_ids=ids), reading.trail)
    with scanning("reading the audit trail") as told_how_far:
        await reading.prepare(told_how_far, known=of_index.records, known_until=of_index.after)
    bars = (
        ("planning", reading.length),
        ("looking at Temporal", min(reading.length, reading.order.look_ups)),
    )
    with progress(*bars, is_shown=is_shown) as (step, looked):
        plan = await make_plan(reading, looks, step=step, looked=looked, told=told)
    for problem in looks.away:
        print_note(f"Not looked at: {problem}, or leave it with --look-ups 0.")
    return plan


async def _export(reading: Reading, plan: Plan, how: How) -> bool:
    assert how.to_file is not None  # noqa: S101 - the caller has looked
    result = Result()
    with (
        Export.create("--to-file", how.to_file) as file,
        _parked(how) as parked,
        progress(("writing", plan.to_send)) as (step,),
    ):
        await export(reading, file, result, parked=parked, step=step)
    print_note(
        f"{plural(result.sent, 'event')} written to {how.to_file}, with their task tokens; nothing was "
        f"sent: `completion-relay replay --from-file {how.to_file}` does."
    )
    return True


async def _send(reading: Reading, plan: Plan, how: How) -> bool:
    result, became = Result(), None
    begin = await reading.trail.end()
    with _parked(how) as parked, progress(("sending", plan.to_send)) as (step,):
        try:
            await send(
                reading,
                result,
                rate=how.rate,
                parked=parked,
                is_followed=bool(how.wait),
                step=step,
            )
        except ReplayError:
            raise  # it cannot go on, and says why
        except BaseException:
            print_note(
                f"Replay {reading.order.name} was interrupted after {plural(result.sent, 'event')}: "
                "the same command goes on where it stopped."
            )
            raise
    if how.wait:
        with progress(("waiting for the relay", len(result.origins))) as (step,):
            became = dict(await reading.follow(begin, result.origins, within=how.wait, step=step))
    print_result(reading, result, became, as_json=how.as_json)
    return not result.origins


@contextlib.contextmanager
def _parked(how: How) -> Iterator[Export | None]:
    if how.parked_file is None:
        yield None
        return
    with Export.add_to("--parked-file", how.parked_file) as parked:
        yield parked
