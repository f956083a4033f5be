"""The configuration's sections on LaTRO (arXiv 2411.04282): its training, its decoders, and prompts for chat models."""

from typing import Annotated, Literal

from pydantic import Field

from retrace.sections import SPEED_ONLY, Count
from retrace.training.options import AdapterTraining


class LatroTraining(AdapterTraining):
    """Training a model on rationales that it rewards itself (train_latro.py). LaTRO section 4, appendix B."""

    learning_rate: float = Field(default=5e-7, gt=0)
    batch_size: Count = Field(
        default=384,
        description="rationales an optimizer step, over all devices and accumulation steps: questions times `rationales`",
    )
    device_batch_size: Count = Field(default=4, description="rationales a device trains on at once")
    epochs: float = Field(default=6, gt=0)
    epochs_count: Literal["questions", "rationales"] = Field(
        default="questions",
        description="what an epoch counts: passes over the questions, or as many rationales as there are questions, as in "
        "the authors' code, where an epoch shows one question in `rationales`",
    )
    warmup_ratio: float = Field(default=0.0, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=0.0, ge=0, description="0: gradients are not clipped")
    evaluations: Count = Field(
        default=10,
        description="how often the accuracy is measured, besides the start; the best checkpoint is kept, the start included",
    )
    rationales: Annotated[int, Field(ge=2)] = Field(default=16, description="rationales a question (K)")
    temperature: float = Field(default=1.0, gt=0, description="of the sampling; likelihoods are the model's own")
    max_rationale_tokens: Count = Field(default=500, description="longest rationale (L)")
    max_answer_tokens: Count = Field(
        default=64, description="longest reference answer; questions with longer ones are left out and counted"
    )
    kl_coef: float = Field(default=0.05, ge=0, description="weight of the log-ratio to the reference model (beta)")
    sft_penalty: float = Field(
        default=0.0, ge=0, description="weight of -log p(answer | question, rationale), equation 4's second term"
    )
    official_reward: bool = Field(
        default=False, description="count the token before the answer into the reward, as the authors' code does"
    )
    unfinished: Literal["keep", "batch_mean"] = Field(
        default="keep",
        description="reward of a rationale without a stop: as measured, or unfinished_factor times the mean reward of "
        "all rationales of the optimizer step, itself included; the authors' code takes each device's own mean",
    )
    unfinished_factor: float = Field(default=2.0, description="see `unfinished`")
    stop_strings: list[str] = Field(
        default=[],
        description="texts at which a rationale ends, besides the task's own, however they fall into tokens",
    )
    calculator: bool = Field(
        default=True,
        description="force results while sampling, where the task has a calculator; forced tokens are not scored",
    )
    choose_on: Literal["dev", "test"] = Field(
        default="dev", description="the split on which checkpoints are compared; `test` is the paper's choice"
    )
    evaluation_questions: int = Field(default=-1, ge=-1, description="use only the first so many of it; -1: all")
    stop_on_decline: bool = Field(
        default=True, description="stop where the accuracy falls, beyond chance, while the reward rises"
    )
    generation: Literal["engine", "vllm"] = Field(
        default="engine", description="what samples rationales: Retrace's own decoder, or vLLM on GPUs through TRL"
    )
    generation_batch_size: Count = Field(
        default=256,
        description="most rationales that the engine samples together; fewer where the device's free memory holds fewer",
        json_schema_extra=SPEED_ONLY,
    )
    vllm_memory_share: float = Field(
        default=0.3, gt=0, lt=1, description="of each GPU's memory, for vLLM", json_schema_extra=SPEED_ONLY
    )
    gradient_checkpointing: bool = Field(
        default=False, description="less memory for a second forward pass", json_schema_extra=SPEED_ONLY
    )
