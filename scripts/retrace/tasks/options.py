"""A task's YAML: where its splits come from, how it is asked and how it is answered."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from retrace.discovery import OneOf
from retrace.sections import Count, Name, Section
from retrace.tasks.families import family_names, row_format_names
from retrace.tasks.graders import paper_grader_names

FieldColumns = dict[
    Name,
    Annotated[str, Field(min_length=1)] | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)],
]


# Former keys and their replacements.
_RENAMED = {
    "question_field": "fields: {question: NAME}",
    "question_fields": "fields: {question: [NAME, NAME]}",
    "answer_field": "fields: {answer: NAME}",
}


class _WithFields(Section):
    """A section with `fields`; for a former key the error says what to write now."""

    @model_validator(mode="before")
    @classmethod
    def _no_former_key(cls, values: Any) -> Any:
        for key in _RENAMED if isinstance(values, dict) else ():
            if key in values:
                raise ValueError(f"{key} was replaced; write {_RENAMED[key]}")
        return values


class ChatPrompt(Section):
    """How a task's questions are put to a model with a chat template, and how it shall answer."""

    prompt: str = Field(default="{question}", description="the user's message; {question} is replaced, nothing else")
    answer: str = Field(
        default="The answer is {answer}.",
        description="what states the final answer; a rationale ends where the part before {answer} begins",
    )
    direct_prompt: str | None = Field(
        default=None, description="the user's message where the model shall answer without a rationale"
    )
    sft_prompt: str | None = Field(
        default=None,
        description="the user's message in LaTRO's fine-tuning baseline (latro_sft.texts); none: `prompt`",
    )
    grader: Annotated[str, OneOf(paper_grader_names)] = Field(
        default="phrase",
        description="what decides the paper's accuracy: the answer read whole behind the phrase, or the graders of "
        "LaTRO's code (the first number behind the phrase; the option's text anywhere in the answer), or math-verify",
    )


class WorkedExamples(Section):
    """The authors' worked examples of a task: one string constant of a Python file, which is read and never run."""

    url: str | None = Field(default=None, description="https URL at a pinned commit")
    sha256: str | None = Field(default=None, description="checksum of the file behind the URL")
    file: str | None = Field(
        default=None, description="a local file (your own); relative to the working folder or to this YAML's"
    )
    constant: str = Field(description="name of the constant that holds the examples")

    @model_validator(mode="after")
    def _one_source(self) -> "WorkedExamples":
        if (self.url is None) == (self.file is None):
            raise ValueError("give either a url or a file")
        if self.url and not self.sha256:
            raise ValueError("a url needs the sha256 of its file (sha256sum FILE)")
        return self


class Source(_WithFields):
    """Where the rows of one split come from."""

    url: str | None = Field(default=None, description="https URL at a pinned commit")
    sha256: str | None = Field(default=None, description="checksum of the file behind the URL")
    rows: int | None = Field(default=None, ge=1, description="how many rows the file must have")
    file: str | None = Field(
        default=None,
        description="a local file or folder (your own data): .jsonl, .json, .csv, .tsv, .txt (each also as .gz), .parquet, "
        "a folder with one file per split, or one written by save_to_disk; relative to the working folder or to "
        "this YAML's",
    )
    hub: str | None = Field(default=None, description="a data set on the Hub, for instance allenai/ai2_arc")
    revision: str | None = Field(default=None, description="its commit")
    subset: str | None = Field(default=None, description="its configuration's name, or folder, where it has several")
    hub_split: str | None = Field(
        default=None, description="the split's name there, or in the folder `file`; default: the split's name here"
    )
    generator: str | None = Field(default=None, description="name of a generator in retrace.tasks")
    settings: dict[str, float | int | str | bool | list[float]] = Field(
        default={}, description="the generator's own settings"
    )
    count: int | None = Field(default=None, ge=1, description="rows that a generator makes, or to keep of a file")
    seed: int = Field(
        default=0, ge=0, description="seed of the generator, or of the draw that holds a development split out"
    )
    part_of: str | None = Field(default=None, description="take the rows from this split's source ...")
    part: list[float] | None = Field(
        default=None, description="... from this share to that share, after a seeded shuffle"
    )
    format: Annotated[str, OneOf(row_format_names)] | None = Field(
        default=None, description="adapter for this source's rows, if not the task's"
    )
    fields: FieldColumns = Field(
        default={},
        description="like the task's `fields`, which these extend; a source with its own `format` has only these",
    )
    repeats: bool = Field(default=False, description="the published file repeats questions, and all of them count")
    bulky: bool = Field(
        default=False,
        description="a large file that only its own job reads: questions that occur in another split of the same system "
        "are left out and counted, and no other job looks for its own among them",
    )
    skip_faulty: bool = Field(
        default=False,
        description="rows that cannot be read, answers included, are left out and counted, as the authors' reader does it",
    )
    without: list[str] = Field(
        default=[],
        description="ids of questions that are left out, because worked examples of a prompt show them with their answer",
    )
    equations_of: list[Name] = Field(
        default=[], description="take the steps from the same questions in these splits: their <<a+b=c>> alone"
    )
    followed_by: list[Name] = Field(
        default=[],
        description="behind the own rows stand those of these splits; with dpo_st.labelled as many as the own rows, their "
        "answers alone are used",
    )

    @model_serializer(mode="wrap")
    def _without_what_is_not_given(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A key that came later stands in plain data only where it is given, so that checksums of other splits stay."""
        found: dict[str, Any] = whole(self)
        if not self.followed_by:
            found.pop("followed_by", None)
        return found


class TaskConfig(_WithFields):
    """A task: config/tasks/NAME.yaml."""

    name: Name
    title: str
    family: Annotated[str, OneOf(family_names)] = Field(
        description="how rows are read, steps judged and answers extracted (retrace.tasks.families); lettered_choice and "
        "yes_no: Learn-to-Reason's; numeric, multiple_choice and exact_match: answers behind a phrase, no steps"
    )
    format: Annotated[str, OneOf(row_format_names)] = Field(
        description="adapter for the raw rows; question_number: answers are bare numbers; lines: "
        "`question||steps #### answer`"
    )
    delimiter: str = Field(default="|", min_length=1, max_length=4)
    step_kind: Literal["none", "coin_flip", "object_tracking"] = Field(
        default="none", description="which symbolic state a step holds"
    )
    digits: Annotated[int, Field(ge=1, le=9)] | None = Field(default=None, description="of a factor (multiplication)")
    fields: FieldColumns = Field(
        default={},
        description="columns with other names: question (one, or a list of columns to join), answer, steps (answer is then "
        "the final answer alone), choices, response, id; `data.text` is `text` inside `data`",
    )
    prompt: str = Field(default="{question}", description="model input; {question} is replaced, nothing else")
    answer_prompt: str = Field(default="", description="text between question and solution for decoder-only models")
    chat: ChatPrompt = Field(default_factory=ChatPrompt, description="the same for models with a chat template")
    demonstrations: Source | None = Field(
        default=None, description="worked examples for few-shot prompts; without it those of train"
    )
    sampling_demonstrations: Source | None = Field(
        default=None,
        description="worked examples that sampling draws from again for each pass (sample.demonstrations_per_pass), none of "
        "them a training question; without it `demonstrations`",
    )
    learn_to_reason: WorkedExamples | None = Field(
        default=None, description="worked examples that Learn-to-Reason's own prompts begin with"
    )
    splits: dict[Name, Source] = Field(description="train, dev, test and, for models trained from scratch, corpus")
    split_sets: list[Name] = Field(
        default=[],
        description="systems with splits of their own, SET_train, SET_dev, SET_test; the plain split where one is missing",
    )
    calculator: bool = Field(default=True, description="force the results of <<a+b=c>> while decoding")
    paper_names: list[str] = Field(default=[], description="this data set's names in the papers' tables")
    repeats_left_out: int = Field(
        default=0,
        ge=0,
        description="questions that a raw file holds again, as counted; the first stays, more is an error",
    )
    overlap: int = Field(default=0, ge=0, description="questions that the splits share, as counted; more is an error")
    rows: dict[Name, Count] = Field(
        default={}, description="rows of the splits as published: for estimates before anything is fetched"
    )
    about: str = Field(default="", description="what a reader of a result must know about this data")
