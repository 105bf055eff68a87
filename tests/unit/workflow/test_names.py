"""What others rely on: names, and what importing costs."""

import subprocess
import sys

import completion_workflow


def test_the_public_names_are_frozen() -> None:
    """A name that appears or disappears is a decision, not an accident."""
    assert sorted(completion_workflow.__all__) == [
        "ActivityReference",
        "CompletionPlugin",
        "Direct",
        "InvalidEventError",
        "Kafka",
        "PUBLISH_COMPLETION",
        "PUBLISH_HEARTBEAT",
        "hand_off",
        "heartbeat",
        "report",
    ]
    assert all(hasattr(completion_workflow, name) for name in completion_workflow.__all__)


def test_the_activity_names_are_those_in_histories() -> None:
    """Renaming them breaks the replay of every workflow that reported."""
    assert completion_workflow.PUBLISH_COMPLETION == "completion/system/publish-completion"
    assert completion_workflow.PUBLISH_HEARTBEAT == "completion/system/publish-heartbeat"


def test_a_workflow_loads_no_network_library() -> None:
    """Importing what a workflow needs does not import aiokafka."""
    code = "import sys, completion_workflow; sys.exit('aiokafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_worker_installs_nothing_of_the_relay() -> None:
    """Not even the worker's half imports the relay or its libraries."""
    code = (
        "import sys, completion_workflow as c; c.CompletionPlugin, c.Kafka, c.Direct;"
        "sys.exit(any(m.split('.')[0] in ('completion_relay', 'typer', 'structlog') "
        "for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The lazy loading does not hide a typing mistake."""
    assert not hasattr(completion_workflow, "Kafak")
