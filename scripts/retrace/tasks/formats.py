"""Raw rows of a task's sources -> examples in the one schema. Every fault names the file, the line and the mend."""

import random
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import golds, hub_data, steps
from retrace.tasks.base import Task
from retrace.tasks.families import generators, row_format
from retrace.tasks.family import Wanted
from retrace.tasks.options import Source, WorkedExamples
from retrace.tasks.raw_rows import Row, rows_of
from retrace.tasks.row_formats import Fields, Raw, RowFormat
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS, used_together
from retrace.yaml_files import closest

_EQUATION = re.compile(r"<<[^<>]*>>")


def read_split(task: Task, split: str, mirror: str | None = None, limit: int | None = None) -> list[Example]:
    """The examples of one split, in the order of their source; at most the first `limit`.

    Raises UserError for an unknown or empty split, a malformed row, a missing field, an answer without a final value,
    or an id or a question that stands there twice.
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

    No question of these stands in another split of the same system: the generator sees to it, or they are left out.
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
    """How many questions of `split` stand in each other split too (read from files; generators never repeat them).

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
    if base.hub:
        path = origin = f"{base.hub}@{base.revision}"
        everything = list(hub_data.rows(base, base_name, mirror))
    else:
        path, origin = locate(task.path, f"splits.{base_name}", base, mirror)
        everything = list(rows_of(path, _format(task, base).layout, base.skip_faulty))
    if base.rows is not None and len(everything) != base.rows:
        raise UserError(
            f"{path}: holds {len(everything)} rows, {base.rows} are expected (splits.{base_name} of {task.path}); "
            "replace the file"
        )
    rows = _part(_unrepeated(task, base, base_name, everything), source, base)
    if base.equations_of:
        rows = [(number, _with_equations(row, task, base, mirror)) for number, row in rows]
    examples = list(_examples(task, base, base_name, split, origin, rows))
    return examples[: source.count] if source.count else examples


def _with_equations(row: Row, task: Task, base: Source, mirror: str | None) -> Row:
    """The row with the annotated equations of the same question in other splits as its steps."""
    where, values = row
    solutions = _solutions(task, tuple(base.equations_of), mirror)
    question = " ".join(str(values.get("question", "")).split())
    if question not in solutions:
        raise UserError(f"{where}: question {question[:60]!r} stands in none of {', '.join(base.equations_of)}")
    return where, {**values, "answer": solutions[question]}


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
    """The rows of a large file whose questions stand in no other split of the same system."""
    taken = {
        _asked(example)
        for other, given in task.config.splits.items()
        if other != split and not given.bulky and not given.generator and used_together(task.config, (split, other))
        for example in read_split(task, other, mirror)
    }
    path, origin = locate(task.path, f"splits.{split}", source, mirror)
    left_out = 0
    rows = enumerate(rows_of(path, _format(task, source).layout, source.skip_faulty), start=1)
    for example in _examples(task, source, split, split, origin, rows):
        if _asked(example) in taken:
            left_out += 1
        else:
            yield example
    if left_out:
        print(f"note: {left_out} rows of {split} ask questions of other splits and were left out", file=sys.stderr)


def locate(yaml: Path, where: str, source: Source | WorkedExamples, mirror: str | None) -> tuple[Path, str]:
    """The local file of a source that stands in `yaml` under `where`, and what is said about where it came from."""
    if source.url:
        from retrace.machine.download import fetch

        return fetch(source.url, source.sha256, mirror), source.url
    path = Path(source.file or "")
    beside = yaml.parent / path
    if not path.is_file() and beside.is_file():
        return beside, str(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file ({where} of {yaml}; relative to the working folder, or to that YAML's)")
    return path, str(path)


def _unrepeated(task: Task, base: Source, split: str, rows: list[Row]) -> list[Row]:
    """The rows without those whose question stands further up, where the task says that there are some."""
    if task.config.repeats_left_out == 0:
        return rows
    asked: set[str] = set()
    kept = []
    for where, row in rows:
        question = " ".join(_raw(task, base, where, row).question.split())
        if question not in asked:
            kept.append((where, row))
        asked.add(question)
    again = len(rows) - len(kept)
    if again > task.config.repeats_left_out:
        raise UserError(
            f"{task.path}: splits.{split}: {again} questions stand in the file again, `repeats_left_out` says "
            f"{task.config.repeats_left_out}; check the file, or raise `repeats_left_out`"
        )
    return kept


def _part(rows: list[Row], source: Source, base: Source) -> list[tuple[int, Row]]:
    """The numbered rows (from 1) that belong to `source`: a share of a seeded shuffle, in the file's order."""
    numbered = list(enumerate(rows, start=1))
    if source.part is None:
        return numbered
    order = list(range(len(rows)))
    # The seed is the base's, so that a split and what is held out of it are shares of one and the same shuffle.
    generator = random.Random(f"held out {base.seed}")
    order.sort(key=lambda _: generator.random())
    first, last = (round(share * len(rows)) for share in source.part)
    return [numbered[index] for index in sorted(order[first:last])]


# ---------------------------------------------------------------- from a row to an example


def _format(task: Task, base: Source) -> RowFormat:
    return row_format(base.format or task.config.format)


def _raw(task: Task, base: Source, where: str, row: dict[str, Any]) -> Raw:
    fields = Fields(base.question_fields or [task.config.question_field], base.answer_field or task.config.answer_field)
    return _format(task, base).read(where, row, fields)


def _examples(
    task: Task, base: Source, name: str, split: str, origin: str, rows: Iterable[tuple[int, Row]]
) -> Iterator[Example]:
    """The examples of numbered rows. Where faulty rows are skipped, so are answers that cannot be read; they are counted."""
    faults: list[golds.FaultyAnswer] = []
    for number, row in rows:
        try:
            yield _example(task, base, name, number, split, origin, row)
        except golds.FaultyAnswer as fault:
            if not base.skip_faulty:
                raise
            faults.append(fault)
    if faults:
        print(f"note: {len(faults)} rows with faulty answers were left out (first: {faults[0]})", file=sys.stderr)


def _example(task: Task, base: Source, name: str, number: int, split: str, origin: str, located: Row) -> Example:
    where, row = located
    raw = _raw(task, base, where, row)
    if raw.final is None:
        written = _format(task, base).as_written
        body, final = _body_and_final(task, where, raw.solution, written)
        line = _as_written(raw.solution, final) if written else f"{steps.MARKER} {final}"
        answer, parts, identifier = (
            f"{body}\n{line}".lstrip(),
            task.family.steps_of(body, task.delimiter),
            row.get("ID"),
        )
    elif steps.MARKER in "".join(raw):
        raise UserError(f"{where}: holds {steps.MARKER!r}, which separates solutions from answers here; reword it")
    else:
        final = task.family.stated_final(where, raw.final)
        answer, parts, identifier = f"{raw.solution}\n{steps.MARKER} {final}", [], None
    task.family.check_row(where, raw.question, final)
    identifier = row.get("id", identifier)
    return Example(
        id=str(identifier) if isinstance(identifier, str | int) else f"{name}-{number:05d}",
        question=raw.question,  # white space and all; what shall not depend on it removes it
        answer=answer,
        steps=parts,
        final_answer=final,
        split=split,
        source=origin,
    )


def _body_and_final(task: Task, where: str, solution: str, as_written: bool) -> tuple[str, str]:
    """A solution and its final answer; as it is written in the data of implicit chain of thought, digits may stand apart."""
    digits = golds.one_by_one(solution) if as_written and solution.count(steps.MARKER) == 1 else None
    return (steps.body_of(solution).strip(), digits) if digits else task.family.body_and_final(where, solution)


def _as_written(answer: str, final: str) -> str:
    """The answer with its marker as the authors of implicit chain of thought read it: without commas, else as it is.

    Their reading takes the first digits; an answer that goes on behind them, 1/2, is written as its value.
    """
    tail = answer.partition(steps.MARKER)[2].rstrip().replace(",", "")
    return steps.MARKER + (tail if golds.read_over(tail, final) else f" {final}")


def _asked(example: Example) -> str:
    """A question by which equal ones are told, whatever their white space."""
    return " ".join(example.question.split())


def _refuse_twins(task: Task, split: str, examples: list[Example], repeats: bool) -> None:
    known: dict[str, Example] = {}
    asked: dict[str, Example] = {}
    for example in examples:
        if example.id in known:
            raise UserError(f"{task.path}: splits.{split}: id {example.id!r} stands there twice; ids must differ")
        twin = asked.get(_asked(example))
        if twin is not None and not repeats:
            raise UserError(
                f"{task.path}: splits.{split}: {twin.id} and {example.id} ask the same question "
                f"({example.question[:60]!r}); remove one"
            )
        known[example.id] = asked[_asked(example)] = example
