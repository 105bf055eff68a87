"""Room `undecided`: what the group has not decided, and what a record of that says of itself.

Touches `topic_reader` and the group's offsets.

Undecided is what the group has not committed, on the events' topic and on the
parked one, but for what its metadata says is settled ahead. A relay commits a
moment after it has decided: so what is found here may just have been decided.
Writes and commits nothing, and joins no group.

Reading order: `spans` (where it is), `record` (what it says), `search` (finds one event).
"""
