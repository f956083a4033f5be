"""Options of DPO-augmented self-training (arXiv 2407.18248). Defaults are the paper's for FLAN-T5-Large.

"p." and "Table" mean the paper, "code" means TianduoWang/DPO-ST@e50bce7.
"""

from typing import Annotated, Literal

from pydantic import Field

from retrace.sections import SPEED_ONLY, BatchSize, Count, Section, Share
from retrace.training.options import AdapterTraining


class RoundSampling(Section):
    """Sampling solutions of the training questions (sample_round.py)."""

    samples: Count = Field(default=5, description="solutions a question")
    temperature: float = Field(default=0.7, gt=0)
    top_k: int = Field(
        default=50, ge=0, description="50 is the default of the library that the code samples with; 0: off"
    )
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_new_tokens: Count = 300
    batch_size: BatchSize = Field(
        default=256,
        description="sequences decoded together, or auto: as many as the device's memory holds; does not change the output",
        json_schema_extra=SPEED_ONLY,
    )
    calculator: bool = True


class LabelSampling(RoundSampling):
    """Drawing the solutions that pseudo-labels are taken from: the paper's K."""

    samples: Count = Field(
        default=3, description="solutions a question: 3 in Table 2, 5 and 10 in Table 3, 10 in Table 4"
    )


class DrawnSamples(RoundSampling):
    """The decoder `samples`: for pass@k as the paper measures it (Figure 6)."""

    samples: Count = Field(default=10, description="solutions a question")


class PreferencePairs(Section):
    """Pairs of a right and a wrong solution (make_preferences.py)."""

    similarity: Share = Field(
        default=0.7, description="of two solutions whose tokens have a higher Jaccard similarity, one is kept"
    )
    pairs_per_question: Count = Field(default=3, description="the least similar pairs are kept")
    gold: bool = Field(default=True, description="the reference solution counts as a right one")
    development_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="share of the questions whose pairs are held out; the code trains on all"
    )


class PseudoLabels(Section):
    """Right solutions that the next model is trained on (make_pseudo_labels.py)."""

    similarity: Share = Field(default=0.7, description="as for the pairs")
    percentile: Annotated[float, Field(gt=0, le=100)] = Field(
        default=90.0, description="a question has at most as many solutions as this percentile of the questions has"
    )


class RoundTraining(AdapterTraining):
    """What both trainings of a round share."""

    scheduler: Literal[
        "linear", "cosine", "cosine_with_restarts", "cosine_with_min_lr", "constant", "constant_with_warmup"
    ] = "cosine_with_min_lr"
    min_lr_rate: Share = Field(
        default=0.1, description="last rate of cosine_with_min_lr, as a share of the learning rate"
    )
    warmup_ratio: Share = 0.1
    keep: Literal["last", "best"] = Field(
        default="last", description="last: the weights at the end, as the code does; best: the lowest development loss"
    )
    max_length: Count = Field(
        default=500, description="longest input or output in tokens; longer examples are left out"
    )
    activation_checkpointing: bool = Field(
        default=False, description="compute activations again instead of holding them: less memory, a fifth slower"
    )
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class RoundSft(RoundTraining):
    """Fine-tuning on references and pseudo-labels (train_round.py)."""

    learning_rate: float = Field(default=3e-4, gt=0)
    batch_size: Count = Field(default=96, description="examples an optimizer step, over all devices")
    device_batch_size: Count = 12
    epochs: float = Field(default=8, gt=0)
    mask_calculator: bool = Field(
        default=False, description="results that the calculator fills in are masked from the loss"
    )
    attention_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="of a decoder-only model's attention while training; its other layers have none"
    )
    start: Literal["base", "previous"] = Field(
        default="base", description="what a round starts from: the base model, or the round before"
    )


class DpoTraining(RoundTraining):
    """Direct preference optimization of the round before (train_dpo.py)."""

    learning_rate: float = Field(default=7e-7, gt=0)
    batch_size: Count = Field(default=96, description="pairs an optimizer step, over all devices")
    device_batch_size: Count = 12
    max_steps: int = Field(default=150, ge=-1, description="optimizer steps; -1: as many as the epochs give")
    epochs: float = Field(default=1, gt=0)
    beta: float = Field(default=0.1, gt=0, description="how strongly the model is held near the reference model")
    dropout: bool = Field(default=False, description="keep the model's dropout while training")


class DpoSt(Section):
    """DPO-augmented self-training, and plain self-training, the baseline."""

    rounds: Count = Field(default=3, description="rounds of the methods `dpo_st` and `st`; round 0 is the warm-up")
    form: Literal["dpo_st", "steps"] = Field(
        default="dpo_st", description="text form of the solutions: the paper's, or the task's own with its delimiter"
    )
    splits: Literal["dpo_st", "task"] = Field(
        default="dpo_st", description="the paper's division of the questions, where the task has it, or the task's own"
    )
    labelled: int = Field(
        default=-1,
        ge=-1,
        description="use the worked solutions of only so many training questions, and of the others the answers; -1: all",
    )
    max_questions: int = Field(
        default=-1, ge=-1, description="draw solutions of the first so many training questions only; -1: of all"
    )
    pair_samples: RoundSampling = RoundSampling()
    label_samples: LabelSampling = LabelSampling()
    samples: DrawnSamples = DrawnSamples()
    pairs: PreferencePairs = PreferencePairs()
    labels: PseudoLabels = PseudoLabels()
    sft: RoundSft = RoundSft()
    dpo: DpoTraining = DpoTraining()
