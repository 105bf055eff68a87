"""Room `demo`: the original scene, played on this machine and judged line by line.

A caller workflow hands each of 24 agent executions its activity's task token and
is suspended. Agents succeed, fail and are canceled; one event is sent twice, one
agent has no callback, one relay is killed on the way.

Core, which touches nothing: `script` (who does what, and what should come of
it), `judge` (what came of it against that). Shell: `company` (the processes),
`watch` and `topic` (what Temporal, the worker and Kafka say), `play` (the order
of events), `board` and `screen` (what a person sees).

The worker is another program (`python -m completion_workflow.samples`): nothing
here imports `completion_workflow`, workflows are started by their names.
"""
