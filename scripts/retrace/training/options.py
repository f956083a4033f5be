"""Options shared by all trainings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from retrace.sections import SPEED_ONLY, Count, Section, Share


class Training(Section):
    """Options shared by all trainings."""

    learning_rate: float = Field(default=1e-4, gt=0)
    batch_size: Count = Field(
        default=32, description="examples per optimizer step, over all devices and accumulation steps"
    )
    device_batch_size: Count = Field(
        default=8, description="examples on a device at once; the rest of a batch is accumulated"
    )
    epochs: float = Field(default=10, gt=0)
    max_steps: int = Field(default=-1, ge=-1, description="optimizer steps; -1: determined by the epochs")
    warmup_ratio: Share = 0.06
    weight_decay: float = Field(default=0.01, ge=0)
    optim: Literal["adamw", "adamw_8bit", "paged_adamw_8bit"] = Field(
        default="adamw",
        description="AdamW with moments in float32, or in 8 bits, which needs 2 bytes per parameter instead of 8; paged: "
        "they move to the machine's memory if the GPU's runs out. 8 bits need bitsandbytes and a GPU",
    )
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.999, description="decay of AdamW's second moment")
    scheduler: Literal["linear", "cosine", "cosine_with_restarts", "constant", "constant_with_warmup"] = "linear"
    max_grad_norm: float = Field(default=1.0, gt=0)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    evaluations: Count = Field(
        default=10,
        description="number of evaluations on the development split; the best checkpoint is kept, unless another option "
        "says otherwise",
    )
    save_minutes: float = Field(
        default=10,
        gt=0,
        description="minutes of training that a kill may lose at most, approximately; each evaluation also saves the state",
        json_schema_extra=SPEED_ONLY,
    )
    max_length: Count = Field(
        default=512,
        description="maximum input length in tokens; longer inputs are an error or truncated, as the script says",
    )


class AdapterTraining(Training):
    """Trainings that can train low-rank adapters (LoRA) instead of all weights."""

    lora_rank: int = Field(default=0, ge=0, description="rank of low-rank adapters, merged at the end; 0: all weights")
    lora_alpha: float = Field(default=16.0, gt=0, description="adapters are scaled by alpha / rank")
    lora_modules: list[str] = Field(default=[], description="names of the layers with adapters; empty: all linear ones")


class AnsweringTraining(Training):
    """A training that can keep the checkpoint with the most correct answers."""

    keep: Literal["best", "last", "accuracy"] = Field(
        default="best",
        description="checkpoint to keep. best: the lowest development loss; accuracy: the highest accuracy of greedy "
        "answers to the development questions, the first of equal ones; last: the final weights",
    )
    answer_tokens: Count = Field(default=256, description="maximum length of an answer, if `keep` is accuracy")
    answer_batch_size: Count = Field(
        default=64,
        description="questions that a device answers at once, if `keep` is accuracy",
        json_schema_extra=SPEED_ONLY,
    )


class SeparatedTraining(Training):
    """Trainings on question, steps and answer with separators (retrace.prompting.separated)."""

    learning_rate: float = Field(default=5e-5, gt=0)
    batch_size: Count = Field(
        default=32, description="examples an optimizer step, over all devices and accumulation steps"
    )
    device_batch_size: Count = Field(default=32, description="examples a device holds at once; the rest is accumulated")
    warmup_ratio: Share = 0.0
    scheduler: Literal["linear", "cosine", "cosine_with_restarts", "constant", "constant_with_warmup"] = "constant"
    max_length: Count = Field(default=1024, description="most tokens of question, steps and answer; longer: an error")
    leave_out_long: bool = Field(default=False, description="skip longer examples and count them")
    dropout: Share = Field(default=0.0, description="the authors train with dropout off")
    tf32: bool = Field(default=True, description="TF32 for products of float32 numbers on a GPU, as the authors")
    compile_layers: bool = Field(default=False, description="torch.compile for the layers; pays on a GPU")
    keep_best: Literal["accuracy", "loss"] = Field(
        default="accuracy",
        description="which development figure chooses the checkpoint: whole answers that are right (equal ones by the "
        "share of right tokens), or the loss",
    )
    patience: int = Field(
        default=-1,
        ge=-1,
        description="stop after so many evaluations in a row without a better one; -1: never, as the authors' code",
    )
    keep_each: bool = Field(
        default=False,
        description="keep the checkpoint of every evaluation, too, in each/stepN of the best one's folder; the authors' "
        "code keeps one an epoch",
    )

    @model_validator(mode="after")
    def _some_patience(self) -> "SeparatedTraining":
        if self.patience == 0:
            raise ValueError(
                "patience is 0: no training could go on; give 1 or more evaluations, or -1 for no early stop"
            )
        return self


class SftTraining(AnsweringTraining):
    """Fine-tuning a generator on worked solutions (train_sft.py)."""

    mask_calculator: bool = Field(
        default=False, description="results that the calculator fills in are masked from the loss"
    )
    targets: Literal["solutions", "answers"] = Field(
        default="solutions", description="texts that the model learns to write: whole solutions, or final answers only"
    )
    texts: Literal["task", "latro"] = Field(
        default="task",
        description="training texts for a chat model: the task's own question and solution, or those of LaTRO's baseline "
        "(scripts/sft_baseline.py): the question in `chat.sft_prompt`, and the unchanged reference with its calculator "
        "annotations. This does not change how the trained model is asked",
    )
    max_grad_norm: float = Field(default=1.0, ge=0, description="0: gradients are not clipped")


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
