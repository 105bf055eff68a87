"""Room `workflow`: the whole loop as a user would write it, short enough to copy from.

`caller.py` is the waiting side: a workflow hands agents its activities' task
tokens and is suspended. `agent.py` is the finishing side: a workflow that works
and reports. `python -m completion_workflow.samples` (`.venv/bin/python -m ...` in a
checkout after `make setup`) runs a worker for each; `completion-relay demo` plays them. Nothing imports this package, and it uses
only what `completion_workflow` exports.
"""
