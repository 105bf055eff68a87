"""Room `workflow`: the names that histories and failures carry. Touches nothing.

They are stored in workflow histories: renaming one breaks the replay of every
workflow that reported under the old name.
"""

PUBLISH_COMPLETION = "completion/system/publish-completion"
"""The activity that publishes what became of the work."""
PUBLISH_HEARTBEAT = "completion/system/publish-heartbeat"
"""The activity that publishes a sign of life."""

NOT_PUBLISHED = "CompletionNotPublished"
"""Failure type of a workflow whose work is done but whose outcome could not be published."""
RESULT_TOO_LARGE = "ResultTooLarge"
"""Failure type that the waiting activity gets instead of a result that does not fit."""
CALLEE_CANCELED = "CalleeCanceled"
"""Failure type that the waiting activity gets when the work was canceled and it was not."""

FAILURE_CONVERTER = "completion_workflow.failure_converter"
"""The extern function by which workflow code reaches the worker's failure converter class."""
SIZE_IS_FINAL = "completion_workflow.size_is_final"
"""The extern function that says whether neither a codec nor external storage changes a size."""
