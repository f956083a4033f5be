"""The configuration's sections on Learn-to-Reason (arXiv 2310.13332): the exam, the teacher, its feedback, the training.

Defaults are those of the authors' README and code where these say something; config/presets/paper.yaml names the source.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from retrace.decoding.options import Decoding
from retrace.sections import SPEED_ONLY, Count, Section, Share
from retrace.training.options import AnsweringTraining


class Exam(Decoding):
    """The student answers its training questions (decode.py exam)."""

    samples: Count = Field(default=4, description="answers a question")
    temperature: float = Field(default=1.0, gt=0)
    top_k: int = Field(
        default=50, ge=0, description="0: off; 50 is the default of the library with which the authors' code samples"
    )
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_new_tokens: Count = 128
    max_questions: int = Field(default=-1, ge=-1, description="only the first so many training questions; -1: all")


class Teacher(Section):
    """Who writes rationales, and how it is asked (ask_teacher.py)."""

    kind: Literal["openai", "local", "replay", "oracle"] = Field(
        default="openai",
        description="openai: any server with the chat-completions interface; local: a model of config/models in this "
        "process; replay: recorded responses; oracle: the reference solution of tasks that have one",
    )
    model: str = Field(
        default="", description="the model's name on the server, or, where `kind` is local, a model of config/models"
    )
    base_url: str = Field(
        default="https://api.openai.com/v1", description="address of the server; may hold no key (see key_variable)"
    )
    key_variable: str = Field(
        default="OPENAI_API_KEY",
        description="environment variable with the key; a server of your own may need none",
        json_schema_extra=SPEED_ONLY,
    )
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: Count = Field(
        default=512,
        description="longest response; where a model's thinking takes all of it and no answer comes, it is asked again "
        "with 4 and with 16 times as many",
    )
    length_option: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="what the server calls the limit on a response"
    )
    concurrency: Count = Field(
        default=8,
        description="requests in flight at once, or rows that a local model decodes",
        json_schema_extra=SPEED_ONLY,
    )
    timeout_seconds: float = Field(
        default=120.0,
        gt=0,
        description="longest wait for a whole response of max_tokens; a longer response has as much more",
        json_schema_extra=SPEED_ONLY,
    )
    attempts: Count = Field(
        default=8,
        description="how often a request is sent that the server does not answer",
        json_schema_extra=SPEED_ONLY,
    )
    max_wait_seconds: float = Field(
        default=60.0, ge=0, description="longest pause between two attempts", json_schema_extra=SPEED_ONLY
    )
    recording: str = Field(
        default="teacher_responses",
        description="folder with every response ever paid for; read before any request is sent, and by `replay`",
        json_schema_extra=SPEED_ONLY,
    )
    max_requests: int = Field(
        default=-1,
        ge=-1,
        description="most responses in the recording; -1: no limit",
        json_schema_extra=SPEED_ONLY,
    )
    max_total_tokens: int = Field(
        default=-1, ge=-1, description="most tokens in the recording; -1: no limit", json_schema_extra=SPEED_ONLY
    )
    max_cost: float = Field(
        default=-1,
        ge=-1,
        description="most money in the recording, by the prices; -1: no limit",
        json_schema_extra=SPEED_ONLY,
    )
    input_price: float = Field(
        default=0.0, ge=0, description="price of a million tokens of requests", json_schema_extra=SPEED_ONLY
    )
    output_price: float = Field(
        default=0.0, ge=0, description="price of a million tokens of responses", json_schema_extra=SPEED_ONLY
    )

    @model_validator(mode="after")
    def _a_cost_has_prices(self) -> "Teacher":
        if self.max_cost >= 0 and not (self.input_price or self.output_price):
            raise ValueError("max_cost limits nothing without prices; set input_price and output_price")
        return self


class Feedback(Section):
    """For which questions the teacher writes, and which of its rationales are kept (ask_teacher.py)."""

    first_round: Literal["missed", "all"] = Field(
        default="missed", description="questions of round 1: those that the student missed, or all; later: missed ones"
    )
    questions: Literal["missed", "random"] = Field(
        default="missed",
        description="random: as many random training questions as the round of learn_to_reason asks for missed ones",
    )
    show_mistakes: bool = Field(default=True, description="show the teacher the student's mistakes")
    max_questions: int = Field(
        default=-1, ge=-1, description="at most so many questions a round, drawn at random; -1: all"
    )
    per_question: Count = Field(default=1, description="mistakes of a question that get a rationale each")
    retries: int = Field(default=2, ge=0, description="how often the teacher is asked again after a rejected rationale")
    template: str = Field(default="feedback", description="config/prompts/NAME.yaml")
    demonstrations: int = Field(default=3, ge=0, description="worked solutions of the task that the teacher is shown")
    max_characters: Count = Field(default=4000, description="longer rationales are rejected")
    released_rationales: list[str] = Field(
        default=[], description="files of the authors' format instead of the teacher: that of round 1, of round 2, ..."
    )
    released_mistakes: list[str] = Field(
        default=[],
        description="files of the authors' format instead of the exam: that before round 1, before round 2, ...",
    )


class Rounds(Section):
    """How often a system's loop goes round; the last round is what its method means."""

    learn_to_reason: Count = Field(default=3, description="rounds of exam, feedback and training; round 0 is the start")
    as_one: bool = Field(
        default=False, description="let a round's training have as many steps as all rounds of learn_to_reason together"
    )


class LearnToReasonTraining(AnsweringTraining):
    """Training on the teacher's rationales and the student's mistakes (train_learn_to_reason.py)."""

    form: Literal["steps", "learn_to_reason", "learn_to_reason_zero_shot"] = Field(
        default="steps",
        description="text form of exam, training and answers. learn_to_reason: the authors', `Question: Reasoning: "
        "Answer:` behind their worked examples, without a calculator, for decoder-only models; ..._zero_shot: without the "
        "examples; steps: the task's own",
    )
    learning_rate: float = Field(default=7e-6, gt=0)
    batch_size: Count = Field(
        default=16, description="rationales of different questions an optimizer step, over all devices"
    )
    device_batch_size: Count = 2
    epochs: float = Field(default=10, gt=0)
    scheduler: Literal["linear", "cosine", "cosine_with_restarts", "constant", "constant_with_warmup"] = (
        "constant_with_warmup"
    )
    warmup_steps: int = Field(
        default=-1, ge=-1, description="steps in which the learning rate rises; -1: as warmup_ratio says"
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
        default="last", description="of a rationale: the last token's hidden state, or the mean of all"
    )
    end_token: bool = Field(
        default=False,
        description="represent a rationale with the token that ends it, as the authors' code; otherwise without",
    )
    merge_losses: bool = Field(
        default=True,
        description="both losses in one pass; otherwise two passes, one for each, before the optimizer's step, which takes "
        "less memory",
    )
    max_positives: Count = Field(default=10, description="right rationales a question to draw the positive from")
    max_negatives: Count = Field(default=4, description="mistakes a question to draw the negative from")
    contrast_length: Count = Field(default=192, description="of a rationale so many tokens are contrasted")
    official_mistakes: bool = Field(
        default=False,
        description="put the right final answer behind a mistake's own, as the authors' code does (in its own form)",
    )
    own_positives: bool = Field(default=False, description="the student's own right answers may be positives, too")
    sample_as_positive: bool = Field(
        default=False,
        description="where there is no other right rationale, the one that is learned is its own positive; otherwise, as in "
        "the authors' code, it is not contrasted",
    )
    accumulate: bool = Field(default=False, description="learn the rationales of the earlier rounds again")
    mask_calculator: bool = Field(
        default=False, description="results that the calculator fills in are masked from the loss"
    )
    rationale_share: Share = Field(
        default=0.05,
        description="where the development split has no worked solutions: share of the questions with rationales that is "
        "held out of the training to measure the development loss",
    )
    max_grad_norm: float = Field(default=1.0, ge=0, description="longest gradient; 0: any")
    validation_is_test: bool = Field(
        default=False, description="choose on the test split, as the authors' code, whose validation is its test, does"
    )
