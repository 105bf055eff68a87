"""Room `pipeline`: what a delivered record is: an event, a parked one, or what an operator says. Touches nothing."""

from __future__ import annotations

from completion_relay.decision import Delivery
from completion_relay.instruction import (
    Instruction,
    InstructionError,
    is_instruction,
    read_instruction,
)
from completion_relay.parking import ParkedRecordError, Ticket, read_ticket, without_ticket
from completion_relay.pipeline import Pipeline, Plan
from completion_relay.settings import TopicSettings
from completion_schemas.record import KafkaRecord


class Reader:
    """Tells by the topic, and on the parked one by the headers."""

    def __init__(self, pipeline: Pipeline, topics: TopicSettings) -> None:
        """Read nothing yet.

        Args:
            pipeline: Plans what is in a record.
            topics: Where records come from.
        """
        self._pipeline = pipeline
        self._topics = topics

    def instruction(self, delivery: Delivery) -> Instruction | None:
        """Return what an operator says; None: it is no instruction, or none that can be meant."""
        if not self._may_be_instruction(delivery):
            return None
        try:
            return self._instruction(delivery)
        except InstructionError:
            return None  # `plan` says why it is put aside

    def plan(self, delivery: Delivery) -> tuple[Plan, Ticket | None]:
        """Return what to do with a record, and what it says of itself if it was parked."""
        if delivery.topic != self._topics.parked:
            return self._pipeline.plan(delivery), None
        record = delivery.record
        try:
            if self._may_be_instruction(delivery):
                self._instruction(delivery)
            ticket = read_ticket(record.headers, of=self._topics.completions)
        except InstructionError as error:
            return self._pipeline.refused(delivery, f"no operator's instruction: {error}"), None
        except ParkedRecordError as error:
            return self._pipeline.refused(delivery, f"no relay has parked this: {error}"), None
        first = Delivery(
            topic=ticket.topic,
            partition=ticket.partition,
            offset=ticket.offset,
            timestamp_ms=ticket.timestamp_ms,
            record=KafkaRecord(record.key, record.value, without_ticket(record.headers)),
            received_at=ticket.received_at,
        )
        return self._pipeline.plan(first), ticket

    def _may_be_instruction(self, delivery: Delivery) -> bool:
        record = delivery.record
        return delivery.topic == self._topics.parked and is_instruction(
            record.value, record.headers
        )

    def _instruction(self, delivery: Delivery) -> Instruction:
        of, number = self._topics.completions, delivery.partition
        return read_instruction(delivery.record.headers, of=of, number=number)
