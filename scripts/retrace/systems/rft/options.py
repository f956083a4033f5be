"""Options of rejection-sampling fine-tuning (arXiv 2308.01825). Defaults are those of the authors' code for LLaMA-7B.

"code" means OFA-Sys/gsm8k-ScRel@4d88932.
"""

from typing import Literal

from pydantic import Field

from retrace.decoding.options import SelfConsistency
from retrace.sections import Count, Section, Share
from retrace.training.options import AdapterTraining


class RftSampling(SelfConsistency):
    """Sampling solutions of the training questions (sample_round.py)."""

    samples: Count = Field(default=100, description="solutions per question (k in the paper)")
    top_k: int = Field(
        default=50, ge=0, description="0: off; 50 is the default of the library that the code samples with"
    )
    calculator: bool = Field(default=False, description="the authors' models write all results themselves")


class RftSelection(Section):
    """Selecting correct solutions for training (select_solutions.py)."""

    distinct: Literal["equations", "texts", "none"] = Field(
        default="equations",
        description="equations: of a question's solutions with the same equations in the same order, only the one with the "
        "largest edit distance to the others is kept (code: collect_rejection_sampling.py); texts: equal texts count "
        "once; none: all are kept",
    )
    wrong_equations: Literal["reject", "keep"] = Field(
        default="reject", description="solutions with a correct answer and an equation that does not hold"
    )


class RftTraining(AdapterTraining):
    """Fine-tuning the base model on references and sampled solutions (train_round.py; code: train_7b.sh)."""

    learning_rate: float = Field(default=2e-5, gt=0)
    batch_size: Count = Field(default=128, description="examples per optimizer step, over all devices")
    device_batch_size: Count = 4
    epochs: float = Field(default=3, gt=0)
    warmup_ratio: Share = 0.03
    weight_decay: float = Field(default=0.0, ge=0)
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    scheduler: Literal["linear", "cosine", "cosine_with_restarts", "constant", "constant_with_warmup"] = "cosine"
    evaluations: Count = Field(
        default=1, description="number of measurements of the development loss; the final weights are kept"
    )


class Rft(Section):
    """Rejection-sampling fine-tuning."""

    samples: RftSampling = RftSampling()
    selection: RftSelection = RftSelection()
    sft: RftTraining = RftTraining()
