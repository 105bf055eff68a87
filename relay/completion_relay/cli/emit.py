"""Room `cli`: `completion-relay emit`. Touches what its options name."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import time
from enum import StrEnum
from typing import Annotated, Any

import typer
import uuid_utils

from completion_relay.cli.boundary import NO
from completion_relay.cli.options import ConfigOption, JsonOption, KafkaOption, settings_from
from completion_relay.cli.outcome import OutcomeOptions
from completion_relay.cli.output import is_terminal, print_fields, print_json, print_line
from completion_relay.cli.publish import publish
from completion_relay.cli.reach import reaching_kafka
from completion_relay.cli.times import parse_deadline
from completion_relay.cli.token_file import STDIN, InputError, TokenFormat, read_token
from completion_relay.connections import first_namespace
from completion_schemas.cloudevents import encode_record
from completion_schemas.codecs import AVRO, JSON, PROTOBUF
from completion_schemas.dispositions import Disposition
from completion_schemas.events import ActivityReference, CompletionEvent, Origin
from completion_schemas.record import KafkaRecord
from completion_schemas.times import UnixNanos
from completion_schemas.tokens import token_fingerprint, token_preview

_TARGET = "Which waiting activity"
_OUTCOME = "What became of it"
_HOW = "How it is sent"


class ContentType(StrEnum):
    """How the event is encoded."""

    PROTOBUF = "protobuf"
    JSON = "json"
    AVRO = "avro"


_CONTENT_TYPES = {
    ContentType.PROTOBUF: PROTOBUF,
    ContentType.JSON: JSON,
    ContentType.AVRO: AVRO,
}


def emit(
    *,
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File with the activity's task token, - for standard input. Never on the command "
            "line itself: other users of the machine could read it there.",
            rich_help_panel=_TARGET,
        ),
    ] = None,
    token_format: Annotated[
        TokenFormat,
        typer.Option(help="How the token is written in the file.", rich_help_panel=_TARGET),
    ] = TokenFormat.AUTO,
    workflow_id: Annotated[
        str, typer.Option(metavar="ID", help="The waiting workflow.", rich_help_panel=_TARGET)
    ] = "",
    run_id: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="Its run. Needed where there is no token: without it Temporal would take the "
            "current run, which may be another.",
            rich_help_panel=_TARGET,
        ),
    ] = "",
    activity_id: Annotated[
        str, typer.Option(metavar="ID", help="The activity in it.", rich_help_panel=_TARGET)
    ] = "",
    namespace: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Its namespace; the relay's first one if left out.",
            rich_help_panel=_TARGET,
        ),
    ] = "",
    cluster: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Its Temporal cluster as the relay calls it; the relay's own if left out.",
            rich_help_panel=_TARGET,
        ),
    ] = "",
    attempt: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="The attempt that waits; 0 is not known.",
            rich_help_panel=_TARGET,
        ),
    ] = 0,
    result: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="Complete it with this.", rich_help_panel=_OUTCOME),
    ] = None,
    result_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Complete it with the JSON in a file, - for standard input.",
            rich_help_panel=_OUTCOME,
        ),
    ] = None,
    failure: Annotated[
        str | None,
        typer.Option(
            metavar="MESSAGE", help="Fail it; its retry policy applies.", rich_help_panel=_OUTCOME
        ),
    ] = None,
    failure_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="With --failure: the type of the application failure.",
            rich_help_panel=_OUTCOME,
        ),
    ] = None,
    non_retryable: Annotated[
        bool,
        typer.Option(
            "--non-retryable",
            help="With --failure: not to be retried, whatever the retry policy says.",
            rich_help_panel=_OUTCOME,
        ),
    ] = False,
    cancel: Annotated[
        bool,
        typer.Option(
            "--cancel",
            help="Report it canceled, as its workflow had asked for.",
            rich_help_panel=_OUTCOME,
        ),
    ] = False,
    heartbeat: Annotated[
        bool,
        typer.Option("--heartbeat", help="It is alive; decides nothing.", rich_help_panel=_OUTCOME),
    ] = False,
    details: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="With --cancel or --heartbeat: details.",
            rich_help_panel=_OUTCOME,
        ),
    ] = None,
    event_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="The event's id, a new UUIDv7 if left out. Give the same to send an event again: "
            "the second is then a duplicate.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When it times out: 2026-01-31T12:00:00Z, or `in 90s|15m|1h|2d`; never past.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    content_type: Annotated[
        ContentType, typer.Option(help="The event's encoding.", rich_help_panel=_HOW)
    ] = ContentType.PROTOBUF,
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="Wait so long for a relay to decide it, and say what it decided.",
            rich_help_panel=_HOW,
        ),
    ] = 0.0,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show what would be sent; connect to nothing.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Publish one completion event by hand.

    The token decides which activity is meant, ids alone do where there is none, and both
    together are best. The result is JSON, as any Temporal SDK reads it without a codec.

    Exits 1 with `--wait` if the event was not applied, or not decided in time.

    For example:

        completion-relay emit --token-file token.b64 --result '{"approved": true}'

        completion-relay emit --workflow-id order-42 --run-id 0193… --activity-id 5 \
            --failure "card refused" --failure-type CardRefused --non-retryable

        cat token.b64 | completion-relay emit --token-file - --result '"done"' --wait 10
    """
    settings = settings_from(config, kafka=kafka)
    if token_file == result_file == STDIN:
        raise InputError("--token-file and --result-file cannot both be standard input")
    outcome = OutcomeOptions(
        result=result,
        result_file=result_file,
        failure=failure,
        failure_type=failure_type,
        non_retryable=non_retryable,
        cancel=cancel,
        heartbeat=heartbeat,
        details=details,
    ).outcome()
    token = read_token(token_file, token_format) if token_file is not None else b""
    if not token and not run_id and not settings.relay.allow_current_run:
        raise InputError("--run-id is missing: give it and the other ids, or --token-file")
    if not token and not namespace:  # the key of an event by ids has it
        namespace = first_namespace(settings.temporal, cluster)
    now = UnixNanos(time.time_ns())
    event = CompletionEvent(
        event_id=str(uuid_utils.uuid7()) if event_id is None else event_id,
        occurred_at=now,
        deadline=None if deadline is None else parse_deadline("--deadline", deadline, now),
        activity=ActivityReference(
            cluster=cluster,
            namespace=namespace,
            task_token=base64.b64encode(token).decode("ascii"),
            token_fingerprint=token_fingerprint(token),
            workflow_id=workflow_id,
            run_id=run_id,
            activity_id=activity_id,
            attempt=attempt,
        ),
        outcome=outcome,
        origin=Origin(identity=f"{os.getpid()}@{socket.gethostname()}"),
    )
    record = encode_record(event, content_type=_CONTENT_TYPES[content_type])
    shown = _shown(event, token, record, settings.topics.completions)
    if dry_run:
        _print(shown, as_json=as_json)
        return
    with reaching_kafka(settings.kafka):
        sent, decided = asyncio.run(publish(settings, event, record, wait=wait))
    shown |= {"partition": sent.partition, "offset": sent.offset}
    if wait:
        shown |= {
            "disposition": decided and decided.disposition,
            "reason": decided and decided.reason,
            "detail": decided and decided.detail,
        }
    _print(shown, as_json=as_json)
    if not wait and is_terminal() and not as_json:
        print_line()
        print_line(f"What becomes of it: completion-relay audit show {event.event_id}")
    if wait and (decided is None or decided.disposition is not Disposition.APPLIED):
        raise typer.Exit(NO)


def _shown(event: CompletionEvent, token: bytes, record: KafkaRecord, topic: str) -> dict[str, Any]:
    """Return what may be shown of the event, by the names of the audit record where it has them."""
    return {
        "event_id": event.event_id,
        "type": event.type,
        "namespace": event.activity.namespace,
        "workflow_id": event.activity.workflow_id,
        "run_id": event.activity.run_id,
        "activity_id": event.activity.activity_id,
        "token_preview": token_preview(token),
        "token_fingerprint": token_fingerprint(token),
        "key": (record.key or b"").decode(),
        "bytes": len(record.value or b""),
        "topic": topic,
    }


def _print(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
        return
    rows = {name: value for name, value in shown.items() if value not in ("", None)}
    if "disposition" in shown:
        rows.setdefault("disposition", "not decided in time")
    print_fields((name.replace("_", " "), str(value)) for name, value in rows.items())
