"""Room `deploy`: checks what is deployed, without deploying it.

    python deploy/check.py

The Compose file against the Compose Specification's schema and against itself;
the alerts' metrics against the relay's catalogue; with `promtool` on PATH also
Prometheus' configuration, the rules and their tests (required where `CI` is
`true`). Touches the files beside it.
"""

# ruff: noqa: INP001, T201 - a program in no package, and this is what it says

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from completion_relay.clock import SystemClock
from completion_relay.health import Health
from completion_relay.lag import Lag
from completion_relay.observe import Observer
from completion_relay.processes.status import Pages

_HERE = Path(__file__).resolve().parent
_METRIC = re.compile(r"\bcompletion_relay_[a-z_]+")
_PROMTOOL = (
    ("check", "config", "prometheus.yml"),
    ("test", "rules", "alerts_test.yml"),
)


def main() -> int:
    """Print each problem on a line of its own; return 1 when there is one."""
    compose = _yaml(_HERE / "compose.yaml")
    problems = [
        *_against_the_specification(compose),
        *_against_itself(compose),
        *_unknown_metrics(_HERE / "prometheus" / "alerts.yml"),
        *_promtool(),
    ]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        print("deploy: compose.yaml, alerts.yml and prometheus.yml are as they should be")
    return 1 if problems else 0


def _against_the_specification(compose: dict[str, Any]) -> Iterator[str]:
    schema = json.loads((_HERE / "compose-spec" / "compose-spec.json").read_text("utf-8"))
    for error in Draft202012Validator(schema).iter_errors(compose):
        yield f"compose.yaml: {'.'.join(map(str, error.absolute_path)) or 'top'}: {error.message}"


def _against_itself(compose: dict[str, Any]) -> Iterator[str]:
    """Yield what the schema cannot see: names that lead nowhere."""
    services: dict[str, dict[str, Any]] = compose.get("services", {})
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                yield f"compose.yaml: {name} depends on {other}, which is no service"
            elif how["condition"] == "service_healthy" and not _has_probe(services[other]):
                yield f"compose.yaml: {name} waits for {other} to be healthy, which has no probe"
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                if not (_HERE / source).exists():
                    yield f"compose.yaml: {name} mounts {source}, which is not there"
            elif source not in compose.get("volumes", {}):
                yield f"compose.yaml: {name} mounts the volume {source}, which is not declared"


def _has_probe(service: dict[str, Any]) -> bool:
    probe = service.get("healthcheck", {})
    return not probe.get("disable") and ("test" in probe or "build" in service)


def _unknown_metrics(alerts: Path) -> Iterator[str]:
    known = _metrics()
    for group in _yaml(alerts)["groups"]:
        for rule in group["rules"]:
            for metric in sorted(set(_METRIC.findall(rule["expr"])) - known):
                yield f"alerts.yml: {rule['alert']}: the relay has no metric {metric}"


def _metrics() -> set[str]:
    """Return the name of every sample that a relay may have, that of `run --processes` included."""
    observer = Observer(namespaces=(), health=Health())
    Lag(
        observer,
        SystemClock(),
        stuck_after=1.0,
        parked="completions.parked",
        assigned=list,
        end_of=lambda _: None,
        readings=dict,
    )
    page = asyncio.run(Pages("127.0.0.1:0", []).metrics()).decode()
    families = [*observer.metrics.registry.collect(), *text_string_to_metric_families(page)]
    suffixes = {"counter": ["_total", "_created"], "histogram": ["_bucket", "_sum", "_count"]}
    return {
        family.name + suffix for family in families for suffix in suffixes.get(family.type, [""])
    }


def _promtool() -> Iterator[str]:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing = "promtool is not on PATH (Debian: package prometheus)"
        if os.environ.get("CI") == "true":
            yield f"{missing}: required where CI=true"
        else:
            print(f"deploy: skipped Prometheus' own check of its files: {missing}")
        return
    for arguments in _PROMTOOL:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [promtool, *arguments],
            cwd=_HERE / "prometheus",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            yield f"promtool {' '.join(arguments)}:\n{done.stdout}{done.stderr}"


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
