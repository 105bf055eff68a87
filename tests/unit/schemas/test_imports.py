"""The walls: a worker that publishes loads neither the service nor its libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = (
    "audit avro avro_codec cloudevents codecs events failures json_codec messages signals tokens"
)
LOAD = f"""
import importlib, sys
for name in "{MODULES}".split():
    importlib.import_module("completion_schemas." + name)
print([name for name in sys.modules if name.partition(".")[0] == {{!r}}])
"""


@pytest.mark.parametrize("package", ["completion_relay", "completion_workflow", "aiokafka"])
def test_schemas_bring_no_other_package(package: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD.format(package)], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"


def test_publishing_protobuf_loads_no_avro() -> None:
    """Fastavro is for the audit trail; a worker's start does not pay for it."""
    script = "import completion_schemas.cloudevents, sys; print('fastavro' in sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "False"
