"""Small questions and predictions for the tests of evaluation and report."""

from collections.abc import Sequence
from pathlib import Path

from retrace.evaluation.predictions import write_predictions
from retrace.machine.storage import write_jsonl
from retrace.schemas import Example, Prediction, Sample

CONFIG = Path(__file__).resolve().parents[2] / "config"


def examples(count: int, split: str = "test") -> list[Example]:
    return [
        Example(
            id=f"q{i}",
            question=f"Question {i}?",
            answer=f"work #### {i}",
            steps=["work"],
            final_answer=str(i),
            split=split,
            source="https://example.org/data@1",
        )
        for i in range(count)
    ]


def sample(answer: str | None, correct: bool) -> Sample:
    return Sample(text="t", answer=answer, correct=correct, correct_strict=correct, tokens=7, logprob=-1.0)


def prediction(example: Example, correct: bool | Sequence[bool], seconds: float = 0.5) -> Prediction:
    """One sample for each of `correct`; the first counts. Wrong ones answer nothing."""
    flags = [correct] if isinstance(correct, bool) else list(correct)
    samples = [sample(example.final_answer if flag else None, flag) for flag in flags]
    return Prediction(
        example_id=example.id,
        question=example.question,
        gold=example.answer,
        samples=samples,
        chosen=0,
        answer=samples[0].answer,
        correct=flags[0],
        correct_strict=flags[0],
        tokens=7 * len(flags),
        seconds=seconds,
    )


def write_task(
    root: Path, outcomes: Sequence[Sequence[bool]], method: str = "greedy", task: str = "gsm8k"
) -> list[Path]:
    """The data of `task` and one predictions file a seed under `root`, by the path grammar."""
    rows = examples(len(outcomes[0]))
    write_jsonl(root / "data" / task / "test.jsonl", rows)
    paths = []
    for seed, run in enumerate(outcomes):
        path = root / task / "tiny_t5" / f"seed{seed}" / "sft" / method / "test.jsonl"
        write_predictions(path, [prediction(row, bool(flag)) for row, flag in zip(rows, run, strict=True)])
        paths.append(path)
    return paths
