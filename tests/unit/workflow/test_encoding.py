"""Conversion and codec: the same bytes as a worker makes for an ordinary activity."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    DefaultPayloadConverter,
    ExternalStorage,
    PayloadCodec,
    PayloadConverter,
    SerializationContext,
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
    WithSerializationContext,
)
from temporalio.exceptions import ApplicationError, CancelledError

from completion_schemas.events import ActivityReference, Canceled, Completed, Failed, Heartbeat
from completion_workflow._encoding import convert_error, convert_values, encode_outcome

_REFERENCE = ActivityReference(
    namespace="orders", workflow_id="w", run_id="r", activity_id="5", task_token="dG9rZW4="
)


class Marking(PayloadCodec, WithSerializationContext):
    """Shows which payloads it saw, how often, and in which context."""

    def __init__(self, context: SerializationContext | None = None) -> None:
        self.context = context

    def with_context(self, context: SerializationContext) -> "Marking":
        return Marking(context)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        assert isinstance(self.context, ActivitySerializationContext)
        mark = f"{self.context.namespace}/{self.context.workflow_id}/{self.context.activity_id}:"
        return [Payload(metadata=p.metadata, data=mark.encode() + p.data) for p in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        raise NotImplementedError


_MARKED = dataclasses.replace(DataConverter.default, payload_codec=Marking())


async def test_a_results_payloads_are_encoded_once_in_the_waiting_activitys_context() -> None:
    """The codec is asked once, for the caller's namespace, workflow and activity."""
    converted = convert_values(("done",), _REFERENCE, DefaultPayloadConverter())
    outcome = await encode_outcome(Completed(converted), _REFERENCE, _MARKED)
    assert isinstance(outcome, Completed)
    assert [payload.data for payload in outcome.result.payloads] == [b'orders/w/5:"done"']


async def test_every_payload_of_a_failure_is_encoded_once() -> None:
    """Details, encoded attributes and those of the causes; the message is no payload."""
    outer = ApplicationError("outer", "o")
    outer.__cause__ = ApplicationError("inner", "i")
    failure = convert_error(
        outer,
        _REFERENCE,
        DefaultFailureConverterWithEncodedAttributes(),
        DefaultPayloadConverter(),
    )
    encoded = await encode_outcome(Failed(failure), _REFERENCE, _MARKED)
    assert isinstance(encoded, Failed)
    seen = _datas(encoded.failure)
    assert len(seen) == 4
    assert all(data.startswith(b"orders/w/5:") and data.count(b"orders") == 1 for data in seen)
    assert encoded.failure.message == "Encoded failure"


async def test_details_of_cancellation_and_heartbeat_are_encoded() -> None:
    """All outcomes go through the codec."""
    converted = convert_values((1, 2), _REFERENCE, DefaultPayloadConverter())
    canceled = await encode_outcome(Canceled(converted), _REFERENCE, _MARKED)
    heartbeat = await encode_outcome(Heartbeat(converted), _REFERENCE, _MARKED)
    assert isinstance(canceled, Canceled)
    assert isinstance(heartbeat, Heartbeat)
    assert canceled.details == heartbeat.details
    assert [p.data for p in canceled.details.payloads] == [b"orders/w/5:1", b"orders/w/5:2"]


@pytest.mark.parametrize("outcome", [Completed(), Canceled(), Heartbeat()])
async def test_no_payloads_stay_none(outcome: Completed | Canceled | Heartbeat) -> None:
    """A codec is not asked to make something of nothing."""
    assert await encode_outcome(outcome, _REFERENCE, _MARKED) == outcome


async def test_a_converter_that_knows_no_raw_values_does_not_matter() -> None:
    """Our own payloads never pass a user's payload converter a second time."""

    class Strict(PayloadConverter):
        def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
            return [Payload(data=str(value).encode()) for value in values]

        def from_payloads(
            self, payloads: Sequence[Payload], type_hints: list[type] | None = None
        ) -> list[Any]:
            raise NotImplementedError

    converter = dataclasses.replace(DataConverter.default, payload_converter_class=Strict)
    converted = convert_values(("x",), _REFERENCE, converter.payload_converter)
    outcome = await encode_outcome(Completed(converted), _REFERENCE, converter)
    assert outcome == Completed(Payloads(payloads=[Payload(data=b"x")]))


class Shelf(StorageDriver):
    """An external storage that keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[Payload] = []

    def name(self) -> str:
        return "shelf"

    async def store(
        self,
        context: StorageDriverStoreContext,  # noqa: ARG002 - the base class's
        payloads: Sequence[Payload],
    ) -> list[StorageDriverClaim]:
        self.kept += payloads
        return [StorageDriverClaim({"at": str(len(self.kept))}) for _ in payloads]

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        raise NotImplementedError


async def test_a_large_result_goes_to_external_storage() -> None:
    """The caller gets a reference, as from an ordinary activity."""
    shelf = Shelf()
    converter = dataclasses.replace(
        DataConverter.default,
        external_storage=ExternalStorage(drivers=[shelf], payload_size_threshold=100),
    )
    converted = convert_values(("x" * 1_000,), _REFERENCE, DefaultPayloadConverter())
    outcome = await encode_outcome(Completed(converted), _REFERENCE, converter)
    assert isinstance(outcome, Completed)
    assert [payload.ByteSize() for payload in shelf.kept] == [converted.payloads[0].ByteSize()]
    assert outcome.result.ByteSize() < 500


def test_pythons_own_cancellation_becomes_temporals() -> None:
    """As the SDK does when a workflow ends in one that nobody asked for."""
    failure = convert_error(
        asyncio.CancelledError("why"),
        _REFERENCE,
        DataConverter.default.failure_converter,
        DefaultPayloadConverter(),
    )
    assert failure.HasField("canceled_failure_info")
    assert failure.message == str(CancelledError("why"))


def _datas(failure: Failure) -> list[bytes]:
    info = failure.application_failure_info
    own = [*info.details.payloads, failure.encoded_attributes]
    inner = _datas(failure.cause) if failure.HasField("cause") else []
    return [payload.data for payload in own] + inner
