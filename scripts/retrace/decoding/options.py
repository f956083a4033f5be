"""Options of decoding algorithms."""

from typing import Annotated, Literal

from pydantic import Field

from retrace.sections import SPEED_ONLY, BatchSize, Count, Section, Share


class Exactness(Section):
    """Whether decoding on a CPU is batch-invariant."""

    exact: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="on a CPU, whether answers are the same to the last bit for every batch size and number of shards, "
        "which takes more time; never: as on a GPU, where near ties can change with batch size and shards; auto: always for "
        "models with at most 200 million parameters, never for larger ones",
    )


class Decoding(Exactness):
    """Options shared by all decoders."""

    max_new_tokens: Count = 256
    batch_size: BatchSize = Field(
        default=64,
        description="sequences decoded together, or auto: as many as the device's memory holds; does not change the output",
        json_schema_extra=SPEED_ONLY,
    )
    calculator: bool = True


class Greedy(Decoding):
    """Greedy decoding."""


class SelfConsistency(Decoding):
    """Majority vote over the answers of several samples."""

    samples: Count = Field(default=40, description="40 for FLAN-T5, 20 for LLaMA (GRACE p. 6)")
    temperature: float = Field(default=0.7, gt=0)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)


class Guided(Decoding):
    """Stepwise decoding guided by a discriminator. GRACE section 3.3; beta 0 is the language model alone."""

    beta: Share | Literal["choose"] = Field(
        default="choose", description="weight of the discriminator; choose: selected on the development split"
    )
    candidates: Count = Field(default=20, description="number of candidate steps (J in the paper)")
    step_sampling: Literal["top_p", "top_k", "random", "beam"] = "top_p"
    top_p: float = Field(default=0.95, gt=0, le=1)
    top_k: int = Field(default=50, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    max_steps: Count = 8
    max_step_tokens: Count = Field(default=60, description="maximum length of a step in tokens")
    selection: Literal["greedy", "sample"] = "greedy"
    normalize_scores: bool = Field(default=True, description="softmax over the candidates' discriminator scores")
    samples: Count = Field(default=1, description="guided solutions per question; with more than one, majority vote")
    forced_tokens: Literal["auto", "model", "zero"] = Field(
        default="auto",
        description="log-probability of forced calculator tokens in a step's score. model: the model's own, as in the "
        "official code; zero: as if certain; auto: zero if the generator was trained with the calculator's results masked "
        "and so cannot know them, otherwise model. No effect with step_sampling beam",
    )
    official: bool = Field(
        default=False,
        description="give the discriminator the same input as the official code: the generator's own token ids after the "
        "question, and padding after shorter candidates",
    )


Keep = Literal["auto", "always", "never"]
KEPT_BY_DEFAULT = 2000  # questions


class KeptGuided(Guided):
    """Stepwise decoding guided by a discriminator. GRACE section 3.3; beta 0 is the language model alone."""

    keep_candidates: Keep = Field(
        default="auto",
        description="write all candidates of each step next to the predictions; auto: for splits of up to "
        f"{KEPT_BY_DEFAULT:,} questions; does not change the predictions",
        json_schema_extra=SPEED_ONLY,
    )

    def for_split(self, questions: int) -> "KeptGuided":
        """The options with `always` or `never` in place of `auto`. questions: the number of questions in the whole split."""
        keep = questions <= KEPT_BY_DEFAULT if self.keep_candidates == "auto" else self.keep_candidates == "always"
        return self.model_copy(update={"keep_candidates": "always" if keep else "never"})


class Stepwise(Guided):
    """Stepwise decoding by the language model alone: the control for the discriminator."""

    beta: Annotated[float, Field(ge=0, le=0)] = Field(default=0.0, description="always 0")  # type: ignore[assignment]


class GuidedVote(Guided):
    """Several guided solutions and a majority vote over their answers."""

    samples: Count = Field(default=40, description="the same number as for self-consistency")


class Majority(SelfConsistency):
    """Majority vote over samples, as in LaTRO's evaluation (maj@8)."""

    samples: Count = Field(default=8, description="LaTRO section 5.1")
    temperature: float = Field(default=1.0, gt=0, description="LaTRO section 5.1")


class FewShot(Greedy):
    """Greedy decoding with worked examples in the prompt."""

    demonstrations: Count = Field(default=8, description="worked examples in the prompt")


class FewShotMajority(Majority):
    """Majority vote over samples, with worked examples in the prompt."""

    demonstrations: Count = Field(default=8, description="worked examples in the prompt")


class Beam(Decoding):
    """Beam search; the best beam counts."""

    beams: Annotated[int, Field(ge=2)] = 5
    length_penalty: float = 1.0
