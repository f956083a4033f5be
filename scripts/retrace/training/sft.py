"""Training a generator on worked solutions: encoder-decoder and decoder-only."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import TrainerCallback
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from retrace.errors import UserError
from retrace.evaluation.model_card import Trained, write_card
from retrace.machine.storage import atomic_path
from retrace.models.load import is_known, resize_embeddings
from retrace.models.share import share
from retrace.prompting.layouts import Layout, note_masked_results, write_layout
from retrace.training.accuracy import GreedyAccuracy
from retrace.training.data import IGNORED, Row, collate_generator
from retrace.training.evaluated import bring_each
from retrace.training.options import Training
from retrace.training.trainer import is_first_process, train, write_curve

Collate = Callable[[Sequence[Row]], dict[str, torch.Tensor]]


def extend_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Any) -> list[str]:
    """Add the tokens that the task's solutions need and the tokenizer lacks; returns them.

    T5's vocabulary has `|`, `;` and `####` but no `<`, so GRACE added the tokens `<<` and `>>` to its generators and
    discriminators (T5 keeps no space before them). We do the same, and also for a delimiter that is not a single token.
    Embeddings grow only if there are fewer rows than tokens (T5 has 28 spare rows).
    """
    missing = [] if is_known(tokenizer, task.answer_marker) else [task.answer_marker]
    if task.config.calculator and not all(is_known(tokenizer, sign) for sign in task.calculator_signs):
        missing += task.calculator_signs
    ids = tokenizer(f"a {task.delimiter} b", add_special_tokens=False)["input_ids"]
    if not any(tokenizer.decode([token]).strip(" ") == task.delimiter for token in ids):
        missing.append(task.delimiter)
    if missing:
        tokenizer.add_tokens(missing)
        if len(tokenizer) > model.get_input_embeddings().num_embeddings:
            resize_embeddings(model, len(tokenizer))
    return missing


def set_attention_dropout(model: PreTrainedModel, share: float) -> None:
    """Set the attention dropout for training; the model's configuration is unchanged.

    Raises UserError if the model's attention has no dropout.
    """
    layers = [module for module in model.modules() if isinstance(getattr(module, "attention_dropout", None), float)]
    if not layers:
        raise UserError(
            f"attention_dropout {share}: the attention of {model.config.model_type} has no dropout; set it to 0"
        )
    for layer in layers:
        layer.attention_dropout = share


def disable_dropout(model: torch.nn.Module) -> None:
    """Permanently disable dropout in this copy of the model; its configuration is unchanged."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if isinstance(value, float) and name.endswith("dropout"):  # T5's and StarCoder's attention store a number
                setattr(module, name, 0.0)


def token_loss(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sum of the cross-entropy over the labeled tokens of a batch from `collate_generator`."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits = model(**inputs, use_cache=False).logits
    return functional.cross_entropy(
        logits.flatten(0, 1).float(), batch["labels"].flatten(), ignore_index=IGNORED, reduction="sum"
    )


def token_count(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Number of tokens in the loss."""
    return batch["labels"].ne(IGNORED).sum()


def start_token(model: PreTrainedModel) -> int | None:
    """The decoder's first input; None for a decoder-only model."""
    return model.config.decoder_start_token_id if model.config.is_encoder_decoder else None


class DevelopmentLoss:
    """Mean loss per token over all development rows."""

    def __init__(self, rows: Sequence[Row], collate: Collate, batch_size: int) -> None:
        ordered = sorted(rows, key=lambda row: row.length)
        self.batches = [collate(ordered[start : start + batch_size]) for start in range(0, len(rows), batch_size)]

    def __call__(self, model: PreTrainedModel) -> dict[str, float]:
        device = next(model.parameters()).device
        loss, items = 0.0, 0
        shared = share()
        for batch, counts in shared.turns(self.batches):
            batch = {name: value.to(device) for name, value in batch.items()}
            one = token_loss(model, batch).item()
            if counts:
                loss += one
                items += int(token_count(batch))
        loss, items = shared.total(torch.tensor([loss, items], dtype=torch.float64)).tolist()
        return {"loss": loss / max(items, 1)}


def training_device() -> torch.device:
    """Device of this process."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def limit_of(model: PreTrainedModel, max_length: int) -> int:
    """Maximum row length: max_length, or the model's number of learned positions."""
    config = model.config
    positions = None if config.is_encoder_decoder else getattr(config, "max_position_embeddings", None)
    return min(max_length, positions) if positions else max_length


def train_generator(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    dev_rows: Sequence[Row],
    options: Training,
    seed: int,
    state: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
    best: str | None = "loss",
    accuracy: GreedyAccuracy | None = None,
) -> list[dict[str, float]]:
    """Train in place and return the curve.

    The checkpoint with the lowest development loss is kept, or with best "accuracy" the one with the highest accuracy,
    which is measured in addition to the loss. Without development rows, or with best None, the last one is kept.
    """
    collate = partial(collate_generator, pad_id=tokenizer.pad_token_id, start_id=start_token(model))
    loss = DevelopmentLoss(dev_rows, collate, 2 * options.device_batch_size) if dev_rows else None
    if accuracy is not None and loss is not None:
        accuracy.also = [*accuracy.also, loss]
    return train(
        model,
        rows,
        [row.length for row in rows],
        collate,
        token_loss,
        token_count,
        accuracy or loss,
        options,
        seed,
        state,
        best,
        callbacks,
    )


def write_generator(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    curve: Sequence[dict[str, float]],
    output: str | Path,
    layout: Layout | None = None,
    masked_results: bool = False,
    state: str | Path | None = None,
    trained: Trained | None = None,
) -> None:
    """Write the checkpoint folder atomically; with several processes, only the first one writes.

    Args:
        model: The trained model.
        tokenizer: Its tokenizer.
        curve: The training's curve.
        output: The checkpoint folder.
        layout: Layout of the training texts, if it is not the usual one.
        masked_results: Whether the calculator's results were masked from the loss.
        state: The training's folder for restarts, which may have checkpoints of other evaluations to keep.
        trained: Contents of the folder's model card; None: no card.
    """
    if not is_first_process():
        return
    with atomic_path(output) as folder:
        folder.mkdir()
        write_generator_into(folder, model, tokenizer, layout)
        write_curve(folder / "curves.jsonl", curve)
        if masked_results:
            note_masked_results(folder)
        if state is not None:
            bring_each(state, folder)
        if trained is not None:
            write_card(folder, replace(trained, layout=layout, masked_results=masked_results))


def write_generator_into(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, layout: Layout | None = None
) -> None:
    """Write the files of a checkpoint into an empty folder."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if layout is not None:
        write_layout(folder, layout)
