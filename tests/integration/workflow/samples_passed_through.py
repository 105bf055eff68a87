"""Room `tests`: a workflow whose author passes our package through the sandbox himself."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from completion_workflow import ActivityReference, report


@workflow.defn
class PassedThrough:
    """Reports a constant."""

    @workflow.run
    async def run(self, callback: ActivityReference) -> str:
        """Report."""
        return await report(callback, self._work())

    async def _work(self) -> str:
        return "passed"
