"""Development accuracy and reward, and detection of a falling accuracy at a rising reward.

A model can make the reference answer more likely without answering better: with rationales that suit any answer, or by
learning only the form of the answers. The reward then rises while the accuracy falls, and training must stop.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from retrace.machine.storage import write_text

Z = 1.959964  # standard errors in a 95 % interval


@dataclass(frozen=True)
class Evaluation:
    """One measurement on the development questions, by greedy decoding."""

    step: int
    correct: list[bool]  # one per question
    reward: float  # mean log p(answer | question, own rationale)
    rationale_length: float  # tokens, mean
    finished: float  # share of rationales with a stop
    strict: float = 0.0  # accuracy by the strict grader

    @property
    def accuracy(self) -> float:
        return sum(self.correct) / len(self.correct)


@dataclass(frozen=True)
class Difference:
    """Mean difference between two accuracies on the same questions, with its 95 % interval."""

    value: float
    low: float
    high: float


def paired(now: Sequence[bool], before: Sequence[bool]) -> Difference:
    """Accuracy now minus accuracy before, question by question (normal approximation)."""
    gaps = np.asarray(now, dtype=float) - np.asarray(before, dtype=float)
    mean = float(gaps.mean())
    margin = Z * float(gaps.std(ddof=1)) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.inf
    return Difference(mean, mean - margin, mean + margin)


def best_of(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The evaluation with the highest accuracy; ties go to the first."""
    return max(evaluations, key=lambda one: (one.accuracy, -one.step))


def declined(evaluations: Sequence[Evaluation]) -> str | None:
    """Why training should stop: the last accuracy is significantly below the best at a higher reward. None if not."""
    *earlier, now = evaluations
    if not earlier:
        return None
    best = best_of(earlier)
    fall = paired(now.correct, best.correct)
    if fall.high >= 0 or now.reward <= best.reward:
        return None
    return (
        f"stopped at step {now.step}: the reward rose from {best.reward:.3f} to {now.reward:.3f} while the accuracy fell "
        f"from {100 * best.accuracy:.1f} % (step {best.step}) to {100 * now.accuracy:.1f} % "
        f"({100 * fall.value:+.1f} points, 95 % interval {100 * fall.low:+.1f} to {100 * fall.high:+.1f}); the checkpoint "
        f"of step {best.step} is kept. Lower learning_rate or sft_penalty, or raise kl_coef"
    )


class Evaluations:
    """The evaluations of a training, stored in its state folder so that a resumed training decides identically."""

    def __init__(self, state: str | Path) -> None:
        self.path = Path(state) / "evaluations.jsonl"
        self.rows: list[Evaluation] = []

    def resume(self, step: int) -> None:
        """Load the evaluations up to this step."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        rows = [Evaluation(**json.loads(line)) for line in lines]
        self.rows = [row for row in rows if row.step <= step]

    def add(self, evaluation: Evaluation, write: bool) -> None:
        """Append an evaluation. write: whether this process writes the file."""
        self.rows = [*(row for row in self.rows if row.step < evaluation.step), evaluation]
        if write:
            write_text(self.path, "".join(json.dumps(asdict(row)) + "\n" for row in self.rows))

    def report(self, choose_on: str, stopped: str | None) -> dict[str, object]:
        """How the checkpoint was chosen, for the result."""
        start, best = self.rows[0], best_of(self.rows)
        gain = paired(best.correct, start.correct)
        return {
            "chosen_on": choose_on,
            "questions": len(start.correct),
            "start": _shown(start),
            "chosen": _shown(best),
            "last": _shown(self.rows[-1]),
            "gain_over_start": asdict(gain) if math.isfinite(gain.low) else {"value": gain.value},
            "stopped": stopped,
        }


def _shown(evaluation: Evaluation) -> dict[str, float]:
    return {
        "step": evaluation.step,
        "accuracy": evaluation.accuracy,
        "accuracy_strict": evaluation.strict,
        "reward": evaluation.reward,
        "rationale_length": evaluation.rationale_length,
        "finished": evaluation.finished,
    }
