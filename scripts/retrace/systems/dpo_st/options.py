"""Options of DPO-augmented self-training (arXiv 2407.18248). Defaults are the paper's for FLAN-T5-Large.

"p." and "Table" mean the paper, "code" means TianduoWang/DPO-ST@e50bce7.
"""

from typing import Annotated, Literal

from pydantic import Field

from retrace.decoding.options import Exactness
from retrace.sections import SPEED_ONLY, BatchSize, Count, Section, Share
from retrace.training.options import AdapterTraining


class RoundSampling(Exactness):
    """Sampling solutions of the training questions (sample_round.py)."""

    samples: Count = Field(default=5, description="solutions per question")
    temperature: float = Field(default=0.7, gt=0)
    top_k: int = Field(
        default=50, ge=0, description="0: off; 50 is the default of the library that the code samples with"
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
    """Sampling the solutions that pseudo-labels are taken from: the paper's K."""

    samples: Count = Field(
        default=3, description="solutions per question: 3 in Table 2, 5 and 10 in Table 3, 10 in Table 4"
    )


class DrawnSamples(RoundSampling):
    """The decoder `samples`: for pass@k as the paper measures it (Figure 6)."""

    samples: Count = Field(default=10, description="solutions per question")


class PreferencePairs(Section):
    """Pairs of a correct and a wrong solution (make_preferences.py)."""

    similarity: Share = Field(
        default=0.7, description="of two solutions with a higher Jaccard similarity of their tokens, only one is kept"
    )
    pairs_per_question: Count = Field(
        default=3, description="maximum pairs per question; the least similar ones are kept"
    )
    gold: bool = Field(default=True, description="the reference solution counts as a correct one")
    development_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="share of the questions whose pairs are held out for development; the code trains on all",
    )


class PseudoLabels(Section):
    """Correct solutions that the next model is trained on (make_pseudo_labels.py)."""

    similarity: Share = Field(default=0.7, description="as for the pairs")
    percentile: Annotated[float, Field(gt=0, le=100)] = Field(
        default=90.0, description="limit on the solutions of a question, as a percentile of the counts of all questions"
    )


class RoundTraining(AdapterTraining):
    """Options that both trainings of a round share."""

    scheduler: Literal[
        "linear", "cosine", "cosine_with_restarts", "cosine_with_min_lr", "constant", "constant_with_warmup"
    ] = "cosine_with_min_lr"
    min_lr_rate: Share = Field(
        default=0.1, description="final rate of cosine_with_min_lr, as a share of the learning rate"
    )
    warmup_ratio: Share = 0.1
    keep: Literal["last", "best"] = Field(
        default="last", description="last: keep the final weights, as the code does; best: the lowest development loss"
    )
    max_length: Count = Field(
        default=500, description="longest input or output in tokens; longer examples are left out"
    )
    activation_checkpointing: bool = Field(
        default=False, description="recompute activations instead of storing them: less memory, about 20 % slower"
    )
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class RoundSft(RoundTraining):
    """Fine-tuning on references and pseudo-labels (train_round.py)."""

    learning_rate: float = Field(default=3e-4, gt=0)
    batch_size: Count = Field(default=96, description="examples per optimizer step, over all devices")
    device_batch_size: Count = 12
    epochs: float = Field(default=8, gt=0)
    mask_calculator: bool = Field(
        default=False, description="leave results that the calculator fills in out of the loss"
    )
    attention_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="attention dropout in training a decoder-only model; its other layers have no dropout"
    )
    start: Literal["base", "previous"] = Field(
        default="base", description="model that each round starts from: the base model, or the previous round"
    )


class DpoTraining(RoundTraining):
    """Direct preference optimization of the previous round's model (train_dpo.py)."""

    learning_rate: float = Field(default=7e-7, gt=0)
    batch_size: Count = Field(default=96, description="pairs per optimizer step, over all devices")
    device_batch_size: Count = 12
    max_steps: int = Field(default=150, ge=-1, description="optimizer steps; -1: determined by the epochs")
    epochs: float = Field(default=1, gt=0)
    beta: float = Field(default=0.1, gt=0, description="how strongly the model is kept close to the reference model")
    dropout: bool = Field(default=False, description="keep the model's dropout while training")


class CalculatorSpeedOptions(Section):
    """Measuring tokens a second with the calculator and without it (measure_calculator_speed.py). Figure 4."""

    questions: Count = Field(default=128, description="the first so many test questions")
    batch_sizes: list[Count] = Field(default=[1, 8, 16, 32], min_length=1, description="questions decoded together")
    repeats: Count = Field(default=3, description="rounds over both ways and all batch sizes; the median counts")
    max_new_tokens: Count = 300


class DpoSt(Section):
    """DPO-augmented self-training, and plain self-training as the baseline."""

    rounds: Count = Field(default=3, description="rounds of the methods `dpo_st` and `st`; round 0 is the warm-up")
    form: Literal["dpo_st", "steps"] = Field(
        default="dpo_st", description="text form of the solutions: the paper's, or the task's own with its delimiter"
    )
    splits: Literal["dpo_st", "task"] = Field(
        default="dpo_st", description="the paper's splits, if the task has them, or the task's own"
    )
    labelled: int = Field(
        default=-1,
        ge=-1,
        description="number of training questions whose worked solutions are used, from the start; of the others only the "
        "answers are used; -1: all",
    )
    max_questions: int = Field(
        default=-1, ge=-1, description="number of training questions to sample solutions for, from the start; -1: all"
    )
    pair_samples: RoundSampling = RoundSampling()
    label_samples: LabelSampling = LabelSampling()
    samples: DrawnSamples = DrawnSamples()
    pairs: PreferencePairs = PreferencePairs()
    labels: PseudoLabels = PseudoLabels()
    sft: RoundSft = RoundSft()
    dpo: DpoTraining = DpoTraining()
