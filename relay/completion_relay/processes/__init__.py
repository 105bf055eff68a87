"""Room `cli`: one relay in several processes of one machine (`run --processes N`).

Touches processes, pipes and loopback HTTP; Kafka and Temporal are the
children's. One process is one event loop and so one core; Kafka shares the
partitions out among the children as it does among replicas, and the children
know nothing of one another.

Each child is a fresh interpreter and never a fork: Temporal's client is not
fork-safe and asserts it. The supervisor holds a child's standard input open for
as long as it lives; however it goes, `kill -9` included, the kernel closes that
pipe, and the child drains and ends.

Reading order: `wire` (what is said over the pipes), `child`, `replica` (a child
from the outside), `supervisor`, `status` and `merge` (one address for all).
"""
