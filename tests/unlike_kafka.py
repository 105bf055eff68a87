"""Room `tests`: what a consumer group of the embedded Kafka (noida-db 0.2.3) does not do as Kafka does.

A test that asks for it is marked, and skipped unless `--kafka` names another one.
"""

import pytest

two_join_at_once = pytest.mark.needs_apache(
    "may give no partitions, or never again, to a group that a second member joins 0.3 s after the first"
)
"""It waits 0.3 s for more members, and tells those that wait once every 20 ms or so that they are in. Who
joins in between sets the group back to waiting, for a member that is waiting already; at the rebalance
time-out that one is given an assignment of no bytes. A member that aiokafka then has forgotten is never
evicted, and if it was the leader, nobody is assigned anything any more (its protocol was traced: 8 of 16
groups whose second member came just then, 7 of them for good)."""

commit_in_rebalance = pytest.mark.needs_apache(
    "refuses a commit while the group is rebalancing, which Kafka takes, and throws the member out"
)

killed_member = pytest.mark.needs_apache(
    "never ends the session of a member that was killed, so that its partitions stay without a relay"
)
