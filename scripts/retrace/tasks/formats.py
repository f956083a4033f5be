"""Raw rows of a task's sources -> examples in the one schema. Every fault names the file, the line and the mend."""

import random
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import answer_rows, hub_data, multiplication, question_files, short_answers, steps, symbolic
from retrace.tasks.options import Source, WorkedExamples
from retrace.tasks.raw_rows import Row, field_of, joined, number_of, rows_of
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS, used_together

if TYPE_CHECKING:
    from retrace.tasks.base import Task

_NUMBER = re.compile(r"-?\$?-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
_WORD = re.compile(r"[a-zA-Z]+")
_EQUATION = re.compile(r"<<[^<>]*>>")
_COMMENT = re.compile(r"\s*#[^#\n]*$", re.MULTILINE)


def read_split(task: "Task", split: str, mirror: str | None = None, limit: int | None = None) -> list[Example]:
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


def _without(task: "Task", split: str, source: Source, examples: list[Example]) -> list[Example]:
    """The examples but those that `without` names. Raises UserError for a name that none of them has."""
    if unknown := set(source.without) - {example.id for example in examples}:
        raise UserError(f"{task.path}: splits.{split}.without: no question has the id {min(unknown)!r}; mend the list")
    return [example for example in examples if example.id not in source.without]


def streamed(task: "Task", split: str, mirror: str | None = None) -> Iterator[Example] | None:
    """The rows of a split one at a time, where it can be so large that a list of them would fill the memory; else None.

    No question of these stands in another split of the same system: the generator sees to it, or they are left out.
    """
    source = _source(task, split)
    if source.bulky:
        return _bulky(task, split, source, mirror)
    return _generated(task, split, source, mirror) if source.generator == "multiplication" else None


def read_demonstrations(task: "Task", mirror: str | None = None) -> list[Example]:
    """The worked examples for few-shot prompts: the task's own, or else those of its training split."""
    return read_split(task, DEMONSTRATIONS if task.config.demonstrations else "train", mirror)


def shared_questions(
    task: "Task", split: str, examples: Iterable[Example], mirror: str | None = None
) -> dict[str, int]:
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


def _source(task: "Task", split: str) -> Source:
    apart = {DEMONSTRATIONS: task.config.demonstrations, SAMPLING_DEMONSTRATIONS: task.config.sampling_demonstrations}
    if (found := apart.get(split)) is not None:
        return found
    if split not in task.config.splits:
        raise UserError(f"{task.path}: no split {split!r}; this task has {', '.join(task.config.splits)}")
    return task.config.splits[split]


def _generated(task: "Task", split: str, source: Source, mirror: str | None) -> Iterator[Example]:
    count = source.count or 0
    if source.generator == "arithmetic":
        from retrace.tasks import arithmetic

        return arithmetic.generate(split, count, source.seed, **source.settings)
    taken = frozenset(
        _asked(example)
        for other, given in task.config.splits.items()
        if not given.generator and not given.bulky
        for example in read_split(task, other, mirror)
    )
    if source.generator == "multiplication":
        if task.config.digits is None:
            raise UserError(f"{task.path}: digits: the generator needs to know how many a factor has")
        from retrace.tasks import multiplication_pairs

        return multiplication_pairs.generate(split, count, source.seed, task.config.digits, taken, **source.settings)
    if source.generator in symbolic.GENERATORS:
        generate = symbolic.GENERATORS[source.generator]
        return generate(split, count, source.seed, exclude=taken, **source.settings)
    known = ", ".join(["arithmetic", "multiplication", *symbolic.GENERATORS])
    raise UserError(f"{task.path}: splits.{split}: generator: unknown {source.generator!r}; known: {known}")


def _base(task: "Task", split: str, source: Source) -> tuple[str, Source]:
    """The split whose source `source` takes its rows from: another one's (`part_of`), or its own."""
    return (source.part_of, task.config.splits[source.part_of]) if source.part_of else (split, source)


def _read(task: "Task", split: str, source: Source, mirror: str | None) -> list[Example]:
    base_name, base = _base(task, split, source)
    if base.bulky:
        return list(_bulky(task, split, source, mirror))
    if base.generator:
        raise UserError(f"{task.path}: splits.{split}: part_of: {base_name} is generated; generate {split} as well")
    layout = base.format or task.config.format
    if base.hub:
        path = origin = f"{base.hub}@{base.revision}"
        everything = list(hub_data.rows(base, base_name, mirror))
    else:
        path, origin = locate(task.path, f"splits.{base_name}", base, mirror)
        everything = list(rows_of(path, layout, base.skip_faulty))
    if base.rows is not None and len(everything) != base.rows:
        raise UserError(
            f"{path}: holds {len(everything)} rows, {base.rows} are expected (splits.{base_name} of {task.path}); "
            "replace the file"
        )
    rows = _part(_unrepeated(task, base, base_name, everything), source, base)
    if base.equations_of:
        rows = [(number, _with_equations(row, task, base, mirror)) for number, row in rows]
    examples = [_example(task, base, base_name, number, split, origin, row) for number, row in rows]
    return examples[: source.count] if source.count else examples


def _with_equations(row: Row, task: "Task", base: Source, mirror: str | None) -> Row:
    """The row with the annotated equations of the same question in other splits as its steps."""
    where, values = row
    solutions = _solutions(task, tuple(base.equations_of), mirror)
    question = " ".join(str(values.get("question", "")).split())
    if question not in solutions:
        raise UserError(f"{where}: question {question[:60]!r} stands in none of {', '.join(base.equations_of)}")
    return where, {**values, "answer": solutions[question]}


@lru_cache(maxsize=4)
def _solutions(task: "Task", splits: tuple[str, ...], mirror: str | None) -> dict[str, str]:
    """For each question of these splits its equations and answer on one line: `<<3+4=7>> <<7*2=14>> #### 14`."""
    return {
        _asked(example): " ".join(
            [*_EQUATION.findall(" ".join(example.steps)), f"{steps.MARKER} {example.final_answer}"]
        )
        for split in splits
        for example in read_split(task, split, mirror)
    }


def _bulky(task: "Task", split: str, source: Source, mirror: str | None) -> Iterator[Example]:
    """The rows of a large file whose questions stand in no other split of the same system."""
    taken = {
        _asked(example)
        for other, given in task.config.splits.items()
        if other != split and not given.bulky and not given.generator and used_together(task.config, (split, other))
        for example in read_split(task, other, mirror)
    }
    path, origin = locate(task.path, f"splits.{split}", source, mirror)
    layout, left_out = source.format or task.config.format, 0
    for number, row in enumerate(rows_of(path, layout, source.skip_faulty), start=1):
        example = _example(task, source, split, number, split, origin, row)
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


def _unrepeated(task: "Task", base: Source, split: str, rows: list[Row]) -> list[Row]:
    """The rows without those whose question stands further up, where the task says that there are some."""
    if task.config.repeats_left_out == 0:
        return rows
    asked: set[str] = set()
    kept = []
    for where, row in rows:
        question = " ".join(_question_and_answer(task, base, where, row)[0].split())
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


def _example(task: "Task", base: Source, name: str, number: int, split: str, origin: str, located: Row) -> Example:
    where, row = located
    if (base.format or task.config.format) in answer_rows.READERS:
        return answer_rows.example(task, where, row, f"{name}-{number:05d}", split, origin)
    question, answer = _question_and_answer(task, base, where, row)
    body, final = _parse_answer(task, where, answer)
    lines = (base.format or task.config.format) == "lines"
    if task.config.digits is not None:
        multiplication.check_row(where, question, final, task.config.digits)
    identifier = row.get("id", row.get("ID"))
    return Example(
        id=str(identifier) if isinstance(identifier, str | int) else f"{name}-{number:05d}",
        question=question,  # white space and all; what shall not depend on it removes it
        answer=f"{body}\n{_marked(answer) if lines else f'{steps.MARKER} {final}'}".lstrip(),
        steps=_steps(task, body),
        final_answer=final,
        split=split,
        source=origin,
    )


def _question_and_answer(task: "Task", base: Source, where: str, row: dict[str, Any]) -> tuple[str, str]:
    layout = base.format or task.config.format
    if layout == "object_tracking":
        return _tracking(where, row)
    if layout in question_files.READERS:
        return question_files.READERS[layout](where, row)
    if layout == "lines":
        return row["question"], row["answer"]
    fields = base.question_fields or [task.config.question_field]
    question = joined([field_of(where, row, field) for field in fields])
    field = base.answer_field or task.config.answer_field
    if layout == "question_number":
        return question, f"{steps.MARKER} {number_of(where, row, field)}"
    answer = field_of(where, row, field)
    return question, f"{steps.MARKER} {answer.strip()}" if layout == "coin_flip" else answer


def _tracking(where: str, row: dict[str, Any]) -> tuple[str, str]:
    """BIG-bench's tracking of shuffled objects: the choice that scores 1, as one word."""
    question, scores = field_of(where, row, "input"), row.get("target_scores")
    right = [choice for choice, score in scores.items() if score == 1] if isinstance(scores, dict) else []
    if len(right) != 1:
        raise UserError(f"{where}: target_scores must give 1 to exactly one choice (got {str(scores)[:80]})")
    return question, f"{steps.MARKER} {symbolic.one_word(right[0])}"


def _parse_answer(task: "Task", where: str, answer: str) -> tuple[str, str]:
    """The solution without its last line, and the final answer as a plain number or word."""
    body, marker, tail = answer.partition(steps.MARKER)
    if task.config.family == "multiplication":
        return body.strip(), tail.strip()
    words = task.config.family in ("symbolic", *short_answers.FAMILIES)
    pattern = _WORD if words else _NUMBER
    found = pattern.search(tail)
    if not marker or found is None:
        kind = "word" if words else "number"
        raise UserError(
            f"{where}: the answer has no final value; end it with '{steps.MARKER} {kind}' (it ends {answer[-40:]!r})"
        )
    final = found.group()
    if not words:
        final = final.replace(",", "").replace("$", "")
    return body.strip(), final


def _marked(answer: str) -> str:
    """The answer with its marker as the authors of implicit chain of thought read it: without commas, else as it is."""
    return steps.MARKER + answer.partition(steps.MARKER)[2].rstrip().replace(",", "")


def _asked(example: Example) -> str:
    """A question by which equal ones are told, whatever their white space."""
    return " ".join(example.question.split())


def _steps(task: "Task", body: str) -> list[str]:
    if task.config.family == "multiplication":
        return [part for part in body.split(multiplication.JOINT) if part.strip()]
    equations = _EQUATION.findall(body)
    if equations and " ".join(equations) == " ".join(body.split()):
        return equations
    if task.config.family == "programs":
        # Comments would swallow the rest of a program that is written on one line.
        body = _COMMENT.sub("", body)
    parts = steps.split_steps(body + "\n", task.delimiter)
    if len(parts) == 1 and task.config.family in ("word_problems", *short_answers.FAMILIES):
        # A solution on one line (MultiArith): its sentences are the steps, as GRACE's sampling script cuts references.
        parts = steps.split_sentences(parts[0])
    return parts


def _refuse_twins(task: "Task", split: str, examples: list[Example], repeats: bool) -> None:
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
