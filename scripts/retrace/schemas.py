"""Rows of the JSONL files that rules exchange. Unknown keys are rejected."""

import operator
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid")


# Round log-probabilities and scores: the last digits of float32 are noise.
LogProbability = Annotated[float, AfterValidator(lambda value: round(value, 4))]
Score = Annotated[float, AfterValidator(lambda value: round(value, 6))]


class Example(Row):
    """One question of a task with its reference solution, in the schema shared by all tasks."""

    id: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str = Field(description="reference solution as text; ends with '#### final answer'")
    steps: list[str] = Field(description="steps of the reference, without delimiter; empty where none is known")
    final_answer: str = Field(description="what stands after '####'")
    split: str
    source: str = Field(description="URL at a pinned commit, or generator name with its seed")


class Trajectory(Row):
    """One sampled worked solution."""

    example_id: str
    text: str
    steps: list[str]
    final_answer: str | None
    correct: bool = Field(description="by the paper's own grader")
    tokens: int = Field(ge=0, description="generated tokens, end token included")
    logprob: LogProbability = Field(
        description="sum of the log-probabilities of the generated free tokens, natural log"
    )
    sampling_seed: int


class SamplingCounts(Row):
    """What one sampling job wanted and found: one line per job in NAME.counts.jsonl next to its trajectories."""

    questions: int = Field(ge=0)
    passes: int = Field(ge=0, description="over the questions of the block that took longest")
    drawn: int = Field(ge=0, description="solutions, repeated texts included")
    drawn_correct: int = Field(ge=0)
    unique: int = Field(ge=0, description="different texts, each once a question")
    unique_incorrect: int = Field(ge=0, description="wrong solutions found")
    wanted_incorrect: int = Field(ge=0, description="wrong solutions to find")
    reached: bool = Field(description="every block of questions has its share")


def counts_together(parts: Sequence[SamplingCounts]) -> SamplingCounts:
    """Sum of the counts of all sampling jobs."""
    sums = ("questions", "drawn", "drawn_correct", "unique", "unique_incorrect", "wanted_incorrect")
    return SamplingCounts(
        **{name: sum(getattr(part, name) for part in parts) for name in sums},
        passes=max((part.passes for part in parts), default=0),
        reached=all(part.reached for part in parts),
    )


class Alignment(Row):
    """A wrong trajectory aligned with the reference; both lists have equal length, '_' is a gap."""

    example_id: str
    trajectory: list[str]
    reference: list[str]
    cost: float


class Pair(Row):
    """A training triple for the step discriminator: after `prefix`, `positive` is right and `negative` is wrong."""

    example_id: str
    split: Literal["train", "dev"] = Field(description="pairs of one question are all in one of the two")
    question: str
    prefix: list[str] = Field(description="steps before, without delimiter")
    positive: str
    negative: str


class MarkedAnswer(Row):
    """One of the answers that a student gave to a training question in the exam, each text once per question."""

    example_id: str
    text: str
    answer: str | None = Field(
        description="as read by retrace.systems.learn_to_reason.cleanup; None where there is none"
    )
    correct: bool


class TeacherRationale(Row):
    """What the teacher wrote for one question, or for one mistake of a question, after all attempts."""

    example_id: str
    mistake: str | None = Field(description="the mistake that the teacher saw; None where it saw none")
    accepted: bool = Field(description="its final answer is right, and nothing else speaks against it")
    verdict: str = Field(description="accepted, or why it was rejected")
    text: str = Field(description="the last response, as it came")
    responses: int = Field(ge=0, description="how many responses were judged, the last one included")
    teacher: str = Field(description="the model that answered, or oracle, or the released file")
    time: str | None = Field(default=None, description="when the response came, UTC")


class Sample(Row):
    """One generated solution of a prediction."""

    text: str
    answer: str | None
    correct: bool
    correct_strict: bool
    tokens: int
    logprob: LogProbability
    score: Score | None = Field(
        default=None, description="verifier score, or mean discriminator score, where one exists"
    )


class Candidate(Row):
    """One of the steps that guided decoding chose among."""

    text: str
    tokens: int = Field(ge=1, description="generated tokens, those that the calculator wrote included")
    language_model: Score = Field(description="the language model's score in the mixture")
    discriminator: Score | None = Field(description="the discriminator's raw score; None where it was not asked")
    mixed: Score = Field(description="the score that decides")
    calculated: list[tuple[int, int]] = Field(
        default=[], exclude_if=operator.not_, description="start and end in `text` of what the calculator wrote"
    )


class CandidateStep(Row):
    """All candidates for one step of a solution."""

    chosen: int = Field(ge=0, description="index of the candidate that was taken")
    candidates: list[Candidate] = Field(min_length=1)


class QuestionCandidates(Row):
    """What guided decoding saw for one question: a line of NAME.candidates.jsonl.gz next to its predictions."""

    version: Literal[1] = Field(default=1, description="of this schema")
    example_id: str
    prediction: str = Field(description="digest of the prediction that these steps led to")
    samples: list[list[CandidateStep]] = Field(description="the steps of each sample of the prediction")


class Prediction(Row):
    """Output of one decoder for one question; deterministic for a seed."""

    example_id: str
    question: str
    gold: str
    samples: list[Sample] = Field(min_length=1)
    chosen: int = Field(ge=0, description="index of the sample whose answer counts")
    answer: str | None
    correct: bool = Field(description="by the paper's own grader")
    correct_strict: bool = Field(description="by the strict grader")
    tokens: int = Field(description="generated tokens over all samples and, for guided decoding, all candidates")
    seconds: float | None = Field(
        default=None,
        exclude=True,
        description="share of this question in its batch's wall time; not in the file, see `Timing`",
    )
    candidates: QuestionCandidates | None = Field(
        default=None, exclude=True, description="all candidate steps; not in the file, see `QuestionCandidates`"
    )


class Timing(Row):
    """Duration of one decoding job: one line per job in NAME.timing.jsonl next to its predictions."""

    questions: int = Field(ge=0)
    seconds: float = Field(ge=0, description="wall time of decoding, loading of models left out")


class Preference(Row):
    """Two sampled solutions of one question for preference optimization: `chosen` is right, `rejected` is wrong."""

    example_id: str
    split: Literal["train", "dev"] = Field(description="pairs of one question are all in one of the two")
    question: str
    chosen: str
    rejected: str
    similarity: float = Field(description="Jaccard similarity of their tokens")


class PseudoLabel(Row):
    """A solution to fine-tune on: the reference, or a right one that a model wrote."""

    example_id: str
    question: str
    solution: str
    origin: Literal["gold", "sampled"]
