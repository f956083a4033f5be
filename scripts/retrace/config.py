"""The typed configuration: every option that a user can set, with its meaning and its limits.

One class per script; a script's command line is made from its class (retrace.cli). Defaults are the paper's,
as far as a value does not depend on task and model; config/presets/ holds the rest, each with its source.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from retrace.config_dpo_st import DpoSt
from retrace.config_grace import (
    Aligning,
    DiscriminatorTraining,
    Guided,
    GuidedVote,
    Pairing,
    Sampling,
    Stepwise,
    Sweep,
    VerifierTraining,
)
from retrace.config_icot import (
    ControlTraining,
    CoupledTraining,
    EmulatorTraining,
    ExplicitCotTraining,
    Figures,
    Implicit,
    ImplicitData,
    NoCotTraining,
    Speed,
    StudentTraining,
    TeacherStates,
)
from retrace.config_latro import ChatPrompt, FewShot, FewShotMajority, LatroTraining, Majority
from retrace.config_launch import Launch
from retrace.config_learn_to_reason import Exam, Feedback, LearnToReasonTraining, Rounds, Teacher, WorkedExamples
from retrace.config_logging import Logging
from retrace.config_seeds import Seeds, SeedsOfSystems
from retrace.config_slurm import ResourceFactors, Slurm
from retrace.config_types import Count, Name, Section, Share
from retrace.decoding_options import Decoding, Greedy, SelfConsistency
from retrace.training_options import SftTraining, Training

# ---------------------------------------------------------------- tasks and models (one YAML file each)


class Source(Section):
    """Where the rows of one split come from."""

    url: str | None = Field(default=None, description="https URL at a pinned commit")
    sha256: str | None = Field(default=None, description="checksum of the file behind the URL")
    rows: int | None = Field(default=None, ge=1, description="how many rows the file must have")
    file: str | None = Field(
        default=None, description="a local file (your own data); relative to the working folder or to this YAML's"
    )
    hub: str | None = Field(default=None, description="a data set on the Hub, for instance allenai/ai2_arc")
    revision: str | None = Field(default=None, description="its commit")
    subset: str | None = Field(default=None, description="its configuration's name, where it has several")
    hub_split: str | None = Field(default=None, description="its split's name there; default: the split's name here")
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
    format: Literal["question_answer", "question_number", "lines"] | None = Field(
        default=None, description="adapter for this source's rows, if not the task's"
    )
    question_fields: list[str] = Field(default=[], description="fields that make the question, if not the task's one")
    answer_field: str | None = Field(default=None, description="field of the answer, if not the task's")
    repeats: bool = Field(default=False, description="the published file repeats questions, and all of them count")
    bulky: bool = Field(
        default=False,
        description="a large file that only its own job reads: questions that stand in another split of the same system "
        "are left out and counted, and no other job looks for its own among them",
    )
    skip_faulty: bool = Field(
        default=False, description="rows that cannot be read are left out and counted, as the authors' reader does it"
    )
    without: list[str] = Field(
        default=[],
        description="ids of questions that are left out, because worked examples of a prompt show them with their answer",
    )
    equations_of: list[Name] = Field(
        default=[], description="take the steps from the same questions in these splits: their <<a+b=c>> alone"
    )


class TaskConfig(Section):
    """A task: config/tasks/NAME.yaml."""

    name: Name
    title: str
    family: Literal[
        "word_problems",
        "programs",
        "symbolic",
        "multiplication",
        "lettered_choice",
        "yes_no",
        "numeric",
        "multiple_choice",
        "exact_match",
    ] = Field(
        description="how steps are judged and answers extracted; lettered_choice and yes_no: Learn-to-Reason's; the last "
        "three: answers behind a phrase, no steps"
    )
    format: Literal[
        "question_answer",
        "question_number",
        "lines",
        "coin_flip",
        "object_tracking",
        "generated",
        "commonsense_qa",
        "strategy_qa",
        "multiarith",
        "svamp",
        "arc",
        "queries_responses",
    ] = Field(
        description="adapter for the raw rows; question_number: JSON list or JSONL, answers are bare numbers; lines: "
        "`question||steps #### answer`"
    )
    delimiter: str = Field(default="|", min_length=1, max_length=4)
    step_kind: Literal["none", "coin_flip", "object_tracking"] = Field(
        default="none", description="which symbolic state a step holds"
    )
    digits: Annotated[int, Field(ge=1, le=9)] | None = Field(default=None, description="of a factor (multiplication)")
    question_field: str = "question"
    answer_field: str = "answer"
    prompt: str = Field(default="{question}", description="model input; {question} is replaced, nothing else")
    answer_prompt: str = Field(default="", description="text between question and solution for decoder-only models")
    chat: ChatPrompt = Field(default=ChatPrompt(), description="the same for models with a chat template")
    demonstrations: Source | None = Field(
        default=None, description="worked examples for few-shot prompts; without it those of train"
    )
    sampling_demonstrations: Source | None = Field(
        default=None,
        description="worked examples that sampling draws from anew for each pass (sample.demonstrations_per_pass), none of "
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


class ScratchModel(Section):
    """Sizes of a model that is trained from scratch."""

    width: Count = 128
    layers: Count = 3
    heads: Count = 4
    feedforward: Count = 256
    activation: Literal["relu", "gated-gelu"] = Field(default="gated-gelu", description="of T5's feed-forward layers")
    positions: Count = Field(default=512, description="longest input in tokens")
    vocabulary: Count = Field(default=2000, description="most tokens of the tokenizer that is trained on the task")
    dropout: Share = Field(default=0.0, description="worth raising where the task has few training questions")
    numbers: Literal["whole", "digits"] = Field(
        default="digits", description="a token per number from 0 to 99, or a token per digit"
    )


class ModelConfig(Section):
    """A base model: config/models/NAME.yaml."""

    name: Name
    title: str
    family: Literal["encoder_decoder", "decoder_only", "encoder"] = Field(
        description="encoder: embeds or judges steps, writes none (an embedder, or a released discriminator)"
    )
    hub: str | None = Field(default=None, description="Hub id, for instance google/flan-t5-large")
    revision: str | None = Field(
        default=None, description="commit on the Hub; the first download records what it resolved to"
    )
    file: str | None = Field(default=None, description="a local folder in the Hugging Face layout instead of the Hub")
    scratch: ScratchModel | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    chat: bool = Field(default=False, description="put questions through the tokenizer's chat template")
    generator: Literal["sft", "base"] = Field(
        default="sft", description="which checkpoint the methods use: fine-tuned, or frozen"
    )
    demonstrations: int = Field(default=0, ge=0, description="worked examples in the prompt of the frozen model")
    parameters: float | None = Field(default=None, description="number of parameters, for estimates")
    paper_names: list[str] = Field(default=[], description="this model's names in the papers' tables")
    license_note: str = Field(default="", description="what to do where the weights are gated")


# ---------------------------------------------------------------- options of the scripts


class BaseTraining(Training):
    """Training a base model from scratch on the task's related corpus (train_base.py)."""

    learning_rate: float = Field(default=1.5e-3, gt=0)
    batch_size: Count = 64
    device_batch_size: Count = 64
    epochs: float = Field(default=1, gt=0)
    noise: Share = Field(default=0.0, description="share of question words replaced by random ones")
    mask_calculator: bool = Field(
        default=False, description="results that the calculator fills in are masked from the loss"
    )


class Beam(Decoding):
    """Beam search; the best beam counts."""

    beams: Annotated[int, Field(ge=2)] = 5
    length_penalty: float = 1.0


class Shards(Section):
    """Into how many jobs a step is split. A plan's own matter: the rows do not depend on it."""

    sample: Count = 1
    decode: Count = 1
    longest_hours: float = Field(
        default=0.0,
        ge=0,
        description="split a step into twice, four times, ... as many (at most 64) where a shard would take longer by the "
        "estimate, `sample` and `decode` being the fewest; 0: never",
    )


class Threads(Section):
    """Processor threads of a job, by kind; Snakemake lowers them to what it was given."""

    train: Count = 8
    sample: Count = 4
    align: Count = 4
    decode: Count = 4


class Limits(Section):
    """Use only the first rows of a split; -1: all. A result says how many there were."""

    train: int = Field(default=-1, ge=-1)
    dev: int = Field(default=-1, ge=-1)
    test: int = Field(default=-1, ge=-1)
    corpus: int = Field(default=-1, ge=-1)
    corpus_dev: int = Field(default=-1, ge=-1)


class When(Section):
    task: str | list[str] | None = None
    model: str | list[str] | None = None


class Override(Section):
    """Values for some tasks or models only."""

    when: When
    set: dict[str, float | int | str | bool | list | None] = Field(description="dotted names, for instance grace.beta")


class MethodConfig(Section):
    """A method: config/methods/NAME.yaml."""

    name: Name
    title: str
    checkpoint: Name = Field(description="`generator` (the model's own choice) or a checkpoint's name")
    decoder: Name
    paper: Literal["grace", "dpo_st", "icot", "latro", "learn_to_reason"] = "grace"
    votes: Name | None = Field(
        default=None, description="a decoder whose samples of the same checkpoint give the result's maj@k and pass@k"
    )
    paper_names: list[str] = Field(default=[], description="this method's names in the paper's tables")
    about: str = ""


class Configuration(Section):
    """All that config/config.yaml, a preset or `--config` may hold."""

    preset: Name = "paper"
    seeds: Seeds = Field(
        default=SeedsOfSystems(), description="one run of everything for each: a list for all systems, or one for each"
    )
    mirror: str | None = Field(default=None, description="folder with files at HOST/PATH, looked up before the network")
    require_gpu: bool = Field(default=True, description="stop before the first job where no GPU can be found")
    container: str | None = Field(
        default=None, description="image that jobs run in with --sdm apptainer: a .sif file, or docker://NAME"
    )
    headline_models: dict[str, Name] = Field(
        default={"default": "flan_t5_large"},
        description="model of results/{task}/{method}_acc.json: of a paper's methods (latro), of a task, or default",
    )
    shards: Shards = Shards()
    threads: Threads = Threads()
    launch: Launch = Launch()
    logging: Logging = Logging()
    resource_factors: ResourceFactors = ResourceFactors()
    slurm: Slurm | None = Field(
        default=None, description="the cluster that jobs go to; profiles/slurm/site.yaml sets it"
    )
    limits: Limits = Limits()
    base: BaseTraining = BaseTraining()
    sft: SftTraining = SftTraining()
    sample: Sampling = Sampling()
    align: Aligning = Aligning()
    pair: Pairing = Pairing()
    discriminator: DiscriminatorTraining = DiscriminatorTraining()
    verifier: VerifierTraining = VerifierTraining()
    greedy: Greedy = Greedy()
    beam: Beam = Beam()
    self_consistency: SelfConsistency = SelfConsistency()
    stepwise: Stepwise = Stepwise()
    grace: Guided = Guided()
    grace_self_consistency: GuidedVote = GuidedVote()
    sweep: Sweep = Sweep()
    dpo_st: DpoSt = DpoSt()
    exam: Exam = Exam()
    teacher: Teacher = Teacher()
    feedback: Feedback = Feedback()
    learn_to_reason: LearnToReasonTraining = LearnToReasonTraining()
    rounds: Rounds = Rounds()
    icot_data: ImplicitData = ImplicitData()
    no_cot: NoCotTraining = NoCotTraining()
    explicit_cot: ExplicitCotTraining = ExplicitCotTraining()
    icot_states: TeacherStates = TeacherStates()
    icot_student: StudentTraining = StudentTraining()
    icot_emulator: EmulatorTraining = EmulatorTraining()
    icot: CoupledTraining = CoupledTraining()
    no_cot_deep: ControlTraining = ControlTraining()
    no_cot_from_teacher: ControlTraining = ControlTraining()
    implicit: Implicit = Implicit()
    icot_speed: Speed = Speed()
    figures: Figures = Figures()
    latro: LatroTraining = LatroTraining()
    latro_sft: SftTraining = SftTraining()
    maj: Majority = Majority()
    few_shot: FewShot = FewShot()
    few_shot_maj: FewShotMajority = FewShotMajority()
    overrides: list[Override] = Field(default=[])

    def trainings(self) -> dict[str, Training]:
        """The sections of trainings, by their names in `launch.trainings`."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        parts |= {f"dpo_st_{name}": getattr(self.dpo_st, name) for name in type(self.dpo_st).model_fields}
        return {name: part for name, part in parts.items() if isinstance(part, Training)}

    @model_validator(mode="after")
    def _known_trainings(self) -> "Configuration":
        known = self.trainings()
        unknown = sorted(set(self.launch.trainings) - set(known))
        if unknown:
            raise ValueError(f"launch.trainings: {unknown[0]!r} is no training; valid: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _batches_that_add_up(self) -> "Configuration":
        for name, training in self.trainings().items():
            size, device = training.batch_size, training.device_batch_size
            if size % min(device, size) == 0:
                continue
            place = self.launch.of(name)
            # Several processes may share out what one cannot; the training itself checks that.
            if max(place.gpus, place.processes, place.nodes) <= 1:
                section = name.replace("dpo_st_", "dpo_st.")
                fitting = max(part for part in range(1, device) if size % part == 0)
                raise ValueError(
                    f"{section}.batch_size {size} is no multiple of {section}.device_batch_size {device}; "
                    f"set device_batch_size to {fitting}, or another batch_size"
                )
        return self
