"""Configuration sections of Learn-to-Reason (arXiv 2310.13332): exam, teacher, feedback and training.

Defaults are from the authors' README and code where these specify a value; config/presets/paper.yaml names the source.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from retrace.decoding.options import Decoding
from retrace.sections import SPEED_ONLY, Count, Section, Share
from retrace.training.options import AnsweringTraining


class Exam(Decoding):
    """The student answers its training questions (decode.py exam)."""

    samples: Count = Field(default=4, description="answers per question")
    temperature: float = Field(default=1.0, gt=0)
    top_k: int = Field(
        default=50, ge=0, description="0: off; 50 is the default of the library that the authors' code samples with"
    )
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_new_tokens: Count = 128
    max_questions: int = Field(default=-1, ge=-1, description="number of training questions, from the start; -1: all")


class Teacher(Section):
    """The teacher that writes rationales, and how it is asked (ask_teacher.py)."""

    kind: Literal["openai", "local", "replay", "oracle"] = Field(
        default="openai",
        description="openai: any server with the chat-completions interface; local: a model of config/models in this "
        "process; replay: recorded responses; oracle: the reference solution of tasks that have one",
    )
    solutions: Literal["reference", "nearest"] = Field(
        default="reference",
        description="what the oracle writes. reference: the task's own solution, whatever the mistake was; nearest: of the "
        "reference and its additions and subtractions in every other order, the solution nearest to the student's mistake, "
        "or any of them where it is shown no mistake",
    )
    model: str = Field(
        default="", description="the model's name on the server, or, if `kind` is local, a model of config/models"
    )
    base_url: str = Field(
        default="https://api.openai.com/v1", description="address of the server, without a key (see key_variable)"
    )
    key_variable: str = Field(
        default="OPENAI_API_KEY",
        description="environment variable that holds the key; your own server may not need one",
        json_schema_extra=SPEED_ONLY,
    )
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: Count = Field(
        default=512,
        description="maximum length of a response; if a model's thinking uses all of it before an answer, the request is "
        "repeated with 4 and then 16 times as many",
    )
    length_option: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="the server's name for the limit on a response"
    )
    concurrency: Count = Field(
        default=8,
        description="concurrent requests, or rows that a local model decodes together",
        json_schema_extra=SPEED_ONLY,
    )
    timeout_seconds: float = Field(
        default=120.0,
        gt=0,
        description="timeout for a complete response of max_tokens; a higher limit on the response raises it in proportion",
        json_schema_extra=SPEED_ONLY,
    )
    attempts: Count = Field(
        default=8,
        description="maximum attempts for a request that the server does not answer",
        json_schema_extra=SPEED_ONLY,
    )
    max_wait_seconds: float = Field(
        default=60.0, ge=0, description="maximum pause between two attempts", json_schema_extra=SPEED_ONLY
    )
    recording: str = Field(
        default="teacher_responses",
        description="folder with all responses received so far; read before any request is sent, and by `replay`",
        json_schema_extra=SPEED_ONLY,
    )
    max_requests: int = Field(
        default=-1,
        ge=-1,
        description="maximum responses in the recording; -1: no limit",
        json_schema_extra=SPEED_ONLY,
    )
    max_total_tokens: int = Field(
        default=-1, ge=-1, description="maximum tokens in the recording; -1: no limit", json_schema_extra=SPEED_ONLY
    )
    max_cost: float = Field(
        default=-1,
        ge=-1,
        description="maximum cost of the recording, by the prices; -1: no limit",
        json_schema_extra=SPEED_ONLY,
    )
    input_price: float = Field(
        default=0.0, ge=0, description="price per million tokens of requests", json_schema_extra=SPEED_ONLY
    )
    output_price: float = Field(
        default=0.0, ge=0, description="price per million tokens of responses", json_schema_extra=SPEED_ONLY
    )

    @model_validator(mode="after")
    def _a_cost_has_prices(self) -> "Teacher":
        if self.max_cost >= 0 and not (self.input_price or self.output_price):
            raise ValueError("max_cost has no effect without prices; set input_price and output_price")
        return self


class Feedback(Section):
    """The questions that the teacher writes rationales for, and the rationales that are kept (ask_teacher.py)."""

    first_round: Literal["missed", "all"] = Field(
        default="missed",
        description="questions of round 1: those that the student missed, or all; later rounds: missed ones",
    )
    questions: Literal["missed", "random"] = Field(
        default="missed",
        description="random: as many random training questions as the round of learn_to_reason asks for missed ones",
    )
    show_mistakes: bool = Field(default=True, description="show the teacher the student's mistakes")
    max_questions: int = Field(default=-1, ge=-1, description="maximum questions per round, drawn at random; -1: all")
    per_question: Count = Field(default=1, description="number of mistakes per question that get a rationale")
    retries: int = Field(default=2, ge=0, description="how often a rationale is requested again after it was rejected")
    template: str = Field(default="feedback", description="config/prompts/NAME.yaml")
    demonstrations: int = Field(default=3, ge=0, description="worked solutions of the task that the teacher is shown")
    max_characters: Count = Field(default=4000, description="longer rationales are rejected")
    released_rationales: list[str] = Field(
        default=[], description="files in the authors' format, used instead of the teacher: for round 1, round 2, ..."
    )
    released_mistakes: list[str] = Field(
        default=[],
        description="files in the authors' format, used instead of the exam: before round 1, before round 2, ...",
    )


class Rounds(Section):
    """Number of rounds of a system's loop; its method is the last round."""

    learn_to_reason: Count = Field(
        default=3, description="rounds of exam, feedback and training; round 0 is the start of the loop"
    )
    as_one: bool = Field(
        default=False, description="train for as many steps in one round as all rounds of learn_to_reason together"
    )


class LearnToReasonTraining(AnsweringTraining):
    """Training on the teacher's rationales and the student's mistakes (train_learn_to_reason.py)."""

    form: Literal["steps", "learn_to_reason", "learn_to_reason_zero_shot"] = Field(
        default="steps",
        description="text form of exam, training and answers. learn_to_reason: the authors' form, `Question: Reasoning: "
        "Answer:` after their worked examples, without a calculator, for decoder-only models; ..._zero_shot: without the "
        "examples; steps: the task's own",
    )
    learning_rate: float = Field(default=7e-6, gt=0)
    batch_size: Count = Field(
        default=16, description="rationales of different questions per optimizer step, over all devices"
    )
    device_batch_size: Count = 2
    epochs: float = Field(default=10, gt=0)
    scheduler: Literal["linear", "cosine", "cosine_with_restarts", "constant", "constant_with_warmup"] = (
        "constant_with_warmup"
    )
    warmup_steps: int = Field(
        default=-1, ge=-1, description="steps in which the learning rate rises; -1: determined by warmup_ratio"
    )
    prompt_weight: Annotated[float, Field(ge=0)] = Field(
        default=0.1, description="weight of the question's tokens in the loss; an encoder-decoder does not predict them"
    )
    official_prompt_weight: bool = Field(
        default=False, description="give the rationale's first token the question's weight, as the authors' code does"
    )
    ratio: float = Field(default=0.5, ge=0, description="weight of the triplet loss; 0: none")
    margin: float = Field(default=1.0, ge=0)
    representation: Literal["last", "pooled"] = Field(
        default="last", description="representation of a rationale: the last token's hidden state, or the mean of all"
    )
    end_token: bool = Field(
        default=False,
        description="include the token that ends a rationale in its representation, as the authors' code does",
    )
    merge_losses: bool = Field(
        default=True,
        description="compute both losses in one pass; otherwise in two passes before the optimizer step, which needs less "
        "memory",
    )
    max_positives: Count = Field(default=10, description="correct rationales per question to draw the positive from")
    max_negatives: Count = Field(default=4, description="mistakes per question to draw the negative from")
    contrast_length: Count = Field(default=192, description="number of tokens of a rationale that are contrasted")
    official_mistakes: bool = Field(
        default=False,
        description="append the correct final answer to a mistake's own, as the authors' code does (in its own form)",
    )
    own_positives: bool = Field(default=False, description="let the student's own correct answers be positives, too")
    sample_as_positive: bool = Field(
        default=False,
        description="use the learned rationale as its own positive if there is no other correct one; if false, it is not "
        "contrasted, as in the authors' code",
    )
    accumulate: bool = Field(default=False, description="learn the rationales of the earlier rounds again")
    mask_calculator: bool = Field(
        default=False, description="leave results that the calculator fills in out of the loss"
    )
    rationale_share: Share = Field(
        default=0.05,
        description="share of the questions with rationales that is held out to measure the development loss, if the "
        "development split has no worked solutions",
    )
    max_grad_norm: float = Field(default=1.0, ge=0, description="limit on the gradient norm; 0: none")
    validation_is_test: bool = Field(
        default=False, description="choose the checkpoint on the test split, as the authors' code does"
    )


class StepJudging(Section):
    """Judging the steps of solutions by the word of the teacher (judge_steps.py). GRACE, table 2."""

    questions: Count = Field(default=500, description="the first so many test questions")
    template: str = Field(default="judge", description="config/prompts/NAME.yaml")
