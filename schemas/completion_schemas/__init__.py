"""What both sides speak: the completion event, its signal, its audit record. Imports neither side.

Reading order: `events` (the frozen values), `tokens` (how a token is named),
`messages` (values and protobuf), `cloudevents` (the Kafka record: `encode_record`,
`decode_record`), `signals`, `audit`, `dispositions`, `failures`, `errors`. Below
them `codecs` chooses between `messages`, `json_codec` and `avro_codec` by content
type; `v1/` and `avro/` hold what `schemas/generate.py` writes.
"""
