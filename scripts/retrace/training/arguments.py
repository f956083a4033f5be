"""Conversion of training options to arguments of Hugging Face's trainers."""

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from retrace.errors import UserError
from retrace.machine.tracking import tracking_options
from retrace.training import parallel
from retrace.training.options import Training

_OPTIMIZERS = {"adamw_8bit": "adamw_bnb_8bit", "paged_adamw_8bit": "paged_adamw_8bit"}  # to the library's names


def steps_of(options: Training, rows: int) -> int:
    """Optimizer steps of the training: max_steps, or the number determined by the epochs."""
    if options.max_steps > 0:
        return options.max_steps
    return max(1, math.ceil(options.epochs * rows / options.batch_size))


def milestones(options: Training, total: int) -> set[int]:
    """Steps, before the last, at which a training is evaluated and saved."""
    return {max(1, round(total * turn / options.evaluations)) for turn in range(1, options.evaluations)}


def warm_up_of(options: Training, total: int) -> int:
    """Number of steps in which the learning rate rises: the option, or a share of all steps."""
    named = getattr(options, "warmup_steps", -1)
    return named if named >= 0 else math.ceil(options.warmup_ratio * total)


def arguments_of_training(
    options: Training,
    seed: int,
    state: Path,
    device_batch: int,
    passes: int,
    total: int,
    best: str | None,
    evaluates: bool,
    kind: type[TrainingArguments] = TrainingArguments,
    **more: Any,
) -> TrainingArguments:
    """Arguments for Hugging Face's Trainer. kind, more: a subclass of its arguments, and additional arguments for it."""
    chooses = evaluates and best is not None
    arguments = kind(
        output_dir=str(state),
        per_device_train_batch_size=device_batch,
        gradient_accumulation_steps=passes,
        max_steps=total,
        learning_rate=options.learning_rate,
        warmup_steps=warm_up_of(options, total),
        weight_decay=options.weight_decay,
        adam_beta2=options.adam_beta2,
        lr_scheduler_type=options.scheduler,
        lr_scheduler_kwargs=_scheduler_options(options),
        max_grad_norm=options.max_grad_norm,
        bf16=options.precision == "bfloat16",
        fp16=options.precision == "float16",
        # Milestones decides when to evaluate and save; Trainer itself does both only at the end.
        eval_strategy="steps" if evaluates else "no",
        eval_steps=total,
        save_strategy="steps",
        save_steps=total,
        save_total_limit=None,  # `restarts.drop_old` decides
        load_best_model_at_end=chooses
        and not parallel.is_sharded(),  # otherwise `restore_whole` reads it from the file
        metric_for_best_model=best if chooses else None,
        greater_is_better=best != "loss" if chooses else None,
        logging_strategy="steps",
        logging_steps=max(1, total // 100),
        logging_nan_inf_filter=False,
        **tracking_options(state),
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        seed=seed,
        use_cpu=not torch.cuda.is_available(),
        **_optimizer_options(options),
        **parallel.strategy_options(),
        **more,
    )
    _ = arguments.n_gpu  # finds the devices ...
    arguments._n_gpu = min(arguments._n_gpu, 1)  # ... of which one process uses one: no nn.DataParallel
    return arguments


def _optimizer_options(options: Training) -> dict[str, str]:
    """The optimizer under the library's name; empty for its default AdamW. Raises UserError if it cannot run here."""
    if options.optim not in _OPTIMIZERS:
        return {}
    if parallel.is_sharded():
        raise UserError(
            f"optim {options.optim} under launch.strategy {parallel.strategy()}: DeepSpeed and FSDP can divide or offload "
            "only plain AdamW; set launch.strategy to ddp, or optim to adamw"
        )
    if find_spec("bitsandbytes") is None:
        raise UserError(f"optim {options.optim} needs bitsandbytes: pip install bitsandbytes; or set optim to adamw")
    if not torch.cuda.is_available():
        raise UserError(f"optim {options.optim} needs a GPU, but there is none; set optim to adamw")
    return {"optim": _OPTIMIZERS[options.optim]}


def _scheduler_options(options: Training) -> dict[str, float]:
    if options.scheduler == "cosine_with_min_lr":
        return {"min_lr_rate": options.min_lr_rate}  # type: ignore[attr-defined]
    return {}
