"""Writes what is generated from the `.proto` files: `python schemas/generate.py` (`make protos`).

- `completion_schemas/v1/*_pb2.py` and `.pyi`: the Python messages.
- `completion_schemas/avro/{event,signal}/v1.avsc`: the Avro form of the same model.

With `--release` also `buf/v1.binpb`, the image that `buf breaking` compares
with: only when a changed schema is released, never to make a check pass.

A test generates into an empty folder and compares with what is committed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_tools import protoc

from avro_from_protobuf import avro_schema

HERE = Path(__file__).resolve().parent
PACKAGE = "completion_schemas"
SOURCES = sorted((HERE / "proto").rglob("*.proto"))
INCLUDES = [HERE / "proto", HERE / "third_party", Path(str(files("grpc_tools"))) / "_proto"]
ROOTS = {
    "event": "completion.v1.CompletionEvent",
    "signal": "completion.v1.CompletionSignal",
}
"""The messages that are values of records, by the folder of their Avro schema."""


def main() -> None:
    """Write the generated files into the source tree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--release", action="store_true", help="also write buf/v1.binpb")
    parser.add_argument(
        "--into", type=Path, default=HERE / PACKAGE, help="write below this folder instead"
    )
    options = parser.parse_args()
    generate(options.into)
    if options.release:
        release(HERE / "buf" / "v1.binpb")


def generate(into: Path) -> None:
    """Write every generated file below `into`, which stands for the folder `completion_schemas`."""
    with tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch)
        run_protoc(compiled)
        (into / "v1").mkdir(parents=True, exist_ok=True)
        for made in sorted((compiled / "completion" / "v1").iterdir()):
            (into / "v1" / made.name).write_text(adapt(made.read_text()))
        described = FileDescriptorSet.FromString((compiled / "image.binpb").read_bytes())
    write_avro(described, into / "avro")


def run_protoc(into: Path) -> None:
    """Write protoc's Python, its type stubs and the described files with their comments."""
    arguments = [
        "protoc",
        *(f"--proto_path={include}" for include in INCLUDES),
        f"--python_out={into}",
        f"--pyi_out={into}",
        f"--descriptor_set_out={into / 'image.binpb'}",
        "--include_imports",
        "--include_source_info",
        *(str(source) for source in SOURCES),
    ]
    if protoc.main(arguments) != 0:
        sys.exit("protoc refused the .proto files; what it says is above")


def write_avro(described: FileDescriptorSet, into: Path) -> None:
    """Write the Avro schemas."""
    pool = DescriptorPool()
    docs: dict[str, str] = {}
    for file in described.file:
        pool.Add(file)
        docs.update(comments(file))
    for folder, root in ROOTS.items():
        schema = avro_schema(pool.FindMessageTypeByName(root), docs)
        path = into / folder / "v1.avsc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(schema, indent=2) + "\n")


def comments(file: FileDescriptorProto) -> dict[str, str]:
    """Return what the comments say, by full name of message, field or oneof."""
    # The path of a comment is field numbers and indexes from the file down:
    # 4 are a file's messages, 3 a message's messages, 2 its fields, 8 its oneofs.
    said = {
        tuple(at.path): " ".join(at.leading_comments.split())
        for at in file.source_code_info.location
    }
    found: dict[str, str] = {}

    def walk(message: DescriptorProto, name: str, path: tuple[int, ...]) -> None:
        found[name] = said.get(path, "")
        for index, field in enumerate(message.field):
            found[f"{name}.{field.name}"] = said.get((*path, 2, index), "")
        for index, oneof in enumerate(message.oneof_decl):
            found[f"{name}.{oneof.name}"] = said.get((*path, 8, index), "")
        for index, nested in enumerate(message.nested_type):
            walk(nested, f"{name}.{nested.name}", (*path, 3, index))

    for index, message in enumerate(file.message_type):
        walk(message, f"{file.package}.{message.name}", (4, index))
    return {name: text for name, text in found.items() if text}


def adapt(generated: str) -> str:
    """Return protoc's Python as this package can import it.

    - Temporal's messages are those that `temporalio` has registered already: a
      second registration of the same file would be refused.
    - protoc's check that the runtime is not older than itself is taken out. It
      would tie every worker to the newest protobuf, while all that this code
      uses is there since the oldest one that pyproject.toml admits (6.31, on
      which the tests were run).
    """
    adapted = re.sub(r"^from temporal\.api", "from temporalio.api", generated, flags=re.MULTILINE)
    adapted = re.sub(r"^from completion\.v1", f"from {PACKAGE}.v1", adapted, flags=re.MULTILINE)
    adapted = adapted.replace("'completion.v1.", f"'{PACKAGE}.v1.")
    adapted = re.sub(
        r"^from google\.protobuf import runtime_version.*\n", "", adapted, flags=re.MULTILINE
    )
    adapted = re.sub(
        r"^_runtime_version\.ValidateProtobufRuntimeVersion\(.*?^\)\n",
        "",
        adapted,
        flags=re.MULTILINE | re.DOTALL,
    )
    return re.sub(r"^# Protobuf Python Version: .*\n", "", adapted, flags=re.MULTILINE)


def release(image: Path) -> None:
    """Write the image that `buf breaking` compares with."""
    buf = shutil.which("buf", path=str(Path(sys.executable).parent)) or "buf"
    image.parent.mkdir(exist_ok=True)
    command = [buf, "build", str(HERE / "proto"), "--exclude-source-info", "-o", str(image)]
    subprocess.run(command, check=True)  # noqa: S603 - made of this repository's own paths


if __name__ == "__main__":
    main()
