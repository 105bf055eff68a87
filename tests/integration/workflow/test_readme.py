"""The example of `workflow/README.md`, as it is printed there."""

import importlib
import re
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.worker import Worker
from tests.integration.workflow.helpers import relayed
from tests.support import Topics

from completion_workflow import CompletionPlugin, Kafka

_README = Path(__file__).parents[3] / "workflow" / "README.md"


@pytest.mark.source_tree
async def test_the_example_works(  # noqa: PLR0917 - pytest passes by name
    temporal_address: str,
    kafka_address: str,
    topics: Topics,
    task_queue: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both sides, copied into one module, on one worker: the caller gets the agent's result."""
    waiting, finishing, _directly = re.findall(
        r"```python\n(.*?)```", _README.read_text(), re.DOTALL
    )
    code = (waiting + "\n" + finishing).replace('"agents"', f'"{task_queue}"')
    (tmp_path / "readme_example.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    example = importlib.import_module("readme_example")
    plugin = CompletionPlugin(Kafka(bootstrap_servers=kafka_address, topic=topics.completions))
    client = await Client.connect(temporal_address, plugins=[plugin])
    async with (
        Worker(
            client,
            task_queue=task_queue,
            workflows=[example.Caller, example.Agent],
            activities=[example.Activities(client).run_agent],
        ),
        relayed(kafka_address, topics.completions, client),
    ):
        result = await client.execute_workflow(
            example.Caller.run, "the task", id=f"w-{task_queue}", task_queue=task_queue
        )
    assert result == "done: the task"
