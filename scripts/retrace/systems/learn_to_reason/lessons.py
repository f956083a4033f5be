"""Training on a teacher's rationales and the student's own mistakes (arXiv 2310.13332), round by round.

A lesson is a question with rationales to learn, correct rationales to draw a positive from and mistakes to draw a negative
from. All visits of all lessons are planned before training: no batch has the same question twice, and a killed run
resumes with the same visits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from retrace.errors import UserError
from retrace.prompting.prompting import Prompting
from retrace.schemas import Example, MarkedAnswer
from retrace.systems.learn_to_reason.contrastive import (
    ReflectionRow,
    collate_reflection,
    reflection_counts,
    reflection_sums,
    share_questions,
)
from retrace.systems.learn_to_reason.form import LearnToReasonTask
from retrace.systems.learn_to_reason.options import LearnToReasonTraining
from retrace.systems.learn_to_reason.reasoning import program_lines, reasoning_lines
from retrace.tasks import steps
from retrace.tasks.base import Task
from retrace.training import parallel
from retrace.training.accuracy import GreedyAccuracy
from retrace.training.arguments import steps_of
from retrace.training.data import Row, collate_generator, length_of, report_long, solution_rows
from retrace.training.sft import DevelopmentLoss, start_token
from retrace.training.trainer import Evaluation, train, world_size


def in_task_form(task: Task, text: str, example: Example) -> str:
    """A rationale in the form that students write, with the reference's final answer.

    In the plain form, `step | step | #### answer`, the reasoning is split into steps at line ends, or into sentences if it
    is on one line. Statements of the answer and all Markdown and LaTeX markup are left out.
    """
    if isinstance(task, LearnToReasonTask):
        return task.written(text, example)
    lines = reasoning_lines(text) if task.family.prose else program_lines(text)
    parts = task.split_steps("\n".join(lines))
    if len(parts) == 1 and task.family.prose:
        parts = steps.split_sentences(parts[0])
    return task.join_steps(parts, example.final_answer)


@dataclass
class Lesson:
    """The training material for one question: texts in the form that the student writes."""

    example: Example
    samples: list[str] = field(default_factory=list)
    positives: list[str] = field(default_factory=list)
    negatives: list[str] = field(default_factory=list)


def make_lessons(
    task: Task,
    examples: Sequence[Example],
    rationales: Sequence[tuple[str, str]],
    marks: Sequence[MarkedAnswer],
    options: LearnToReasonTraining,
) -> list[Lesson]:
    """Lessons for the questions with rationales, in the order of the data.

    Args:
        task: The task.
        examples: The training questions.
        rationales: (example id, text) of accepted rationales.
        marks: Graded answers of the exam.
        options: Options of the training.

    Raises:
        UserError: If a rationale's question is not in the data.
    """
    lessons = {example.id: Lesson(example) for example in examples}
    for name, text in rationales:
        if name not in lessons:
            raise UserError(f"rationales of question {name!r}, which is not in the training data; make them again")
        lesson = lessons[name]
        sample = in_task_form(task, text, lesson.example)
        if sample not in lesson.samples:
            lesson.samples.append(sample)
    for one in marks:
        lesson = lessons.get(one.example_id)
        if lesson is not None and not one.correct and one.text.strip():
            official = options.official_mistakes and isinstance(task, LearnToReasonTask)
            lesson.negatives.append(task.official_mistake(one.text, lesson.example) if official else one.text)
        elif lesson is not None and one.correct and options.own_positives:
            lesson.positives.append(one.text)
    kept = [lesson for lesson in lessons.values() if lesson.samples]
    for lesson in kept:
        lesson.positives = list(dict.fromkeys([*lesson.samples, *lesson.positives]))[: options.max_positives]
        lesson.negatives = lesson.negatives[: options.max_negatives]
    return kept


@dataclass(frozen=True)
class Encoded:
    """A lesson as token ids."""

    samples: list[Row]
    positives: list[list[int]]
    negatives: list[list[int]]


def encode_lessons(
    lessons: Sequence[Lesson], prompting: Prompting, options: LearnToReasonTraining, limit: int
) -> list[Encoded]:
    """Token rows of the lessons. Lessons whose samples all exceed `limit` tokens are left out, counted and named."""
    found, dropped = [], []
    for lesson, rows in zip(lessons, _rows_of(lessons, prompting), strict=True):
        samples, positives, negatives = rows
        if not options.mask_calculator:
            samples = [Row(row.ids, row.target, [False] * len(row.target)) for row in samples]
        short = [row for row in samples if length_of(row, prompting.family) <= limit]
        dropped += [lesson.example.id] * (len(samples) - len(short))
        if short:
            cut = options.contrast_length
            contrasts = ([row.target[:cut] for row in side] for side in (positives, negatives))
            found.append(Encoded(short, *contrasts))
    report_long(dropped, sum(len(lesson.samples) for lesson in lessons), limit, "rationales", "left out")
    return found


def _rows_of(lessons: Sequence[Lesson], prompting: Prompting) -> Iterator[tuple[list[Row], list[Row], list[Row]]]:
    """Rows of samples, positives and negatives, one triple per lesson; all texts are tokenized together."""
    texts = [(*lesson.samples, *lesson.positives, *lesson.negatives) for lesson in lessons]
    asked = [lesson.example.question for lesson, mine in zip(lessons, texts, strict=True) for _ in mine]
    rows = iter(solution_rows(prompting, asked, [text for mine in texts for text in mine]))
    for lesson in lessons:
        sides = (lesson.samples, lesson.positives, lesson.negatives)
        yield tuple([next(rows) for _ in side] for side in sides)  # type: ignore[misc]


# ---------------------------------------------------------------- visits


def visit_order(
    questions: Sequence[int], lengths: Sequence[int], batch_size: int, steps: int, seed: int, window: int = 50
) -> np.ndarray:
    """Order of visits: sample numbers, IntArray [steps * batch_size], without two samples of a question in a batch.

    Samples come in shuffled epochs. Within windows of `window` batches, samples of similar length share a batch; a sample
    whose question is already in the batch waits for the next batch.

    Args:
        questions: Question of each sample.
        lengths: Length of each sample.
        batch_size: Samples per step.
        steps: Number of steps.
        seed: Seed of the shuffling.
        window: Batches per window.

    Raises:
        UserError: If there are fewer questions than samples in a batch.
    """
    if len(set(questions)) < batch_size:
        raise UserError(f"{len(set(questions))} questions cannot fill a batch of {batch_size} different ones")
    generator = np.random.default_rng(seed)
    stream = _epochs(len(questions), generator)
    waiting: list[int] = []
    order: list[list[int]] = []
    while len(order) < steps:
        turns = min(window, steps - len(order))
        pool = waiting + [next(stream) for _ in range(turns * batch_size - len(waiting))]
        pool, waiting = pool[: turns * batch_size], pool[turns * batch_size :]
        pool.sort(key=lambda sample: lengths[sample])
        batches = []
        for _ in range(turns):
            batch, pool = _pick(pool, questions, batch_size)
            while len(batch) < batch_size:
                sample = next(stream)
                taken = {questions[other] for other in batch}
                (waiting if questions[sample] in taken else batch).append(sample)
            batches.append(batch)
        waiting = pool + waiting
        order += [batches[place] for place in generator.permutation(turns)]
    return np.array(order, dtype=np.int64).reshape(-1)


def _epochs(count: int, generator: np.random.Generator) -> Iterator[int]:
    while True:
        yield from generator.permutation(count).tolist()


def _pick(pool: list[int], questions: Sequence[int], batch_size: int) -> tuple[list[int], list[int]]:
    """The first samples of `pool` with different questions, at most a batch of them, and the rest."""
    batch: list[int] = []
    rest: list[int] = []
    taken: set[int] = set()
    for place, sample in enumerate(pool):
        if len(batch) == batch_size:
            return batch, rest + pool[place:]
        if questions[sample] in taken:
            rest.append(sample)
        else:
            batch.append(sample)
            taken.add(questions[sample])
    return batch, rest


def plan_visits(
    lessons: Sequence[Encoded], options: LearnToReasonTraining, steps: int, seed: int
) -> list[ReflectionRow]:
    """All visits of the training in order, each with the positive and the negative drawn for it.

    The positive is another correct rationale of the question. If there is none, the sample is its own positive with
    `sample_as_positive`, and is not contrasted otherwise. Without `merge_losses` each row occurs twice, see
    `in_two_passes`.
    """
    samples = [(number, row) for number, lesson in enumerate(lessons) for row in lesson.samples]
    lengths = [row.length for _, row in samples]
    order = visit_order([number for number, _ in samples], lengths, options.batch_size, steps, seed)
    draw = np.random.default_rng([seed, 1])
    visits = []
    for place in order:
        number, sample = samples[place]
        lesson = lessons[number]
        itself = sample.target[: options.contrast_length]
        others = [ids for ids in lesson.positives if ids != itself]
        if not others and options.sample_as_positive:
            others = [itself]
        positive = others[draw.integers(len(others))] if others else []
        negative = lesson.negatives[draw.integers(len(lesson.negatives))] if lesson.negatives else []
        contrasted = positive and negative and options.ratio > 0
        visits.append(ReflectionRow(sample, positive if contrasted else [], negative if contrasted else []))
    return visits


def in_two_passes(visits: Sequence[ReflectionRow], options: LearnToReasonTraining, world: int) -> list[ReflectionRow]:
    """The visits with every group of rows that the devices hold at once learned in one pass and contrasted in the next.

    An optimizer step then has twice as many rows and passes; each loss is still divided by its own number of items.
    """
    together = parallel.accumulation_of(options, world)[0] * world
    passes = []
    for start in range(0, len(visits), together):
        rows = visits[start : start + together]
        passes += [ReflectionRow(row.sample, [], []) for row in rows]
        passes += [ReflectionRow(row.sample, row.positive, row.negative, learn=False) for row in rows]
    return passes


def fitting(options: LearnToReasonTraining, questions: int, world: int = 1) -> LearnToReasonTraining:
    """The options with a batch size that `questions` different questions can fill and `world` processes can share.

    A batch that is too large becomes the largest that fits. There must be at least `world` questions.
    """
    if options.batch_size <= questions:
        return options
    each = questions // world
    device = max(size for size in range(1, min(options.device_batch_size, each) + 1) if each % size == 0)
    return options.model_copy(update={"batch_size": each * world, "device_batch_size": device})


# ---------------------------------------------------------------- training


def hold_out(lessons: Sequence[Encoded], share: float, seed: int) -> tuple[list[Encoded], list[Row]]:
    """Lessons to train on, and rows of a held-out share of the lessons; at least one of each if there are two lessons."""
    if len(lessons) < 2 or share == 0:
        return list(lessons), []
    count = min(max(1, round(share * len(lessons))), len(lessons) - 1)
    held = set(np.random.default_rng([seed, 2]).permutation(len(lessons))[:count].tolist())
    rows = [row for number in sorted(held) for row in lessons[number].samples]
    return [lesson for number, lesson in enumerate(lessons) if number not in held], rows


def train_lessons(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    lessons: Sequence[Encoded],
    dev_rows: Sequence[Row],
    options: LearnToReasonTraining,
    seed: int,
    state: str | Path,
    repeat: int = 1,
    callbacks: Sequence[TrainerCallback] = (),
    accuracy: GreedyAccuracy | None = None,
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Train in place.

    With `keep: best` and development rows, the checkpoint with the lowest development loss is kept; with `keep: accuracy`,
    the one with the highest accuracy.

    Args:
        model: The student.
        tokenizer: The student's tokenizer.
        lessons: Lessons to train on.
        dev_rows: Rows to measure the development loss on.
        options: Options of the training.
        seed: Seed of all random choices.
        state: Folder for restarts, as in `retrace.training.trainer.train`.
        repeat: Factor of the number of steps of one round.
        callbacks: Further callbacks of the trainer.
        accuracy: Measures the accuracy on the development split.

    Returns:
        The curve, and counts of the training data.
    """
    options = fitting(options, len(lessons), world_size())
    samples = sum(len(lesson.samples) for lesson in lessons)
    visits = plan_visits(lessons, options, repeat * steps_of(options, samples), seed)
    start, pad_id = start_token(model), tokenizer.pad_token_id
    share_questions(model)
    weights = (1.0, options.ratio)
    longest = options.contrast_length - (not options.end_token)
    contrasted, batch_size = sum(row.contrasts for row in visits), options.batch_size
    taken = options
    if not options.merge_losses and options.ratio > 0:
        visits = in_two_passes(visits, options, world_size())
        device = parallel.accumulation_of(options, world_size())[0]
        taken = options.model_copy(update={"batch_size": 2 * batch_size, "device_batch_size": device})
    evaluation: Evaluation | None = accuracy if options.keep == "accuracy" else None
    if dev_rows and options.keep == "best":
        collate = partial(collate_generator, pad_id=pad_id, start_id=start)
        evaluation = DevelopmentLoss(dev_rows, collate, 2 * options.device_batch_size)

    def loss(network: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        sums = reflection_sums(network, batch, options.representation == "pooled", options.margin, longest)
        return sums * sums.new_tensor(weights)

    curve = train(
        model,
        visits,
        [],
        partial(
            collate_reflection,
            pad_id=pad_id,
            prompt_weight=options.prompt_weight,
            start_id=start,
            official=options.official_prompt_weight,
            ends=options.end_token,
        ),
        loss,
        reflection_counts,
        evaluation,
        taken,
        seed,
        state,
        best="accuracy" if options.keep == "accuracy" else "loss",
        callbacks=callbacks,
        order=np.arange(len(visits)),
    )
    for row in curve:  # an epoch is one visit of every rationale
        row["epoch"] = round(row["step"] * batch_size / samples, 4)
    return curve, {
        "questions": len(lessons),
        "rationales": samples,
        "questions_with_mistakes": sum(bool(lesson.negatives) for lesson in lessons),
        "development_rows": len(dev_rows),
        "batch_size": batch_size,
        "steps": len(visits) // taken.batch_size,
        "contrasted_visits": contrasted,
    }
