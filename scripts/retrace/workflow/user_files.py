"""Files of the user's that jobs read: data of tasks, folders of models, and what options name.

Jobs have them as inputs and their checksum among their params: what is edited, replaced or linked elsewhere is noticed,
whatever its date, and what was only touched is not.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from retrace.errors import UserError
from retrace.machine.checksums import Remembered
from retrace.models.hub import model_files
from retrace.models.options import ModelConfig
from retrace.tasks.formats import locate
from retrace.tasks.options import Source, TaskConfig, WorkedExamples
from retrace.tasks.row_files import files_of
from retrace.workflow.definitions import digest, examples_apart, sources_beside
from retrace.workflow.named_models import NO_PLACES

REMEMBERED = Path(".snakemake") / "retrace_checksums.json"


def of_split(task: TaskConfig, yaml: Path, split: str) -> list[Path]:
    """Files that the rows of a split, or the worked examples of that name, are made from."""
    source = task.splits.get(split) or examples_apart(task, split)
    if source is None:
        return []
    origin = task.splits[source.part_of] if source.part_of else source
    names = {id(source): split, **{id(known): name for name, known in task.splits.items()}}
    return _files(yaml, [origin, *sources_beside(task, split)], names)


def of_examples(task: TaskConfig, yaml: Path) -> list[Path]:
    """Files that Learn-to-Reason's worked examples come from."""
    return _files(yaml, [task.learn_to_reason] if task.learn_to_reason else [])


def of_model(model: ModelConfig) -> list[Path]:
    """Files of a model's own folder that are used."""
    return [] if model.file is None else of_folder(model.file)


def of_folder(folder: str | Path) -> list[Path]:
    """Files of a model's folder that are used; the missing description if it is no such folder."""
    return model_files(folder) or [Path(folder) / "config.json"]


def of_names(names: Iterable[str | None], known: Iterable[str]) -> list[Path]:
    """Files behind options that name a folder or a file, apart from what is `known` or means something else."""
    known = {*known, *NO_PLACES}
    return [file for name in names if name and name not in known for file in _behind(Path(name))]


def _behind(path: Path) -> Iterator[Path]:
    if os.path.isfile(path):
        yield path
    elif os.path.isdir(path):
        # Those of a sentence encoder's modules lie one level down.
        yield from sorted(file for file in (*path.glob("*"), *path.glob("*/*")) if file.is_file())


def _files(
    yaml: Path, sources: Iterable[Source | WorkedExamples], names: Mapping[int, str] | None = None
) -> list[Path]:
    """The files of sources; of a folder those of the source's split, whose name `names` gives by the source's identity."""
    found = []
    for source in sources:
        if source.file is not None:
            try:
                path = locate(yaml, "", source, None)[0]
                if isinstance(source, Source) and names is not None:
                    found += files_of(path, source.hub_split or names.get(id(source), ""), source.subset)
                else:
                    found.append(path)
            except UserError:  # said by the job, or by Snakemake, which misses it
                found.append(Path(source.file))
    return found


def digest_of(files: Iterable[Path]) -> str:
    """Checksum of the contents of files, with the names that they have among each other; missing ones count as such."""
    files = list(files)
    sums = Remembered(REMEMBERED).of(file for file in files if file.is_file())
    return digest([[file.name, sums.get(file)] for file in files])
