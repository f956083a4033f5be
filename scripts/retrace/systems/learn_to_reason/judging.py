"""Right steps by the word of a judge, who is asked through the teacher's interface (GRACE, table 2)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from retrace.errors import UserError
from retrace.evaluation.intervals import estimate, wilson
from retrace.evaluation.predictions import Run
from retrace.schemas import Example, Row
from retrace.sections import Section
from retrace.systems.learn_to_reason.teachers.base import Request, Teacher
from retrace.systems.learn_to_reason.teachers.prompts import filled
from retrace.tasks.base import Task
from retrace.yaml_files import read_yaml, validated

_SAID = re.compile(r"first wrong step\W{0,6}(none|\d+)", re.IGNORECASE)
_PLACE = re.compile(r"\{([^{}\s]*)\}")
_PLACES = {"question", "reference", "steps"}


class JudgePrompt(Section):
    """config/prompts/judge.yaml: what the judge is told, with {places} that are filled in."""

    system: str
    ask: str


class Judged(Row):
    """A share with its 95 % interval, and each seed's."""

    value: float = Field(ge=0, le=1)
    low: float
    high: float
    per_seed: list[float]


class JudgedSteps(Row):
    """results/{task}/{model}/{method}_judged.json."""

    kind: Literal["judged_steps"] = "judged_steps"
    task: str
    model: str
    method: str
    preset: str
    judge: str = Field(description="the teacher that judged")
    seeds: list[int]
    n: int = Field(description="questions")
    prefix_correctness: Judged = Field(description="steps up to and with which all are right, as a share of all; mean")
    trace_error: Judged | None = Field(
        description="solutions with the right answer and a wrong step, of those with the "
        "right answer; null: no answer is right"
    )
    unread: int = Field(description="solutions without a verdict that could be read; they are left out")


def load_prompt(path: str | Path) -> JudgePrompt:
    """Read the judge's prompt. Raises UserError naming the part and the place that is unknown, or missing."""
    prompt = validated(JudgePrompt, read_yaml(path), str(path))
    used = set(_PLACE.findall(prompt.system + prompt.ask))
    if unknown := sorted(used - _PLACES):
        raise UserError(
            f"{path}: {{{unknown[0]}}} is unknown; it may hold {', '.join(f'{{{one}}}' for one in _PLACES)}"
        )
    if missing := sorted({"question", "steps"} - set(_PLACE.findall(prompt.ask))):
        raise UserError(f"{path}: ask: must hold {{{missing[0]}}}")
    return prompt


def first_wrong(reply: str, steps: int) -> int | None:
    """The number of the first wrong step by the reply's last word on it, `steps` + 1 for none; None: not to be read."""
    said = _SAID.findall(reply)
    if not said:
        return None
    number = steps + 1 if said[-1].lower() == "none" else int(said[-1])
    return number if 1 <= number <= steps + 1 else None


def judge(
    task: Task, teacher: Teacher, prompt: JudgePrompt, runs: Sequence[Run], examples: Sequence[Example]
) -> tuple[np.ndarray, np.ndarray, int]:
    """(share of right steps, whether a wrong one is there) [seeds, questions], nan where unread, and the number unread.

    A solution without steps has neither a right one nor a wrong one.
    """
    right = np.zeros((len(runs), len(examples)))
    wrong = np.zeros((len(runs), len(examples)))
    asked: list[tuple[int, int, int, Request]] = []
    for seed, run in enumerate(runs):
        for place, (row, example) in enumerate(zip(run.rows, examples, strict=True)):
            steps = [step.strip() for step in task.split_steps(row.samples[row.chosen].text) if step.strip()]
            if steps:
                numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
                words = {"question": example.question, "reference": example.answer, "steps": numbered}
                messages = [("system", prompt.system.strip())] if prompt.system.strip() else []
                request = Request(example.id, (*messages, ("user", filled(prompt.ask, **words))))
                asked.append((seed, place, len(steps), request))
    unread = 0
    # Seeds may have written the same: it is asked about once.
    different = list(dict.fromkeys(request for *_, request in asked))
    replies = dict(zip(different, teacher.answer(different), strict=True))
    for seed, place, count, request in asked:
        reply = replies[request]
        number = first_wrong(reply.without_thinking().text, count) if reply else None
        if number is None:
            unread += 1
            right[seed, place] = wrong[seed, place] = np.nan
        else:
            right[seed, place] = (number - 1) / count
            wrong[seed, place] = number <= count
    return right, wrong, unread


def prefix_correctness(right: np.ndarray) -> Judged:
    """The mean share of right steps, over questions that were read under every seed."""
    kept = right[:, ~np.isnan(right).any(axis=0)]
    if not kept.size:
        raise UserError(
            "no verdict of the judge could be read for any question; look at its answers in teacher.recording"
        )
    found = estimate(kept)
    return Judged(value=found.value, low=found.low, high=found.high, per_seed=[float(row.mean()) for row in kept])


def trace_error(wrong: np.ndarray, correct: np.ndarray) -> Judged | None:
    """The share of right answers behind a wrong step, of the answers that are right and were read."""
    counted = correct.astype(bool) & ~np.isnan(wrong)
    if not counted.any(axis=1).all():
        return None
    shares = [float(row[kept].mean()) for row, kept in zip(wrong, counted, strict=True)]
    value = sum(shares) / len(shares)
    answers = int(counted.sum(axis=1).mean())
    low, high = wilson(value * answers, answers)
    return Judged(value=value, low=low, high=high, per_seed=shares)
