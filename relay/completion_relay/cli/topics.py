"""Room `cli`: `completion-relay topics`. Touches the room `topics`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from completion_relay.cli.options import ConfigOption, JsonOption, KafkaOption, settings_from
from completion_relay.cli.output import plural, print_json, print_line, print_note, print_table
from completion_relay.cli.reach import REQUEST_TIMEOUT_MS, reaching_kafka
from completion_relay.connections import kafka_options
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicAdmin
from completion_relay.topics import (
    DEFAULT_PARTITIONS,
    REPLICATION,
    SAFE_REPLICATION,
    Difference,
    TopicSpec,
    TopicState,
    differences,
    partitions_apart,
    topic_specs,
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Create the topics that the relay works with.",
)


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of one topic."""

    action: str
    state: TopicState
    differences: Sequence[Difference]
    brokers: int


@app.command("create")
def create(
    *,
    partitions: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=10_000,
            help="Partitions of a new topic. They cap how many replicas of the relay share the "
            "work; raising them later moves activities to other partitions. Where one of the "
            "topics of the events and of the parked ones is there already, the other gets as many.",
        ),
    ] = DEFAULT_PARTITIONS,
    replication_factor: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=100,
            help="Copies of a new topic; 3 where the cluster has as many brokers.",
            show_default=False,
        ),
    ] = None,
    alter: Annotated[
        bool,
        typer.Option("--alter", help="Also mend the settings of topics that are there already."),
    ] = False,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create the five topics, with settings under which no acknowledged event is lost.

    Topics that are there already are left as they are, and what is wrong with them is said;
    `--alter` mends it. It never shortens a retention, lowers a limit or removes a topic, and
    may be run any number of times.

    For example:

        completion-relay topics create --kafka broker-1:9092,broker-2:9092

        completion-relay topics create --partitions 24 --alter --config relay.toml
    """
    settings = settings_from(config, kafka=kafka)
    with reaching_kafka(settings.kafka):
        done = asyncio.run(_create(settings, partitions, replication_factor, alter=alter))
    if as_json:
        for topic in done:
            print_json(_as_json(topic))
        return
    print_table(
        ("topic", "state", "partitions", "replicas", "retention", "largest record"),
        [
            (
                topic.state.name,
                topic.action,
                str(topic.state.partitions),
                str(topic.state.replication_factor),
                _days(topic.state.configs.get("retention.ms", "")),
                _mebibytes(topic.state.configs.get("max.message.bytes", "")),
            )
            for topic in done
        ],
    )
    _print_remarks(done)
    counts = {topic.state.name: topic.state.partitions for topic in done}
    if problem := partitions_apart(settings.topics, counts):
        print_line(f"! {problem}; a relay refuses to start until then.")


def _print_remarks(done: Sequence[_Done]) -> None:
    for topic in done:
        for difference in topic.differences:
            if difference.setting != REPLICATION:
                print_line(
                    f"! {topic.state.name}: {difference.setting} is {difference.actual}, should be "
                    f"{difference.wanted}: {difference.danger}"
                )
    left = {d.setting for topic in done for d in topic.differences}
    if left - {REPLICATION}:
        print_note("Run it again with --alter to mend these.")
    if REPLICATION in left:
        few = [t for t in done if t.state.replication_factor < SAFE_REPLICATION]
        print_line(
            f"! {len(few)} of {len(done)} topics have fewer than {SAFE_REPLICATION} replicas (the "
            f"cluster has {plural(done[0].brokers, 'broker')}): a lost broker may take "
            "acknowledged events with it. Good enough for development only."
        )


async def _create(
    settings: Settings, partitions: int, replication_factor: int | None, *, alter: bool
) -> list[_Done]:
    specs = topic_specs(settings)
    names = [spec.name for spec in specs]
    options = {**kafka_options(settings.kafka), "request_timeout_ms": REQUEST_TIMEOUT_MS}
    async with TopicAdmin.connected(options) as admin:
        _, brokers = await admin.cluster()
        before = await admin.states(names)
        missing = [spec for spec in specs if spec.name not in before]
        if missing:
            counts = _partitions(settings, missing, before, partitions)
            for count in sorted(set(counts.values())):
                await admin.create(
                    [spec for spec in missing if counts[spec.name] == count],
                    partitions=count,
                    replication_factor=replication_factor or min(SAFE_REPLICATION, brokers),
                )
        altered = await _alter(admin, specs, before) if alter else set()
        after = await admin.all_states(names)
    return [
        _Done(
            "created"
            if spec in missing
            else "altered"
            if spec.name in altered
            else "there already",
            after[spec.name],
            differences(spec, after[spec.name]),
            brokers,
        )
        for spec in specs
    ]


def _partitions(
    settings: Settings,
    missing: Sequence[TopicSpec],
    there: dict[str, TopicState],
    partitions: int,
) -> dict[str, int]:
    """Return how many partitions each topic gets: that of the pair which is there decides for the other."""
    pair = (settings.topics.completions, settings.topics.parked)
    of_the_pair = next((there[name].partitions for name in pair if name in there), partitions)
    return {spec.name: of_the_pair if spec.name in pair else partitions for spec in missing}


async def _alter(
    admin: TopicAdmin, specs: Sequence[TopicSpec], states: dict[str, TopicState]
) -> set[str]:
    altered = set()
    for spec in specs:
        if (state := states.get(spec.name)) is None:
            continue
        changes = {
            difference.setting: difference.wanted
            for difference in differences(spec, state)
            if difference.setting != REPLICATION
        }
        if changes:
            await admin.alter(state, changes)
            altered.add(spec.name)
    return altered


def _as_json(done: _Done) -> dict[str, object]:
    return {
        "topic": done.state.name,
        "action": done.action,
        "partitions": done.state.partitions,
        "replication_factor": done.state.replication_factor,
        "configs": dict(sorted(done.state.own.items())),
        "differences": [dataclasses.asdict(difference) for difference in done.differences],
    }


def _days(milliseconds: str) -> str:
    if not milliseconds:
        return "not readable"
    if milliseconds == "-1":
        return "for ever"
    days = int(milliseconds) / 86_400_000
    return "1 day" if days == 1 else f"{days:g} days"


def _mebibytes(number: str) -> str:
    return f"{int(number) / 2**20:.4g} MiB" if number else "not readable"
