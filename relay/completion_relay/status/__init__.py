"""Room `status`: how the relay is, told from Kafka and from its replicas. Touches aiokafka and HTTP.

Reading order: `members` (who is in the group), `kafka` (how far each partition is decided), `records`
(what is the oldest of it), `ask` (each replica about itself), `judge` (what needs a person).
Writes and commits nothing, and joins no group.
"""
