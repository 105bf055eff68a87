"""Room `status`: how the relay is, told from Kafka and from its replicas. Touches aiokafka and HTTP.

Reading order: `members` (who is in the group), `kafka` (how far each partition is decided, and what is the
oldest that is not), `ask` (each replica about itself), `judge` (what needs a person).
Writes and commits nothing, and joins no group.
"""
