"""Direct preference optimisation of decoder-only models by TRL's DPOTrainer, with our order, restarts and limits."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, disable_progress_bars
from torch.utils.data import Sampler
from transformers import TrainerCallback
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer

from retrace.config_dpo_st import DpoTraining
from retrace.schemas import Preference
from retrace.tasks import Task
from retrace.training import parallel
from retrace.training import trainer as shared
from retrace.training.adapters import adapter_options
from retrace.training.data import bucketed_order
from retrace.training.dpo import PreferenceRow
from retrace.training.restarts import Owner, SavesInTime


class InOrder(Sampler[int]):
    """The rows in the order of a whole training, epochs on end."""

    def __init__(self, order: np.ndarray) -> None:
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Any:
        return iter(self.order.tolist())


# Of what TRL measures, what our own trainer measures too, by our names.
_MEASURES = {
    "eval_loss": "eval_loss",
    "eval_rewards/accuracies": "eval_accuracy",
    "eval_rewards/margins": "eval_margin",
}


def plain(logs: dict[str, float]) -> dict[str, float]:
    """A line of TRL's log with our names for the development measures, and without the others."""
    return {_MEASURES.get(key, key): value for key, value in logs.items() if key in _MEASURES or key[:5] != "eval_"}


class Progress(shared.Milestones):
    """Milestones that read TRL's logs."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any) -> None:
        super().on_log(args, state, control, logs=plain(logs or {}), **kwargs)


class OrderedDPOTrainer(shared.Restarting, DPOTrainer):
    """TRL's trainer on an order of rows that is fixed before training, so that a run that was killed can go on."""

    def __init__(self, *args: Any, order: np.ndarray, owner: Owner, **kwargs: Any) -> None:
        self.order, self.owner = order, owner
        super().__init__(*args, **kwargs)

    def _get_train_sampler(self, train_dataset: Any = None) -> InOrder:
        return InOrder(self.order)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        self.state.log_history[-1] = plain(self.state.log_history[-1])

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: what a checkpoint was made from stands in the results."""


def texts_of(task: Task, pairs: Sequence[Preference]) -> Dataset:
    """The pairs as TRL reads them: prompt, chosen, rejected; it appends the end token by itself."""
    prompts = [task.prompt(pair.question, family="decoder_only") for pair in pairs]
    return Dataset.from_dict(
        {
            "prompt": prompts,
            "chosen": [f"{task.joint}{pair.chosen}" for pair in pairs],
            "rejected": [f"{task.joint}{pair.rejected}" for pair in pairs],
        }
    )


def train_dpo_causal(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    pairs: Sequence[Preference],
    rows: Sequence[PreferenceRow],
    dev_pairs: Sequence[Preference],
    options: DpoTraining,
    seed: int,
    state: str | Path,
    reference: PreTrainedModel | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> tuple[Any, list[dict[str, float]]]:
    """Train in place; returns the trained model, with its adapters where the options ask for some, and the curve.

    rows: the token rows of `pairs`, for their lengths. reference: None: the model as it is now.
    """
    state = Path(state)
    device_batch, passes = parallel.accumulation_of(options, shared.world_size())
    total = shared.steps_of(options, len(rows))
    order = bucketed_order([row.length for row in rows], options.batch_size, total, seed)
    arguments = shared.arguments_of_training(
        options,
        seed,
        state,
        device_batch,
        passes,
        total,
        "loss" if options.keep == "best" else None,
        bool(dev_pairs),
        DPOConfig,
        beta=options.beta,
        # Rows over the limit were left out; TRL shall cut nothing.
        max_length=None,
        precompute_ref_log_probs=True,
        precompute_ref_batch_size=2 * device_batch,
        disable_dropout=not options.dropout,
        activation_checkpointing=options.activation_checkpointing,
        per_device_eval_batch_size=2 * device_batch,
    )
    disable_progress_bars()
    os.environ.setdefault("TQDM_DISABLE", "1")  # TRL's own bar

    def build(owner: Owner) -> OrderedDPOTrainer:
        return OrderedDPOTrainer(
            model=model,
            ref_model=reference,
            args=arguments,
            train_dataset=texts_of(task, pairs),
            eval_dataset=texts_of(task, dev_pairs) if dev_pairs else None,
            processing_class=tokenizer,
            peft_config=adapter_options(options, "decoder_only"),
            callbacks=[Progress(shared.milestones(options, total), bool(dev_pairs)), SavesInTime(), *callbacks],
            order=order,
            owner=owner,
        )

    trainer = shared.run_trainer(build, model, rows, options, seed, state, bool(dev_pairs))
    return trainer.model, shared.curve_of(trainer, options, len(rows))
