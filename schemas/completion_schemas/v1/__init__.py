"""Room `events`: the protobuf messages, generated from `schemas/proto`. Touches nothing."""
