"""Configuration section of LaTRO's training (arXiv 2411.04282)."""

from typing import Annotated, Literal

from pydantic import Field

from retrace.sections import SPEED_ONLY, Count
from retrace.training.options import AdapterTraining


class LatroTraining(AdapterTraining):
    """Training a model on rationales that it rewards itself (train_latro.py). LaTRO section 4, appendix B."""

    learning_rate: float = Field(default=5e-7, gt=0)
    batch_size: Count = Field(
        default=384,
        description="rationales per optimizer step, over all devices and accumulation steps: questions times `rationales`",
    )
    device_batch_size: Count = Field(default=4, description="rationales that a device trains on at once")
    epochs: float = Field(default=6, gt=0)
    epochs_count: Literal["questions", "rationales"] = Field(
        default="questions",
        description="what one epoch is: a pass over all questions, or, as in the authors' code, as many rationales as there "
        "are questions, which covers one of every `rationales` questions",
    )
    warmup_ratio: float = Field(default=0.0, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=0.0, ge=0, description="0: gradients are not clipped")
    evaluations: Count = Field(
        default=10,
        description="number of evaluations after the one at the start; the best checkpoint is kept, which may be the start",
    )
    rationales: Annotated[int, Field(ge=2)] = Field(default=16, description="rationales per question (K)")
    temperature: float = Field(
        default=1.0, gt=0, description="sampling temperature; likelihoods are computed without it"
    )
    max_rationale_tokens: Count = Field(default=500, description="maximum length of a rationale (L)")
    max_answer_tokens: Count = Field(
        default=64,
        description="maximum length of a reference answer; questions with longer answers are left out and counted",
    )
    kl_coef: float = Field(default=0.05, ge=0, description="weight of the log-ratio to the reference model (beta)")
    sft_penalty: float = Field(
        default=0.0, ge=0, description="weight of -log p(answer | question, rationale), equation 4's second term"
    )
    official_reward: bool = Field(
        default=False, description="include the token before the answer in the reward, as the authors' code does"
    )
    unfinished: Literal["keep", "batch_mean"] = Field(
        default="keep",
        description="reward of a rationale without a stop: as measured, or unfinished_factor times the mean reward of "
        "all rationales in the optimizer step, including this one; the authors' code takes the mean per device",
    )
    unfinished_factor: float = Field(default=2.0, description="see `unfinished`")
    stop_strings: list[str] = Field(
        default=[],
        description="texts that end a rationale, in addition to the task's own; they may span several tokens",
    )
    calculator: bool = Field(
        default=True,
        description="let the task's calculator, if any, force results during sampling; forced tokens are not scored",
    )
    choose_on: Literal["dev", "test"] = Field(
        default="dev", description="the split on which checkpoints are compared; `test` is the paper's choice"
    )
    evaluation_questions: int = Field(
        default=-1, ge=-1, description="number of that split's questions to use, from the start; -1: all"
    )
    stop_on_decline: bool = Field(
        default=True, description="stop if the accuracy falls significantly while the reward rises"
    )
    generation: Literal["engine", "vllm"] = Field(
        default="engine", description="what samples rationales: Retrace's own decoder, or vLLM on GPUs through TRL"
    )
    generation_batch_size: Count = Field(
        default=256,
        description="maximum rationales that the engine samples together; fewer if the device's free memory holds fewer",
        json_schema_extra=SPEED_ONLY,
    )
    vllm_memory_share: float = Field(
        default=0.3, gt=0, lt=1, description="share of each GPU's memory for vLLM", json_schema_extra=SPEED_ONLY
    )
    gradient_checkpointing: bool = Field(
        default=False, description="less memory at the cost of a second forward pass", json_schema_extra=SPEED_ONLY
    )
