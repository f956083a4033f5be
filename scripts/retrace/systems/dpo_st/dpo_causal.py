"""Direct preference optimization of decoder-only models: TRL's DPOTrainer with our row order, restarts and limits."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, disable_progress_bars
from torch.utils.data import Sampler
from transformers import TrainerCallback
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer

from retrace.systems.dpo_st.dpo import PreferenceRow
from retrace.systems.dpo_st.options import DpoTraining
from retrace.training import parallel
from retrace.training import trainer as shared
from retrace.training.adapters import adapter_options, explained
from retrace.training.data import bucketed_order
from retrace.training.restarts import OwnCheckpoints, Owner, TimedSaves
from retrace.training.sft import disable_dropout


class InOrder(Sampler[int]):
    """The rows in the order of the whole training, one epoch after another."""

    def __init__(self, order: np.ndarray) -> None:
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Any:
        return iter(self.order.tolist())


# TRL's measurements that our own trainer also makes, mapped to our names.
_MEASURES = {
    "eval_loss": "eval_loss",
    "eval_rewards/accuracies": "eval_accuracy",
    "eval_rewards/margins": "eval_margin",
}


def plain(logs: dict[str, float]) -> dict[str, float]:
    """A line of TRL's log with our names for the development metrics, without TRL's other metrics."""
    return {_MEASURES.get(key, key): value for key, value in logs.items() if key in _MEASURES or key[:5] != "eval_"}


class Progress(shared.Milestones):
    """Milestones that read TRL's logs."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any) -> None:
        super().on_log(args, state, control, logs=plain(logs or {}), **kwargs)


class OrderedDPOTrainer(OwnCheckpoints, DPOTrainer):
    """TRL's trainer with a row order that is fixed before training, so that a killed run can resume."""

    def __init__(self, *args: Any, order: np.ndarray, owner: Owner, **kwargs: Any) -> None:
        self.order, self.owner = order, owner
        super().__init__(*args, **kwargs)

    def _get_train_sampler(self, train_dataset: Any = None) -> InOrder:
        return InOrder(self.order)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        self.state.log_history[-1] = plain(self.state.log_history[-1])

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset  # already token ids, as in the reference values; TRL would truncate the texts differently

    def _precompute_ref_logps(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset  # already included; TRL would share them through a file that only the first process has

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Disabled: results already say what a checkpoint was made from."""


def tokens_of(rows: Sequence[PreferenceRow]) -> Dataset:
    """The pairs in TRL's format: token ids of prompt, chosen and rejected, with the reference's log-probabilities."""
    return Dataset.from_dict(
        {
            "prompt_ids": [row.chosen.ids for row in rows],
            "chosen_ids": [row.chosen.target for row in rows],
            "rejected_ids": [row.rejected.target for row in rows],
            "ref_chosen_logps": [row.reference[0] for row in rows],
            "ref_rejected_logps": [row.reference[1] for row in rows],
        }
    )


def checkpointing(wanted: bool) -> dict[str, bool]:
    """The option that recomputes activations in the backward pass, under the name in this release of transformers."""
    names = {field.name for field in fields(DPOConfig)}
    return {"activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing": wanted}


def train_dpo_causal(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[PreferenceRow],
    dev_rows: Sequence[PreferenceRow],
    options: DpoTraining,
    seed: int,
    state: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> tuple[Any, list[dict[str, float]]]:
    """Train in place; returns the trained model, with adapters if the options ask for them, and the curve.

    rows, dev_rows: token rows of the pairs with the reference's values (`retrace.systems.dpo_st.dpo.with_reference`).
    """
    if not options.dropout:
        disable_dropout(model)
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
        bool(dev_rows),
        DPOConfig,
        beta=options.beta,
        # Rows over the limit were dropped before; TRL must not truncate any.
        max_length=None,
        precompute_ref_log_probs=True,  # we compute them; see `_precompute_ref_logps`
        disable_dropout=not options.dropout,  # also in adapters
        # As in all other trainings, the loss has no term for balancing the experts of a mixture.
        **({"router_aux_loss_coef": 0.0} if hasattr(model.config, "output_router_logits") else {}),
        **checkpointing(options.activation_checkpointing),
        per_device_eval_batch_size=2 * device_batch,
    )
    disable_progress_bars()

    def build(owner: Owner) -> OrderedDPOTrainer:
        with explained(options):
            return trainer_of(owner)

    def trainer_of(owner: Owner) -> OrderedDPOTrainer:
        return OrderedDPOTrainer(
            model=model,
            args=arguments,
            train_dataset=tokens_of(rows),
            eval_dataset=tokens_of(dev_rows) if dev_rows else None,
            processing_class=tokenizer,
            peft_config=adapter_options(options, "decoder_only"),
            callbacks=[
                Progress(shared.milestones(options, total), bool(dev_rows)),
                TimedSaves(60 * options.save_minutes),
                *callbacks,
            ],
            order=order,
            owner=owner,
        )

    trainer = shared.run_trainer(build, model, rows, options, seed, state, bool(dev_rows))
    return trainer.model, shared.curve_of(trainer, options.batch_size, len(rows))
