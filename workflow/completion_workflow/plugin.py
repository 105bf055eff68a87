"""Room `workflow`: what makes a worker one that can report. Touches its configuration and its life."""

import dataclasses
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from temporalio import activity
from temporalio.converter import DataConverter
from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    Interceptor,
    ReplayerConfig,
    Worker,
    WorkerConfig,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from completion_schemas.events import (
    ActivityReference,
    CompletionEvent,
    Heartbeat,
    Origin,
    unix_nanos,
)
from completion_workflow import _names
from completion_workflow._activities import PublishActivities
from completion_workflow._encoding import convert_values, encode_outcome
from completion_workflow._log_guard import guard_logs
from completion_workflow._sending import Sender, Transport

_OURS = ("completion_workflow", "completion_schemas")


class CompletionPlugin(SimplePlugin):
    """Lets the workflows of a worker report to waiting activities.

    Give it to the client, for all its workers, or to one worker, not to both.
    It registers the publish activities, passes our modules through the workflow
    sandbox, lets workflow code reach the worker's failure converter, and owns
    the Kafka producer: connected while a worker runs, in the background, flushed
    and closed when the last one has ended. The data converter, payload codec
    included, is the one of each worker's client.

    Args:
        transport: `Kafka(...)`, or `Direct()` to do without.
    """

    def __init__(self, transport: Transport) -> None:
        self._sender: Sender = transport.sender()
        self._publisher = PublishActivities(self._sender)
        self._workers = 0
        super().__init__(
            "completion-workflow",
            activities=self._publisher.all,
            workflow_runner=_with_our_modules,
        )

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """See base class."""
        guard_logs()
        config = super().configure_worker(config)
        converter = config["client"].data_converter
        config["interceptors"] = [*config.get("interceptors", ()), _ConverterAccess(converter)]
        return config

    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        """See base class."""
        config = super().configure_replayer(config)
        converter = config.get("data_converter", DataConverter.default)
        config["interceptors"] = [*config.get("interceptors", ()), _ConverterAccess(converter)]
        return config

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:  # noqa: A002 - the base class's name
        """See base class."""
        self._workers += 1
        if self._workers == 1:
            await self._sender.start()
        try:
            await next(worker)
        finally:
            self._workers -= 1
            if not self._workers:
                await self._sender.stop()

    async def heartbeat(self, callback: ActivityReference | None, *details: Any) -> None:
        """Publish, from an asynchronous activity of the callee, that the work goes on.

        Without a callback it does nothing. In workflow code use
        `completion_workflow.heartbeat`.

        Args:
            callback: What the waiting activity handed over.
            details: Progress, as in `activity.heartbeat`.

        Raises:
            PublishError: it could not be published now.
            ApplicationError: it never can be.
            InvalidEventError: the callback does not name an activity.
        """
        if not callback:
            return
        info, client = activity.info(), activity.client()
        converted = Heartbeat(
            convert_values(details, callback, client.data_converter.payload_converter)
        )
        event = CompletionEvent(
            event_id=str(uuid.uuid4()),
            occurred_at=unix_nanos(datetime.now(UTC)),
            activity=callback,
            outcome=await encode_outcome(converted, callback, client.data_converter),
            origin=Origin(
                namespace=info.namespace,
                workflow_id=info.workflow_id or "",
                run_id=info.workflow_run_id or "",
                workflow_type=info.workflow_type or "",
                identity=client.service_client.config.identity,
            ),
        )
        await self._publisher.send_heartbeat(event, client)


class _ConverterAccess(Interceptor):
    """Lets workflow code reach what the SDK keeps to itself there: the failure converter."""

    def __init__(self, converter: DataConverter) -> None:
        self._converter = converter

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 - the base class's name
    ) -> type[WorkflowInboundInterceptor] | None:
        converter = self._converter
        input.unsafe_extern_functions[_names.FAILURE_CONVERTER] = lambda: (
            converter.failure_converter_class
        )
        input.unsafe_extern_functions[_names.SIZE_IS_FINAL] = lambda: (
            converter.payload_codec is None and converter.external_storage is None
        )
        return None


def _with_our_modules(runner: WorkflowRunner | None) -> WorkflowRunner:
    if runner is None:
        runner = SandboxedWorkflowRunner()
    if isinstance(runner, SandboxedWorkflowRunner):
        return dataclasses.replace(
            runner, restrictions=runner.restrictions.with_passthrough_modules(*_OURS)
        )
    return runner
