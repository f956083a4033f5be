"""What a round of Learn-to-Reason is estimated to take, against hand-computed values."""

from pathlib import Path

import pytest

from retrace.planning.jobs import Job
from retrace.planning.work import Work, work_of
from unit.planned_jobs import sizes_of


def learning_jobs(**options: str) -> tuple[Job, Job, Job, Job]:
    """Exam, teacher and training of one round, and what marks the exam."""
    wildcards = {"task": "gsm8k", "model": "gptj_6b", "seed": "0"}
    answers, marks, asks = "exam/train.jsonl", "exam/marks.jsonl", "round1/rationales.jsonl"
    given = {"samples": "2", "max-questions": "1000", "batch-size": "64"}
    exam = Job("decode", wildcards | {"decoder": "exam", "split": "train"}, given, output=[answers])
    marking = Job("mark_exam", wildcards, {}, input=[answers], output=[marks])
    rounds = wildcards | {"variant": "learn_to_reason", "round": "1"}
    asked = {
        "kind": "openai",
        "per-question": "2",
        "concurrency": "10",
        "max-questions": "-1",
        "samples": "2",
    } | options
    trained = {"batch-size": "16", "device-batch-size": "2", "epochs": "10", "max-steps": "-1", "ratio": "0.5"}
    teacher = Job("ask_teacher", rounds, asked, input=[marks], output=[asks])
    training = Job("train_learn_to_reason", rounds, trained | options, gpus=8, input=[asks])
    return exam, teacher, training, marking


def test_a_round_of_learn_to_reason_costs_what_its_mistakes_do(tmp_path: Path) -> None:
    def work(number: int, **options: str) -> Work:
        jobs = learning_jobs(**options)
        return work_of(jobs[number], sizes_of(jobs, tmp_path, response_seconds=4, wrong_share=0.5))

    # A thousand questions, two answers each: 750 have a mistake, a thousand mistakes in all; ten requests at once, 4 s each.
    assert work(1).seconds == pytest.approx(1 + 1000 * 4 / 10)
    assert work(1, **{"per-question": "1"}).seconds == pytest.approx(1 + 750 * 4 / 10)
    assert work(1, **{"max-questions": "75"}).seconds == pytest.approx(1 + 100 * 4 / 10)
    assert work(1, kind="oracle").seconds == 1
    assert work(1, kind="local").seconds > 1
    # Each rationale stands behind the question and four worked examples; ten epochs of a thousand in batches of 16.
    prompt = 70 + 4 * (70 + 120)
    assert work(2).tokens == pytest.approx(625 * 16 * (prompt + 3 * 120))
    assert work(2, ratio="0").tokens == pytest.approx(625 * 16 * (prompt + 120))
    assert work(2, repeat="3").tokens == pytest.approx(1875 * 16 * (prompt + 3 * 120))
    shown = 70 + 400  # the authors' own examples
    assert work(2, form="learn_to_reason").tokens == pytest.approx(625 * 16 * (shown + 3 * 120))
    assert work(0).tokens == 2000 * 120

    # Answers of the thousand development questions, 125 on each of eight devices, at each evaluation.
    def answering(evaluations: int, tokens: int, batch: int) -> float:
        words = {"evaluations": str(evaluations), "answer-tokens": str(tokens), "answer-batch-size": str(batch)}
        return work(2, keep="accuracy", **words).seconds - work(2, keep="accuracy", evaluations="0").seconds

    once = answering(1, 10, 125)
    assert once > 0
    assert answering(10, 10, 125) == pytest.approx(10 * once)
    assert answering(1, 20, 125) == pytest.approx(2 * once)
    assert answering(1, 10, 63) == pytest.approx(2 * once, rel=0.1)
