"""The typed configuration: every option that a user can set, with its meaning and its limits.

One class per script; a script's command line is made from its class (retrace.cli). Defaults are the paper's,
as far as a value does not depend on task and model; config/presets/ holds the rest, each with its source.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from retrace.config_latro import ChatPrompt, FewShot, FewShotMajority, LatroTraining, Majority
from retrace.config_launch import Launch
from retrace.config_slurm import ResourceFactors, Slurm
from retrace.config_types import SPEED_ONLY, Count, Name, Rate, Section, Share
from retrace.decoding_options import Decoding, Greedy, SelfConsistency
from retrace.training_options import SftTraining, Training

# ---------------------------------------------------------------- tasks and models (one YAML file each)


class Source(Section):
    """Where the rows of one split come from."""

    url: str | None = Field(default=None, description="https URL at a pinned commit")
    sha256: str | None = Field(default=None, description="checksum of the file behind the URL")
    file: str | None = Field(default=None, description="a local file (your own data); relative to the working folder")
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


class TaskConfig(Section):
    """A task: config/tasks/NAME.yaml."""

    name: Name
    title: str
    family: Literal["word_problems", "programs", "symbolic", "numeric", "multiple_choice", "exact_match"] = Field(
        description="how steps are judged and answers extracted"
    )
    format: Literal["question_answer", "coin_flip", "object_tracking", "generated", "arc", "queries_responses"] = Field(
        description="adapter for the raw rows"
    )
    delimiter: str = Field(default="|", min_length=1, max_length=4)
    step_kind: Literal["none", "coin_flip", "object_tracking"] = Field(
        default="none", description="which symbolic state a step holds"
    )
    question_field: str = "question"
    answer_field: str = "answer"
    prompt: str = Field(default="{question}", description="model input; {question} is replaced, nothing else")
    answer_prompt: str = Field(default="", description="text between question and solution for decoder-only models")
    chat: ChatPrompt = Field(default=ChatPrompt(), description="the same for models with a chat template")
    demonstrations: Source | None = Field(
        default=None, description="worked examples for few-shot prompts; without it those of train"
    )
    splits: dict[Name, Source] = Field(description="train, dev, test and, for models trained from scratch, corpus")
    calculator: bool = Field(default=True, description="force the results of <<a+b=c>> while decoding")
    paper_names: list[str] = Field(default=[], description="this data set's names in the papers' tables")
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


class Sampling(Section):
    """Drawing wrong solutions from the generator (sample_trajectories.py). GRACE section 3.1."""

    incorrect: Count = Field(
        default=80000, description="unique incorrect solutions to find, over the whole training split"
    )
    max_passes: Count = Field(default=50, description="limit on passes over the questions, reached or not")
    block: Count = Field(
        default=64,
        description="neighbouring questions that are sampled until they together have their share of `incorrect`; "
        "shards are made of whole blocks, so that their number changes nothing",
    )
    samples_per_pass: Count = Field(default=4, description="solutions drawn for a question in one pass")
    temperature: float = Field(default=1.3, gt=0)
    top_k: int = Field(default=50, ge=0, description="0: off")
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_new_tokens: Count = 256
    batch_size: Count = Field(
        default=256,
        description="solutions decoded together; does not change the output",
        json_schema_extra=SPEED_ONLY,
    )
    calculator: bool = True
    max_questions: int = Field(default=-1, ge=-1, description="use only the first so many training questions; -1: all")


class Aligning(Section):
    """Aligning wrong solutions with the reference (align_steps.py). GRACE section 3.1 and appendix B."""

    embedder: str = Field(
        default="roscoe",
        description="roscoe, simcse, minilm (in a PyPI package), a sentence-transformers id, or openai:MODEL",
    )
    embedder_url: str | None = Field(default=None, description="base URL of an OpenAI-compatible embeddings endpoint")
    gap_cost: float = Field(default=0.5, gt=0)
    threshold: float = Field(default=0.8, ge=-1, le=1, description="similarity from which a match is forced")
    max_cost: float = Field(default=2.0, gt=0, description="alignments that cost more are dropped")
    skip_alignment: bool = Field(
        default=False, description="pair steps by their position instead (the paper's naive alignment)"
    )
    use_correct_samples: bool = Field(default=False, description="correct sampled solutions serve as references too")
    batch_size: Count = 256


class Pairing(Section):
    """Making training triples from alignments (make_pairs.py). GRACE section 3.1."""

    break_after_extra_step: bool = False
    invalid_prefix_prob: Share = Field(
        default=0.0, description="chance to add a pair whose prefix holds the wrong step too"
    )
    first_error_only: bool = Field(default=False, description="keep only the first wrong step of a solution")
    max_per_prefix: int = Field(
        default=-1, ge=-1, description="most negatives for one question and prefix, most frequent first; -1: all"
    )
    development_share: Rate = Field(default=0.15, description="share of the questions whose pairs are held out")
    step_judge: Literal["task", "entailment"] = Field(
        default="task",
        description="who says whether a step is right: the task's own rule, or, for symbolic tasks, an entailment model",
    )
    entailment_model: str = Field(
        default="roberta_large_mnli",
        description="where entailment judges: a model of config/models, a folder, or a Hub id (ID or ID@REVISION)",
    )


class DiscriminatorTraining(Training):
    """Training the step discriminator (train_discriminator.py). GRACE section 3.2."""

    warmup_ratio: Share = 0.06
    scheduler: Literal["linear", "cosine", "cosine_with_restarts", "constant", "constant_with_warmup"] = (
        "cosine_with_restarts"
    )
    backbone: str = Field(
        default="flan_t5_large",
        description="a model of config/models, a folder, scratch (a fresh encoder) or generator (its own encoder)",
    )
    layers: int = Field(default=-1, ge=-1, description="layers of a scratch encoder; -1: as the generator")
    width: int = Field(default=-1, ge=-1, description="width of a scratch encoder; -1: as the generator")
    pooling: Literal["max", "mean", "cls"] = "max"
    pool_step_only: bool = Field(
        default=False, description="pool over the step's tokens only, not over question and prefix"
    )
    loss: Literal["max_margin", "log_sigmoid"] = "max_margin"
    margin: float = Field(default=1.0, ge=0)
    released: str | None = Field(
        default=None, description="use this released discriminator of config/models instead of training one"
    )


class VerifierTraining(Training):
    """Training the outcome verifier on correct and incorrect samples (train_verifier.py)."""

    backbone: str = Field(
        default="flan_t5_large",
        description="a model of config/models, a folder, scratch (a fresh encoder) or generator (its own encoder)",
    )
    layers: int = Field(default=-1, ge=-1)
    width: int = Field(default=-1, ge=-1)
    max_samples: int = Field(default=-1, ge=-1, description="most solutions of each label; -1: all")
    one_label: bool = Field(
        default=False,
        description="train even where all solutions are wrong, or all right: for trying the workflow out only",
    )


class Beam(Decoding):
    """Beam search; the best beam counts."""

    beams: Annotated[int, Field(ge=2)] = 5
    length_penalty: float = 1.0


class Guided(Decoding):
    """Stepwise decoding guided by a discriminator. GRACE section 3.3; beta 0 is the language model alone."""

    beta: float | Literal["choose"] = Field(
        default="choose", description="weight of the discriminator, or chosen on the development split"
    )
    candidates: Count = Field(default=20, description="candidate steps (J in the paper)")
    step_sampling: Literal["top_p", "top_k", "random", "beam"] = "top_p"
    top_p: float = Field(default=0.95, gt=0, le=1)
    top_k: int = Field(default=50, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    max_steps: Count = 8
    max_step_tokens: Count = Field(default=60, description="longest step in tokens")
    selection: Literal["greedy", "sample"] = "greedy"
    normalize_scores: bool = Field(default=True, description="softmax over the candidates' discriminator scores")
    samples: Count = Field(default=1, description="guided solutions a question; more than one: majority vote")
    official: bool = Field(
        default=False, description="candidates with their trailing pads, as the official code scores them"
    )


SECTIONS = [
    BaseTraining,
    SftTraining,
    Sampling,
    Aligning,
    Pairing,
    DiscriminatorTraining,
    VerifierTraining,
    Greedy,
    Beam,
    SelfConsistency,
    Guided,
]


class Stepwise(Guided):
    """Stepwise decoding by the language model alone: the control for the discriminator."""

    beta: Annotated[float, Field(ge=0, le=0)] = Field(default=0.0, description="always 0")  # type: ignore[assignment]


class GuidedVote(Guided):
    """Several guided solutions and a majority vote over their answers."""

    samples: Count = Field(default=40, description="as many as self-consistency draws")


class Sweep(Section):
    """Choosing the guided decoder's values on the development split (sweep_guided.py)."""

    limit: Count = Field(default=500, description="development questions that are decoded at each point")
    betas: list[float] = Field(default=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0], min_length=1)
    temperatures: list[float] = Field(default=[], description="sampling temperatures to try; empty: the decoder's own")


class Shards(Section):
    """Into how many jobs a step is split."""

    sample: Count = 1
    decode: Count = 1


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
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        default=[0], min_length=1, description="one run of everything each"
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
    latro: LatroTraining = LatroTraining()
    latro_sft: SftTraining = SftTraining()
    maj: Majority = Majority()
    few_shot: FewShot = FewShot()
    few_shot_maj: FewShotMajority = FewShotMajority()
    overrides: list[Override] = Field(default=[])

    @model_validator(mode="after")
    def _known_trainings(self) -> "Configuration":
        known = [name for name in type(self).model_fields if isinstance(getattr(self, name), Training)]
        unknown = sorted(set(self.launch.trainings) - set(known))
        if unknown:
            raise ValueError(f"launch.trainings: {unknown[0]!r} is no training; valid: {', '.join(known)}")
        return self
