"""Room `workflow`: the waiting side. Touches the running activity's info and its log.

@activity.defn
async def run_agent(task: Task) -> None:
    callback = hand_off()
    await client.start_workflow(Agent.run, AgentInput(task, callback), id=..., task_queue=...)
    activity.raise_complete_async()
"""

from temporalio import activity

from completion_schemas.events import ActivityReference
from completion_workflow._describe import describe_token


def hand_off(*, cluster: str = "") -> ActivityReference:
    """Return the reference by which another program completes the running activity, and log it.

    Call it in the activity that waits, give the result to the callee, then call
    `activity.raise_complete_async()`. The log line names the token's length,
    preview and fingerprint, never the token.

    Args:
        cluster: The name that the relay's configuration has for this Temporal
            cluster; empty is the relay's default.

    Raises:
        RuntimeError: not called in an activity.
        InvalidEventError: called in a local activity, which cannot be completed
            from outside.
    """
    reference = ActivityReference.from_info(activity.info(), cluster=cluster)
    activity.logger.info(
        "Handing off with %s; it is waited for until %s",
        describe_token(reference),
        reference.deadline or "an unknown time",
    )
    return reference
