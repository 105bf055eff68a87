"""Room `tests/apache`: Apache Kafka's jars from Maven Central.

Touches the project's `.cache/` folder and, once per version, the Maven repository.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

_HERE = Path(__file__).parent
_POM = _HERE / "pom.xml"
_CACHE = _HERE.parents[1] / ".cache"
_JAVA = 17
"""The oldest Java that a Kafka 4 broker runs on."""

VERSION = ET.parse(_POM).findtext(".//{*}kafka.version", "")


class UnavailableError(Exception):
    """Apache Kafka cannot run on this machine; the text says why."""


def require_apache_kafka() -> Path:
    """Return the folder with the jars; without them skip, or fail where `CI` is `true`."""
    try:
        _require_java()
        return _jars()
    except UnavailableError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Apache Kafka is required where CI=true: {error}", pytrace=False)
        pytest.skip(f"Apache Kafka: {error}")


def _require_java() -> None:
    if shutil.which("java") is None:
        raise UnavailableError(f"no java on PATH: install a Java runtime, {_JAVA} or newer")
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < _JAVA:
        raise UnavailableError(f"Java {_JAVA} or newer is needed, `java -version` says {said!r}")


def _jars() -> Path:
    folder = _CACHE / f"kafka-{VERSION}"
    if folder.is_dir():
        return folder
    if shutil.which("mvn") is None:
        raise UnavailableError("no mvn on PATH: install Maven, which fetches the broker once")
    _CACHE.mkdir(exist_ok=True)
    # Into a folder of its own and then renamed: a fetch cut short leaves no half a broker.
    fetched = Path(tempfile.mkdtemp(prefix="fetching-", dir=_CACHE))
    try:
        maven = subprocess.run(
            [
                *("mvn", "-B", "-q", "-f", str(_POM), "dependency:copy-dependencies"),
                *(f"-DoutputDirectory={fetched}", "-DincludeScope=runtime"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if maven.returncode != 0:
            raise UnavailableError(f"mvn could not fetch Kafka {VERSION}: {maven.stdout[-600:]}")
        if not folder.is_dir():
            fetched.rename(folder)
    finally:
        shutil.rmtree(fetched, ignore_errors=True)
    return folder
