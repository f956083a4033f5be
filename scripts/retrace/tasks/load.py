"""Tasks by their names: the YAML is read, and what the types cannot say is checked."""

import re
from pathlib import Path

from retrace.errors import UserError
from retrace.tasks.answer_task import AnswerTask
from retrace.tasks.base import Task
from retrace.tasks.families import family_named, family_names, format_of
from retrace.tasks.graders import grader_fault
from retrace.tasks.options import Source, TaskConfig
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS, STANDARD
from retrace.yaml_files import closest, read_named

# What a source says about how its rows are read.
_READING = ("format", "fields", "repeats", "bulky", "skip_faulty", "equations_of")
_COMMIT = re.compile(r"/[0-9a-f]{40}/")
_SPLIT_NAME = re.compile(r"[\w.-]+")


def task_names(config_dir: str | Path = "config") -> list[str]:
    """The names of all tasks in `config_dir`/tasks."""
    return sorted(path.stem for path in (Path(config_dir) / "tasks").glob("*.yaml"))


def load_task(path_or_name: str | Path, config_dir: str | Path = "config") -> Task:
    """Load a task by name (`gsm8k`: config_dir/tasks/gsm8k.yaml) or by the path of its YAML file.

    Raises UserError naming the file, the field and the mend; an unknown name lists the known ones.
    """
    text = str(path_or_name)
    path = Path(text)
    if not text.endswith((".yaml", ".yml")) and "/" not in text:
        path = Path(config_dir) / "tasks" / f"{text}.yaml"
        if not path.exists():
            names = task_names(config_dir)
            known = ", ".join(names) if names else f"none in {path.parent}"
            raise UserError(f"unknown task {text!r}; known tasks: {known}")
    if not path.exists():
        raise UserError(f"{path}: no such file; known tasks: {', '.join(task_names(config_dir))}")
    config = read_named(TaskConfig, path)
    _check(config, path)
    return make_task(config, path)


def make_task(config: TaskConfig, path: Path) -> Task:
    """The task of a configuration that was read from `path`."""
    return AnswerTask(config, path) if family_named(config.family).final_only else Task(config, path)


def _check(config: TaskConfig, path: Path) -> None:
    """Checks beyond the types: every source is complete, and the parts fit together."""
    frames = {
        "prompt": config.prompt,
        "chat.prompt": config.chat.prompt,
        "chat.direct_prompt": config.chat.direct_prompt,
        "chat.sft_prompt": config.chat.sft_prompt,
    }
    for where, frame in frames.items():
        if frame is not None and "{question}" not in frame:
            raise UserError(f"{path}: {where}: must hold {{question}}")
    if "{answer}" not in config.chat.answer:
        raise UserError(f"{path}: chat.answer: must hold {{answer}}")
    _check_family(config, path)
    for name in config.split_sets:
        if not any(f"{name}_{split}" in config.splits for split in STANDARD):
            raise UserError(f"{path}: split_sets: no split is named {name}_train, {name}_dev or {name}_test")
    sources = {f"splits.{split}": source for split, source in config.splits.items()}
    for name in (DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS):
        if (source := getattr(config, name)) is not None:
            sources[name] = source
    for where, source in sources.items():
        kinds = ("url", "file", "hub", "generator", "part_of")
        given = [name for name in kinds if getattr(source, name) is not None]
        if len(given) != 1:
            raise UserError(f"{path}: {where}: give one of {', '.join(kinds)} (got {', '.join(given) or 'none'})")
        if source.hub and not source.revision:
            raise UserError(
                f"{path}: {where}: revision: a data set of the Hub needs the commit that it is read at "
                f"(https://huggingface.co/datasets/{source.hub}/commits/main)"
            )
        _check_fields(config, source, path, where)
        for key in ("subset", "hub_split"):
            if (value := getattr(source, key)) is not None and not (source.hub or source.file):
                raise UserError(f"{path}: {where}: {key}: only for `hub` and for a folder as `file`; remove {value!r}")
        if source.hub_split is not None and not _SPLIT_NAME.fullmatch(source.hub_split):
            raise UserError(
                f"{path}: {where}: hub_split: {source.hub_split!r} is not a split name; instead of a slice use `part` "
                "(a share) or `count` (the first rows)"
            )
        if source.url and not source.sha256 and not (source.rows and _COMMIT.search(source.url)):
            raise UserError(
                f"{path}: {where}: sha256: a url needs the checksum of its file (sha256sum FILE), or, where nobody "
                "knows it, a commit in the url and the number of `rows`"
            )
        if source.generator and source.fields:
            raise UserError(f"{path}: {where}: fields: a generator has no columns; remove it")
        if source.generator and source.count is None:
            raise UserError(f"{path}: {where}: count: a generator needs to know how many rows to make")
        if source.part_of and any(getattr(source, name) for name in _READING):
            raise UserError(f"{path}: {where}: part_of: how rows are read is the other split's to say; remove it here")
        if source.part_of and (source.part_of not in config.splits or config.splits[source.part_of].part_of):
            raise UserError(f"{path}: {where}: part_of: {source.part_of!r} is no split with a source of its own")
        parts = source.part or source.count or source.rows or source.equations_of
        if source.bulky and (not (source.url or source.file or source.hub) or parts):
            raise UserError(f"{path}: {where}: bulky: for whole files only, without part, count, rows or equations_of")
        for other in source.equations_of:
            if other not in [*config.splits, "demonstrations"] or other == where.removeprefix("splits."):
                raise UserError(f"{path}: {where}: equations_of: {other!r} is no other split of this task")
        for other in source.followed_by:
            own = config.splits.get(other)
            if own is None or where == f"splits.{other}" or own.followed_by or own.generator or own.bulky:
                raise UserError(
                    f"{path}: {where}: followed_by: {other!r} is no other split of this task with rows of its own"
                )
        if source.followed_by and (source.generator or source.bulky):
            raise UserError(f"{path}: {where}: followed_by: not for generated rows and not for bulky files; remove it")
        if source.part is not None and not (len(source.part) == 2 and 0 <= source.part[0] < source.part[1] <= 1):
            raise UserError(f"{path}: {where}: part: two shares between 0 and 1, the first smaller (got {source.part})")


def _check_fields(config: TaskConfig, source: Source, path: Path, where: str) -> None:
    """Raise UserError for a field that the format does not read, and for several columns of any but the question."""
    row_format = format_of(config, source)
    given = [("fields", config.fields)] if source.format is None else []
    for place, fields in [*given, (f"{where}: fields", source.fields)]:
        for name, column in fields.items():
            if name not in row_format.field_names:
                fault = closest(name, row_format.field_names) if row_format.field_names else "remove `fields`"
                raise UserError(f"{path}: {place}: format {row_format.name} has no field {name!r}; {fault}")
            if isinstance(column, list) and name != "question":
                raise UserError(
                    f"{path}: {place}.{name}: must be one column; only `question` may have several (got {column})"
                )


def _check_family(config: TaskConfig, path: Path) -> None:
    """A family's requirements on its tasks, and keys that only other families use."""
    family = family_named(config.family)
    if (fault := grader_fault(config.chat.grader, family)) is not None:
        raise UserError(f"{path}: chat.grader: {fault}; leave it out")
    if (fault := family.fault(config)) is not None:
        raise UserError(f"{path}: {fault}")
    for other in family_names():
        for key in family_named(other).own_keys - family.own_keys:
            if getattr(config, key) != TaskConfig.model_fields[key].default:
                raise UserError(
                    f"{path}: {key}: is for tasks of family {other}, this one is of {config.family}; remove it"
                )
