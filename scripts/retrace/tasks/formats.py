"""Raw rows of a task's sources -> examples in the one schema. Every fault names the file, the line and the mend."""

import os
import random
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from retrace.errors import UserError
from retrace.machine.storage import refusal
from retrace.schemas import Example
from retrace.tasks import hub_data, steps
from retrace.tasks.base import Task
from retrace.tasks.data_files import kind_of
from retrace.tasks.examples import examples_of, raw_of
from retrace.tasks.families import format_of, generators
from retrace.tasks.family import Wanted
from retrace.tasks.options import Source, WorkedExamples
from retrace.tasks.raw_rows import Row, with_fields
from retrace.tasks.row_files import rows_of
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS, used_together
from retrace.yaml_files import closest

_EQUATION = re.compile(r"<<[^<>]*>>")


def read_split(task: Task, split: str, mirror: str | None = None, limit: int | None = None) -> list[Example]:
    """The examples of one split, in the order of their source; at most the first `limit`.

    Raises UserError for an unknown or empty split, a malformed row, a missing field, an answer without a final value,
    or an id or a question that is given twice.
    """
    source = _source(task, split)
    examples = list(_generated(task, split, source, mirror)) if source.generator else _read(task, split, source, mirror)
    if not examples:
        place = f" ({source.file or source.url})" if source.file or source.url else ""
        raise UserError(f"{task.path}: splits.{split}{place}: holds no rows; check the file, `part` and `count`")
    examples = _without(task, split, source, examples)
    _refuse_twins(task, split, examples, _base(task, split, source)[1].repeats)
    return examples[:limit] if limit is not None and limit >= 0 else examples


def _without(task: Task, split: str, source: Source, examples: list[Example]) -> list[Example]:
    """The examples but those that `without` names. Raises UserError for a name that none of them has."""
    if unknown := set(source.without) - {example.id for example in examples}:
        raise UserError(f"{task.path}: splits.{split}.without: no question has the id {min(unknown)!r}; mend the list")
    return [example for example in examples if example.id not in source.without]


def streamed(task: Task, split: str, mirror: str | None = None) -> Iterator[Example] | None:
    """The rows of a split one at a time, where it can be so large that a list of them would fill the memory; else None.

    None of these questions occurs in another split of the same system: the generator ensures this, or they are left out.
    """
    source = _source(task, split)
    if source.bulky:
        return _bulky(task, split, source, mirror)
    made = generators().get(source.generator or "")
    return _generated(task, split, source, mirror) if made and made.streams else None


def read_demonstrations(task: Task, mirror: str | None = None) -> list[Example]:
    """The worked examples for few-shot prompts: the task's own, or else those of its training split."""
    return read_split(task, DEMONSTRATIONS if task.config.demonstrations else "train", mirror)


def demonstrations(task: Task, n: int, mirror: str | None = None) -> list[Example]:
    """The first `n` worked examples for few-shot prompts, never of dev or test. Raises UserError where there are fewer."""
    if n == 0:
        return []
    known = _demonstrations(task, mirror)
    if len(known) < n:
        raise UserError(f"{task.path}: {len(known)} demonstrations exist, {n} were asked for")
    return known[:n]


@lru_cache(maxsize=4)
def _demonstrations(task: Task, mirror: str | None) -> list[Example]:
    return read_demonstrations(task, mirror)


def shared_questions(task: Task, split: str, examples: Iterable[Example], mirror: str | None = None) -> dict[str, int]:
    """How many questions of `split` also occur in each other split (read from files; generators never repeat them).

    Worked demonstrations may be training questions, as in the papers' data, but none of dev or test; those for sampling
    may be development questions, but none of train or test.
    """
    questions = {_asked(example) for example in examples}
    allowed = [{"train", DEMONSTRATIONS}, {"dev", SAMPLING_DEMONSTRATIONS}, {DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS}]
    shared = {}
    for other, source in [*task.config.splits.items(), (DEMONSTRATIONS, task.config.demonstrations)]:
        pair = {split, other}
        if other == split or source is None or source.generator or pair in allowed:
            continue
        if other in _source(task, split).followed_by or split in source.followed_by:
            continue
        if source.bulky or not used_together(task.config, pair):
            continue
        count = len(questions & {_asked(example) for example in read_split(task, other, mirror)})
        if count:
            shared[other] = count
    return shared


def _source(task: Task, split: str) -> Source:
    apart = {DEMONSTRATIONS: task.config.demonstrations, SAMPLING_DEMONSTRATIONS: task.config.sampling_demonstrations}
    if (found := apart.get(split)) is not None:
        return found
    if split not in task.config.splits:
        raise UserError(f"{task.path}: no split {split!r}; this task has {', '.join(task.config.splits)}")
    return task.config.splits[split]


def _generated(task: Task, split: str, source: Source, mirror: str | None) -> Iterator[Example]:
    known = generators()
    if source.generator not in known:
        fault = f"unknown {source.generator!r}; {closest(str(source.generator), known)}"
        raise UserError(f"{task.path}: splits.{split}: generator: {fault}")

    def taken() -> frozenset[str]:
        return frozenset(
            _asked(example)
            for other, given in task.config.splits.items()
            if not given.generator and not given.bulky
            for example in read_split(task, other, mirror)
        )

    count, seed, settings = source.count or 0, source.seed, source.settings
    return known[source.generator].make(Wanted(task.config, str(task.path), split, count, seed, settings, taken))


def _base(task: Task, split: str, source: Source) -> tuple[str, Source]:
    """The split whose source `source` takes its rows from: another one's (`part_of`), or its own."""
    return (source.part_of, task.config.splits[source.part_of]) if source.part_of else (split, source)


def _read(task: Task, split: str, source: Source, mirror: str | None) -> list[Example]:
    base_name, base = _base(task, split, source)
    if base.bulky:
        return list(_bulky(task, split, source, mirror))
    if base.generator:
        raise UserError(f"{task.path}: splits.{split}: part_of: {base_name} is generated; generate {split} as well")
    path, origin, found = _rows(task, base_name, base, mirror)
    everything = list(found)
    if base.rows is not None and len(everything) != base.rows:
        raise UserError(
            f"{path}: holds {len(everything)} rows, {base.rows} are expected (splits.{base_name} of {task.path}); "
            "replace the file"
        )
    rows = _part(list(_numbered(_unrepeated(task, base, base_name, everything), base)), source, base)
    if base.equations_of:
        rows = [_with_equations(row, task, base, mirror) for row in rows]
    examples = list(examples_of(task, base, base_name, split, origin, rows))
    examples = examples[: source.count] if source.count else examples
    for name in source.followed_by:
        examples += [row.model_copy(update={"split": split}) for row in read_split(task, name, mirror)]
    return examples


def _rows(task: Task, split: str, base: Source, mirror: str | None) -> tuple[str, str, Iterator[Row]]:
    """The path of a source, how examples name their origin, and the rows with the fields of their format."""
    layout = format_of(task.config, base).layout
    if base.hub:
        path = origin = f"{base.hub}@{base.revision}"
        rows = hub_data.rows(base, split, mirror, layout)
    else:
        place, origin = locate(task.path, f"splits.{split}", base, mirror)
        for key in ("subset", "hub_split"):
            if getattr(base, key) is not None and not place.is_dir() and (key == "subset" or kind_of(place) != "json"):
                raise UserError(
                    f"{task.path}: splits.{split}.{key}: only for a folder, and {place} is a file; remove it"
                )
        path, rows = str(place), rows_of(place, layout, base.skip_faulty, base.hub_split or split, base.subset)
    given = base.fields if base.format else {**task.config.fields, **base.fields}
    own = format_of(task.config, base).fields
    return path, origin, (with_fields(row, own, given) for row in rows)


def _numbered(rows: Iterable[Row], base: Source) -> Iterator[Row]:
    """The rows with the numbers for their ids: their places in the user's file, whatever is left out of it.

    Published files are counted without the rows that are left out, because existing results refer to these ids.
    """
    for number, row in enumerate(rows, start=1):
        yield row._replace(number=number) if base.url else row


def _with_equations(row: Row, task: Task, base: Source, mirror: str | None) -> Row:
    """The row with the annotated equations of the same question in other splits as its steps."""
    solutions = _solutions(task, tuple(base.equations_of), mirror)
    question = " ".join(str(row.values.get("question", "")).split())
    if question not in solutions:
        raise UserError(f"{row.where}: question {question[:60]!r} stands in none of {', '.join(base.equations_of)}")
    return row._replace(values={**row.values, "answer": solutions[question]})


@lru_cache(maxsize=4)
def _solutions(task: Task, splits: tuple[str, ...], mirror: str | None) -> dict[str, str]:
    """For each question of these splits its equations and answer on one line: `<<3+4=7>> <<7*2=14>> #### 14`."""
    return {
        _asked(example): " ".join(
            [*_EQUATION.findall(" ".join(example.steps)), f"{steps.MARKER} {example.final_answer}"]
        )
        for split in splits
        for example in read_split(task, split, mirror)
    }


def _bulky(task: Task, split: str, source: Source, mirror: str | None) -> Iterator[Example]:
    """The rows of a large file whose questions do not occur in any other split of the same system."""
    taken = {
        _asked(example)
        for other, given in task.config.splits.items()
        if other != split and not given.bulky and not given.generator and used_together(task.config, (split, other))
        for example in read_split(task, other, mirror)
    }
    path, origin, rows = _rows(task, split, source, mirror)
    left_out = 0
    known: set[str] = set()
    for example in examples_of(task, source, split, split, origin, _numbered(rows, source)):
        if example.id in known:
            raise UserError(f"{path}: id {example.id!r} is used twice; ids must differ")
        known.add(example.id)
        if _asked(example) in taken:
            left_out += 1
        else:
            yield example
    if not known:
        raise UserError(f"{task.path}: splits.{split} ({path}): holds no rows; check the file")
    if left_out:
        print(f"note: {left_out} rows of {split} ask questions of other splits and were left out", file=sys.stderr)


def locate(yaml: Path, where: str, source: Source | WorkedExamples, mirror: str | None) -> tuple[Path, str]:
    """The local file of the source that `yaml` has under `where`, and a description of its origin."""
    if source.url:
        from retrace.machine.download import fetch

        return fetch(source.url, source.sha256, mirror), source.url
    path = Path(source.file or "")
    fault = "no such file"
    if str(source.file).startswith("~"):
        fault = "no such file; write the whole path, because ~ is not expanded"
    elif str(source.file).startswith(("http://", "https://")):
        fault = "not a path; write a URL as `url`, with the `sha256` of its file"
    for found in (path, yaml.parent / path):
        try:
            if found.is_file() or (found.is_dir() and source.file and isinstance(source, Source)):
                return found, str(path)
            if found.is_symlink():
                fault = f"a link to {os.readlink(found)}, which does not exist; correct the link"
            elif found.exists():
                fault = "not a regular file (a folder, a pipe or a device)"
        except OSError as error:  # a name that is too long, a folder that may not be looked into
            fault = f"cannot be read: {refusal(error, path.parent) or error.strerror or error}"
    raise UserError(f"{path}: {fault} ({where} of {yaml}; relative to the working folder, or to that YAML's)")


def _unrepeated(task: Task, base: Source, split: str, rows: list[Row]) -> list[Row]:
    """The rows without those whose question stands further up, where the task says that there are some."""
    if task.config.repeats_left_out == 0:
        return rows
    asked: set[str] = set()
    kept = []
    for row in rows:
        question = " ".join(raw_of(task, base, row).question.split())
        if question not in asked:
            kept.append(row)
        asked.add(question)
    again = len(rows) - len(kept)
    if again > task.config.repeats_left_out:
        raise UserError(
            f"{task.path}: splits.{split}: {again} questions stand in the file again, `repeats_left_out` says "
            f"{task.config.repeats_left_out}; check the file, or raise `repeats_left_out`"
        )
    return kept


def _part(rows: list[Row], source: Source, base: Source) -> list[Row]:
    """The rows that belong to `source`: a share of a seeded shuffle, in the file's order."""
    if source.part is None:
        return rows
    order = list(range(len(rows)))
    # The seed is the base's, so that a split and what is held out of it are shares of one and the same shuffle.
    generator = random.Random(f"held out {base.seed}")
    order.sort(key=lambda _: generator.random())
    first, last = (round(share * len(rows)) for share in source.part)
    return [rows[index] for index in sorted(order[first:last])]


def _asked(example: Example) -> str:
    """A question by which equal ones are told, whatever their white space."""
    return " ".join(example.question.split())


def _refuse_twins(task: Task, split: str, examples: list[Example], repeats: bool) -> None:
    known: dict[str, Example] = {}
    asked: dict[str, Example] = {}
    for example in examples:
        if example.id in known:
            raise UserError(f"{task.path}: splits.{split}: id {example.id!r} is used twice; ids must differ")
        twin = asked.get(_asked(example))
        if twin is not None and not repeats:
            raise UserError(
                f"{task.path}: splits.{split}: {twin.id} and {example.id} ask the same question "
                f"({example.question[:60]!r}); remove one"
            )
        known[example.id] = asked[_asked(example)] = example
